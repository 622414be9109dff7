"""Commands for pools, subscriptions, credentials, endpoints and webhooks: what they say."""

import json
from typing import Any

import pytest

from tests.cli.conftest import Place


def _done(place: Place, *arguments: str) -> str:
    result = place.run(*arguments)
    assert (result.exit_code, result.errors) == (0, ""), result
    return result.output


def _json(place: Place, *arguments: str) -> Any:
    return json.loads(_done(place, *arguments, "--json"))


@pytest.fixture(scope="module")
def made(place: Place) -> Place:
    """Add a customer of its own pool."""
    _done(place, "pool", "add", "east", "--mode", "pack", "--keep-free", "2")
    _done(place, "subscription", "add", "shop", "--seats", "30", "--pool", "east")
    _done(place, "credential", "add", "shop", "--default")
    _done(place, "credential", "add", "shop", "--sub", "1")
    return place


def test_a_pool_is_listed_changed_and_kept_while_it_serves(made: Place) -> None:
    assert _done(made, "pool", "set", "east", "--keep-free", "none", "--evict-own-only") == (
        "pool east was changed\n"
    )
    shown = _json(made, "pool", "show", "east")
    assert (shown["mode"], shown["keep_free"]) == ("pack", None)
    assert shown["evict_across_subscriptions"] is False
    [row] = [row for row in _json(made, "pool", "list") if row["name"] == "east"]
    assert (row["subscriptions"], row["sold_seats"], row["meetings"]) == (1, 30, 0)
    refused = made.run("pool", "remove", "east")
    assert (refused.exit_code, refused.errors) == (
        *(1, "seatkeep: the pool east has 1 subscription: move or remove them first\n"),
    )
    _done(made, "pool", "add", "west")
    assert _done(made, "pool", "remove", "west") == "pool west was removed\n"


def test_the_settings_of_a_customer_are_shown_to_be_read(made: Place) -> None:
    texts = made.directory / "texts.json"
    texts.write_text('{"de": {"maxParticipantsReached": "Nur {free} Plätze frei."}}')
    options = (
        *("--language", "de", "--refusal-texts", str(texts), "--overtime-text", "Bitte enden."),
        *("--origins", "https://app.example", "--node-tags", "eu,gpu", "--suspend"),
    )
    _done(made, "subscription", "set", "shop", *options)
    text = _done(made, "subscription", "show", "shop")
    for line in (
        "suspended           yes",
        "node_tags           eu,gpu",
        "  free_seats      30",
        "  maxParticipantsReached (de)  Nur {free} Plätze frei.",
        "  overtime_text                Bitte enden.",
    ):
        assert line in text.splitlines(), text
    limits = _json(made, "subscription", "limits", "shop")
    assert [row["used"] for row in limits if row["limit"] == "seats"] == [0]
    [row] = _json(made, "subscription", "list", "--off", "--search", "sho")
    assert (row["slug"], row["free_seats"], row["suspended"]) == ("shop", 30, True)
    _done(made, "subscription", "set", "shop", "--refusal-texts", "none", "--resume")
    assert _json(made, "subscription", "show", "shop")["refusal_texts"] == {}


def test_the_bare_path_moves_and_a_credential_goes(made: Place) -> None:
    _done(made, "credential", "set", "shop-1", "--default")
    rows = {row["name"]: row["is_default"] for row in _json(made, "credential", "list")}
    assert (rows["shop"], rows["shop-1"]) == (False, True)
    assert _done(made, "credential", "remove", "shop-1") == "credential shop-1 was removed\n"
    refused = made.run("subscription", "remove", "shop")
    assert (refused.exit_code, refused.errors) == (
        *(1, "seatkeep: shop has a credential still: remove what gives access first\n"),
    )
    _done(made, "credential", "remove", "shop")
    assert _done(made, "subscription", "remove", "shop") == "subscription shop was removed\n"


def test_an_endpoint_tells_how_it_fares(made: Place) -> None:
    _done(made, "subscription", "add", "fares", "--seats", "1")
    _done(made, "endpoint", "add", "fares", "https://app.example/h")
    [row] = _json(made, "endpoint", "list", "--subscription", "fares")
    assert (row["health"], row["waiting"], row["parked"]) == ("unused", 0, 0)
    assert "\nhealth\n  state " in _done(made, "endpoint", "show", str(row["id"]))
    assert _json(made, "endpoint", "list", "--subscription", "fares", "--off") == []
    assert _done(made, "hook", "list", "--subscription", "fares") == "none\n"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("pool", "add", "East Side"), 2, "name: "),
        (("pool", "add", "x", "--mode", "random"), 2, "mode: "),
        (("pool", "show", "nowhere"), 1, "there is no pool nowhere"),
        (("pool", "set", "default"), 1, "nothing to change"),
        (("subscription", "set", "acme", "--language", "fr"), 2, "language: "),
        (("subscription", "set", "acme", "--pool", "nowhere"), 1, "there is no pool nowhere"),
        (("subscription", "set", "acme", "--refusal-texts", "/nowhere"), 2, "No such file"),
        (("subscription", "remove", "nobody"), 1, "there is no subscription nobody"),
        (("credential", "remove", "nobody"), 1, "there is no credential nobody"),
        (("credential", "list", "--subscription", "No!"), 2, "subscription: "),
        (("endpoint", "list", "--subscription", "nobody"), 1, "there is no subscription nobody"),
        (("hook", "remove", "x"), 2, "hook: "),
    ],
    ids=lambda value: " ".join(value[:3]) if isinstance(value, tuple) else "",
)
def test_a_mistake_is_answered_with_one_sentence(
    place: Place, arguments: tuple[str, ...], code: int, says: str
) -> None:
    result = place.run(*arguments)
    assert (result.exit_code, result.output) == (code, ""), result
    assert result.errors.startswith("seatkeep: ")
    assert result.errors.count("\n") == 1
    assert says in result.errors
