"""Commands for credentials and subscriptions: what they set, show, and never show."""

import json
import re
from typing import Any

import pytest

from tests.cli.conftest import Place

RULES = "# of the provider\ncreate cap maxParticipants=40\ncreate default record=true\n"


@pytest.fixture(scope="module")
def made(place: Place) -> Place:
    """Add a subscription with two credentials, unless they are there."""
    place.run("subscription", "add", "uni", "--seats", "100")
    place.run("credential", "add", "uni", "--secret", "canary-first-secret")
    place.run("credential", "add", "uni", "--sub", "0", "--label", "Moodle")
    return place


def _done(place: Place, *arguments: str) -> str:
    result = place.run(*arguments)
    assert (result.exit_code, result.errors) == (0, ""), result
    return result.output


def _shown(place: Place, name: str) -> dict[str, Any]:
    found = json.loads(_done(place, "credential", "show", name, "--json"))
    assert isinstance(found, dict)
    return found


def test_a_credential_is_set_shown_and_cleared(made: Place) -> None:
    rules = made.directory / "rules.txt"
    rules.write_text(RULES)
    options = (
        *("--seats", "30", "--meetings-max", "2", "--default-minutes", "45", "--max-minutes", "90"),
        *("--origins", "https://app.example", "--algorithms", "sha256,sha512", "--jsonp"),
        *("--refused-calls", "setConfigXML", "--hosts", "bbb.uni.example", "--moderators-pass"),
        *("--rules-file", str(rules), "--label", "ILIAS", "--disable"),
    )
    assert _done(made, "credential", "set", "uni-000", *options) == (
        "credential uni-000 was changed\n"
    )
    shown = _shown(made, "uni-0")
    assert (shown["seats"], shown["meetings_max"], shown["label"]) == (30, 2, "ILIAS")
    assert (shown["default_duration_s"], shown["duration_max_s"]) == (2_700, 5_400)
    assert (shown["origins"], shown["algorithms"]) == ("https://app.example", "sha256,sha512")
    assert (shown["refused_calls"], shown["hosts"]) == ("setConfigXML", "bbb.uni.example")
    switches = ("jsonp", "moderators_pass", "draft", "enabled")
    assert [shown[name] for name in switches] == [True, True, False, False]
    assert shown["rules"] == RULES.strip()
    text = _done(made, "credential", "show", "uni-0")
    assert re.search(r"^seats +30$", text, re.MULTILINE)
    assert text.endswith(
        "rules\n  # of the provider\n" + "".join(f"  {line}\n" for line in RULES.splitlines()[1:])
    )
    listed = _done(made, "credential", "list", "--subscription", "uni").splitlines()
    assert [line.split()[0] for line in listed] == ["NAME", "uni", "uni-0"]
    assert "jsonp moderators_pass" in listed[2]
    cleared = ("--seats", "none", "--rules-file", "none", "--origins", "none", "--enable")
    _done(made, "credential", "set", "uni-0", *cleared, "--no-jsonp")
    shown = _shown(made, "uni-0")
    assert (shown["seats"], shown["rules"], shown["origins"]) == (None, "", "")
    assert (shown["enabled"], shown["jsonp"], shown["meetings_max"]) == (True, False, 2)


def test_a_rotation_shows_the_new_secret_once(made: Place) -> None:
    printed = _done(made, "credential", "rotate", "uni", "--overlap-hours", "1.5")
    found = re.fullmatch(
        r"secret  ([A-Za-z0-9]{40})\nthe previous secret stays valid for 1.5 hours\n", printed
    )
    assert found is not None, printed
    assert _shown(made, "uni")["previous"] is True
    text = _done(made, "credential", "show", "uni")
    assert re.search(r"^previous +valid until [-0-9]{10} [:0-9]{8} UTC$", text, re.MULTILINE)
    again = made.run("credential", "rotate", "uni")
    assert (again.exit_code, again.output) == (1, "")
    assert "`credential revoke uni`" in again.errors
    _done(made, "credential", "revoke", "uni")
    assert _shown(made, "uni")["previous"] is False
    later = text + again.errors + _done(made, "credential", "list", "--json")
    assert found[1] not in later
    assert "canary-first-secret" not in later


