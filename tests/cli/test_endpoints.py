"""Commands for endpoints and events: what they print, and what they never print."""

import json
import re
from pathlib import Path

from schemas.dialects import signed
from schemas.dialects.outgoing import outgoing
from schemas.events import EventKind
from tests.cli.conftest import Place

URL = "https://signed.example.org/hook"


def _added(place: Place, *options: str) -> tuple[int, str]:
    """Return the number of a new endpoint, and its secret if one was made."""
    made = place.run("endpoint", "add", "acme", *options)
    assert (made.exit_code, made.errors) == (0, ""), made
    found = re.fullmatch(r"endpoint (\d+) of acme was added\n(?:secret  (\S+)\n)?", made.output)
    assert found, made.output
    return int(found[1]), found[2] or ""


def test_a_secret_is_shown_when_it_is_made_and_never_again(place: Place) -> None:
    number, secret = _added(place, URL, "--dialect", "signed", "--label", "billing")
    assert signed.fitting_secret(secret)
    shown = place.run("endpoint", "show", str(number))
    assert re.search(r"^label +billing$", shown.output, re.MULTILINE)
    assert re.search(r"^signed_by +endpoint$", shown.output, re.MULTILINE)
    fresh = place.run("endpoint", "rotate", str(number), "--hours", "1")
    assert fresh.exit_code == 0
    new = fresh.output.split()[-1]
    assert new != secret
    later = [
        place.run("endpoint", "list"),
        place.run("endpoint", "list", "--json"),
        place.run("endpoint", "show", str(number)),
        place.run("endpoint", "show", str(number), "--json"),
    ]
    assert "signs until" in later[2].output
    assert not [result for result in later if secret in result.output or new in result.output]


def test_an_endpoint_is_changed_switched_pinged_and_removed(place: Place) -> None:
    number, secret = _added(
        place, "https://b.example.org/h", "--kinds", "user-left", "--meeting", "room-1", "--relaxed"
    )
    assert secret == ""
    me = str(number)

    def row() -> dict[str, object]:
        shown: dict[str, object] = json.loads(place.run("endpoint", "show", me, "--json").output)
        return shown

    assert (row()["kinds"], row()["meeting"], row()["ordering"]) == (
        "userLeft", "room-1", "relaxed",
    )  # fmt: skip
    changed = place.run("endpoint", "set", me, "--kinds", "none", "--meeting", "none", "--strict")
    assert changed.output == f"endpoint {me} was changed\n"
    assert (row()["kinds"], row()["meeting"], row()["ordering"]) == ("", None, "strict")
    assert place.run("endpoint", "disable", me).output == f"endpoint {me} is off\n"
    assert row()["enabled"] is False
    refused = place.run("endpoint", "ping", me)
    assert (refused.exit_code, "enable it first" in refused.errors) == (1, True)
    assert place.run("endpoint", "enable", me).output == f"endpoint {me} is on\n"
    assert re.fullmatch(
        rf"event [0-9a-f]{{32}} is on its way to endpoint {me}\n",
        place.run("endpoint", "ping", me).output,
    )
    assert place.run("endpoint", "remove", me).output == f"endpoint {me} was removed\n"
    gone = place.run("endpoint", "show", me)
    assert (gone.exit_code, gone.errors) == (1, f"seatkeep: there is no endpoint {me}\n")


def test_what_is_told_of_people_is_set_on_the_subscription(place: Place) -> None:
    place.run("subscription", "add", "shy", "--seats", "5")
    place.run("subscription", "set", "shy", "--event-hashed-ids", "--no-event-names")
    shown = json.loads(place.run("subscription", "show", "shy", "--json").output)
    assert (shown["event_names"], shown["event_hashed_ids"]) == (False, True)


def test_the_kinds_of_events_are_listed_and_shown(place: Place) -> None:
    listed = json.loads(place.run("event", "list", "--json").output)
    assert [row["kind"] for row in listed] == [kind.value for kind in EventKind]
    assert len(place.run("event", "list").output.splitlines()) == len(listed) + 1
    shown = place.run("event", "show", "user-left")
    assert re.search(r"^kind +userLeft$", shown.output, re.MULTILINE)
    assert "GET https://app.example/hook?event=userLeft&" in shown.output
    assert set(json.loads(place.run("event", "show", "ping", "--json").output)) == {
        "schema",
        "examples",
    }
    unknown = place.run("event", "show", "nonsense")
    assert (unknown.exit_code, unknown.output) == (1, "")
    assert "no event kind 'nonsense'" in unknown.errors


def test_a_signature_is_checked_with_the_secrets_of_an_endpoint(
    place: Place, tmp_path: Path
) -> None:
    number, secret = _added(place, URL, "--dialect", "signed")
    sent = outgoing(
        "signed", url=URL, body=b"{}", event_id="e", created_ms=1, now_ms=1, secrets=(secret,)
    )
    (tmp_path / "body").write_bytes(sent.body)
    headers = [part for pair in sent.headers.items() for part in ("--header", ": ".join(pair))]
    asked = ("event", "verify", URL, "--body", str(tmp_path / "body"), *headers)
    right = place.run(*asked, "--endpoint", str(number), "--any-time")
    assert (right.output, right.errors) == ("the signature is right (signed)\n", "")
    old = place.run(*asked, "--secret", secret)
    assert (old.exit_code, "but more than 300 s away" in old.errors) == (1, True)
    wrong = place.run(*asked, "--any-time", "--secret", "another")
    assert (wrong.exit_code, "does not belong" in wrong.errors) == (1, True)
    for result, says in (
        (place.run(*asked), "give a secret or an endpoint"),
        (place.run("event", "verify", URL, "--secret", "x", "--body", "/nowhere"), "name a file"),
    ):
        assert (result.exit_code, says in result.errors) == (2, True)
