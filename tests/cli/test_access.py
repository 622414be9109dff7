"""Commands for tokens and the audit log."""

import json
import re

import pytest

from tests.cli.conftest import Place

TOKEN = re.compile(r"sk_([0-9]+)_[A-Za-z0-9_-]{43}\n")


def _add(place: Place, *options: str) -> str:
    """Make a token; return its number."""
    result = place.run("token", "add", *options)
    assert result.exit_code == 0, result
    found = TOKEN.fullmatch(result.output)
    assert found, "standard output is the token and nothing else, for scripts"
    assert "shown this once" in result.errors
    return found.group(1)


def test_a_token_is_made_listed_and_revoked(place: Place) -> None:
    number = _add(place, "--scope", "owner", "--subscription", "acme", "--label", "billing")
    listed = place.run("token", "list", "--subscription", "acme")
    assert re.search(rf"^ *{number} +owner +acme +billing +active ", listed.output, re.MULTILINE)
    assert "sk_" not in listed.output
    assert place.run("token", "revoke", number).output == f"token {number} is revoked\n"
    rows = json.loads(place.run("token", "list", "--state", "revoked", "--json").output)["items"]
    assert [(row["id"], row["state"]) for row in rows] == [(int(number), "revoked")]


def test_a_token_as_json_has_an_end_and_its_secret_once(place: Place) -> None:
    result = place.run("token", "add", "--scope", "reader", "--days", "0.5", "--json")
    made = json.loads(result.output)
    assert TOKEN.fullmatch(made["token"] + "\n")
    assert made["expires_at"] > made["created_at"]
    assert (made["scope"], made["subscription"]) == ("reader", None)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("token", "add", "--scope", "owner"), 1, "name it"),
        (("token", "add", "--scope", "king"), 2, "scope: Input should be"),
        (("token", "add", "--scope", "reader", "--subscription", "x"), 1, "no subscription x"),
        (("token", "revoke", "9999"), 1, "no token 9999"),
        (("token", "list", "--after", "xyz"), 1, "leave it out to begin anew"),
        (("audit", "--action", "no such"), 2, "action:"),
    ],
)
def test_what_is_wrong_is_a_sentence(
    place: Place, arguments: tuple[str, ...], code: int, said: str
) -> None:
    result = place.run(*arguments)
    assert (result.exit_code, result.output) == (code, "")
    assert result.errors.startswith("seatkeep: ")
    assert said in result.errors


def test_the_audit_log_says_who_did_what(place: Place) -> None:
    place.run("subscription", "add", "audited", "--seats", "7")
    place.run("subscription", "set", "audited", "--seats", "9")
    shown = place.run("audit", "--subject", "subscription audited")
    head, newest, oldest = shown.output.splitlines()
    assert head.split() == ["RECORDED", "ACTOR", "ACTION", "SUBJECT", "CHANGES"]
    assert re.search(r"Z +cli:\S+ +subscription\.changed +subscription audited +seats 7→9", newest)
    assert "subscription.added" in oldest
    assert "seats 7" in oldest
    page = place.run("audit", "--limit", "1", "--subscription", "audited")
    after = re.search(r"--after (\S+)", page.errors)
    assert after
    following = place.run(
        "audit", "--limit", "1", "--subscription", "audited", "--after", after.group(1), "--json"
    )
    (line,) = json.loads(following.output)["items"]
    assert (line["action"], line["changes"]["seats"]) == ("subscription.added", [None, 7])
    assert place.run("audit", "--since", "2099-01-01").output == "none\n"
    assert "subscription.added" in place.run("audit", "--since", "2020-01-01T10:00").output