def test_a_dry_run_shows_rules_seats_and_what_the_node_would_get(made: Place) -> None:
    rules = made.directory / "more.txt"
    rules.write_text("create if record block logo\ncreate cap maxParticipants=40")
    _done(made, "subscription", "set", "uni", "--rules-file", str(rules), "--max-minutes", "60")
    query = "name=Test&meetingID=room&maxParticipants=500&duration=90&logo=x&meta_a=1"
    text = _done(made, "credential", "try", "uni-0", "create", query)
    for said in (
        "rule  create if record block logo\n  its condition is not met\n",
        "rule  create cap maxParticipants=40\n  maxParticipants: '500' becomes '40'\n",
        "reserves  40 seats for 60 minutes\n",
        "  meta_a           1\n",
    ):
        assert said in text
    url = f"https://bbb.example/t/uni/bigbluebutton/api/create?{query}&checksum=0"
    found = json.loads(_done(made, "credential", "try", "uni-0", "create", url, "--json"))
    assert (found["seats"], found["duration_s"], found["node"]["logo"]) == (40, 3_600, "x")
    refused = _done(made, "credential", "try", "uni-0", "create", "name=Test&meetingID=x")
    assert refused.endswith("refused  sizeError: Meeting ID must be between 2 and 256 characters\n")


def test_a_subscription_is_set_and_cleared(made: Place) -> None:
    done = _done(made, "subscription", "set", "uni", "--seats", "50", "--meetings-max", "3")
    assert done == "subscription uni was changed\n"
    _done(made, "subscription", "set", "uni", "--meetings-max", "none", "--disable")
    rows = json.loads(_done(made, "subscription", "list", "--json"))
    [row] = [row for row in rows if row["slug"] == "uni"]
    assert (row["seats"], row["enabled"]) == (50, False)
    options = ("--enable", "--welcome", "Hello", "--rules-file", "-")
    _done(made, "subscription", "set", "uni", *options)
    shown = json.loads(_done(made, "subscription", "show", "uni", "--json"))
    assert (shown["enabled"], shown["welcome_text"], shown["meetings_max"]) == (True, "Hello", None)
    assert shown["rules"] == "", "what came from standard input: nothing"
    text = _done(made, "subscription", "show", "uni")
    assert re.search(r"^seats +50$", text, re.MULTILINE)
    nobody = made.run("subscription", "show", "nobody")
    assert (nobody.exit_code, nobody.errors) == (1, "seatkeep: there is no subscription nobody\n")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("credential", "set", "nobody", "--seats", "3"), 1, "there is no credential nobody"),
        (("credential", "set", "uni"), 1, "there is nothing to change"),
        (("credential", "set", "uni", "--seats", "many"), 2, "'many' is no number"),
        (("credential", "set", "uni", "--algorithms", "none"), 1, "name one"),
        (("credential", "set", "uni", "--rules-file", "/nowhere"), 2, "/nowhere: No such file"),
        (("subscription", "set", "nobody", "--seats", "3"), 1, "there is no subscription nobody"),
        (("credential", "try", "uni", "end", "x=1"), 1, "rules change create and join only"),
        (("credential", "rotate", "uni", "--secret", "short"), 1, "a secret is "),
        (("credential", "revoke", "uni-0"), 1, "there is nothing to revoke"),
    ],
    ids=lambda value: " ".join(value[:4]) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_done_is_one_sentence(
    made: Place, arguments: tuple[str, ...], code: int, says: str
) -> None:
    result = made.run(*arguments)
    assert (result.exit_code, result.output) == (code, "")
    assert re.fullmatch(r"seatkeep: [^\n]{10,300}\n", result.errors), result.errors
    assert says in result.errors
