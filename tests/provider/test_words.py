"""What people see of a refusal, and what chats begin with, follows their subscription."""

from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from pydantic import ValidationError
from sqlalchemy import update

from scheduler import changes, operations
from scheduler.settings import Settings, load
from schemas.tables import CredentialRow, SubscriptionRow
from tests.gateway import world
from tests.gateway.world import World

OTHER: dict[str, Any] = {"secret": world.OTHER_SECRET, "prefix": "/b3lb/t/other/bbb/api"}


async def _change(run: World, slug: str = "acme", **values: Any) -> None:
    """Set columns of a subscription, whoever may do so."""
    async with changes.change(run.database) as session:
        statement = update(SubscriptionRow).where(SubscriptionRow.slug == slug)  # type: ignore[arg-type]
        await session.execute(statement.values(values))
    await run.directory.refresh()


async def _welcome(run: World, meeting_id: str = "room-42", **params: str) -> str:
    assert (await run.create(meeting_id, **params)).ok
    calls = await run.node_calls("create")
    return str(calls[-1]["params"].get("welcome", ""))


async def test_a_full_subscription_is_told_in_its_language(run: World) -> None:
    assert (await run.create(maxParticipants="95")).ok
    english = await run.create("next", maxParticipants="10", duration="90")
    assert english["message"].startswith("5 of 100 seats are free; 10 seats for 90 minutes fit ")
    await _change(run, language="de")
    german = await run.create("next", maxParticipants="10", duration="90")
    assert german.key == english.key == "maxParticipantsReached"
    assert german["message"].startswith("Von 100 Plätzen sind 5 frei; 10 Plätze für 90 Minuten")
    moodle = {"meta_bbb-origin": "Moodle", "maxParticipants": "10"}
    told = await run.create("next", **moodle)
    assert (told.key, told["message"][:12]) == ("maxConcurrent", "Von 100 Plät")


async def test_an_own_text_is_told_with_its_figures(run: World) -> None:
    texts = '{"en": {"maxParticipantsReached": "Only {free} of {seats}: call 0123."}}'
    await _change(run, refusal_texts=texts)
    refused = await run.create(maxParticipants="200")
    assert refused["message"] == "Only 100 of 100: call 0123."
    other = await run.call(
        "create", {"name": "Room", "meetingID": "big", "maxParticipants": "200"}, **OTHER
    )
    assert "0123" not in other["message"]


async def test_a_full_meeting_is_told_in_the_words_of_its_subscription(run: World) -> None:
    await _change(run, language="de")
    assert (await run.create(maxParticipants="1", moderatorPW="mp-1")).ok
    joins = {"meetingID": "room-42", "password": "mp-1"}
    assert (await run.call("join", {**joins, "fullName": "Ada", "userID": "a"})).status == 302
    full = await run.call("join", {**joins, "fullName": "Bea", "userID": "b"})
    assert (full.key, full["message"]) == (
        "maxParticipantsReached",
        "Alle Plätze dieser Konferenz sind besetzt.",
    )
    target = {"errorRedirectUrl": "https://front.example/back", "fullName": "Bea", "userID": "b"}
    sent = await run.call("join", {**joins, **target})
    assert sent.status == 302
    assert "Alle Plätze" in unquote(sent.headers["Location"])


async def test_a_switched_off_api_is_told_in_its_language_but_to_who_signs_alone(
    run: World,
) -> None:
    await _change(run, language="de", enabled=False)
    off = await run.create()
    assert (off.key, off["message"]) == (
        "integrationDisabled",
        "Die Schnittstelle dieses Vertrags ist abgeschaltet.",
    )
    unsigned = await run.call("create", {"meetingID": "room-42"}, secret="guessed")
    unknown = await run.call("create", secret="guessed", prefix="/b3lb/t/nobody/bbb/api")
    assert unsigned.text == unknown.text, "the language would tell that there is a customer"


async def test_calls_with_a_session_token_are_told_in_the_language_once_it_was_shown(
    run: World,
) -> None:
    assert (await run.create(moderatorPW="mp-1")).ok
    joins = {"meetingID": "room-42", "password": "mp-1", "fullName": "Ada", "redirect": "false"}
    session = (await run.call("join", joins))["session_token"]
    await _change(run, language="de", enabled=False)
    shown = await run.raw("GET", run.url("learningDashboard", f"sessionToken={session}"))
    wrong = await run.raw("GET", run.url("learningDashboard", f"sessionToken={session}x"))
    assert "Die Schnittstelle dieses Vertrags ist abgeschaltet." in shown.text
    assert "Vertrag" not in wrong.text


async def test_bbbs_own_sentences_stay_bbbs(run: World) -> None:
    await _change(run, language="de")
    refused = await run.call("create", {"meetingID": "room-42"})
    assert refused["message"] == "You must provide a meeting name"


async def test_the_texts_of_the_installation_stand_before_the_callers(tmp_path: Path) -> None:
    texts = {"en": "Hi, {subscription}", "de": "{provider}: {seats} x {minutes}, %%DIALNUM%% {x}"}
    settings: dict[str, Any] = {
        "provider_name": "A & B",
        "welcome_texts": texts,
        "moderator_texts": {"en": "Pin %%CONFNUM%%"},
    }
    async with world.running(tmp_path, nodes=1, **settings) as run:
        assert await _welcome(run, welcome="own {seats}") == "Hi, acme<br>own {seats}"
        calls = await run.node_calls("create")
        assert calls[-1]["params"]["moderatorOnlyMessage"] == "Pin %%CONFNUM%%"
        await _change(run, language="de")
        said = await _welcome(run, "german", maxParticipants="7", duration="90")
        assert said == "A &amp; B: 7 x 90, %%DIALNUM%% {x}"
        assert await _welcome(run, "plain", deactivateDefaultChatTexts="true") == ""
        await operations.change_subscription(run.database, "acme", welcome_text="From {provider}")
        await run.directory.refresh()
        assert await _welcome(run, "own") == "From A &amp; B"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"welcome_texts": {"fr": "Bonjour"}}, "there is no language 'fr'"),
        ({"moderator_texts": {"en": "x" * 100_001}}, "100000 characters"),
        ({"welcome_texts": "Welcome"}, "JSON with a text by language"),
        ({"welcome_texts": '["Welcome"]'}, "valid dictionary"),
        ({"time_zone": "Mars/Olympus"}, "write Europe/Berlin"),
        ({"time_zone": "../etc/passwd"}, "write Europe/Berlin"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Settings(data_dir=Path(), **wrong)


def test_texts_are_entered_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEATKEEP_WELCOME_TEXTS", '{"de": "Hallo"}')
    monkeypatch.setenv("SEATKEEP_MODERATOR_TEXTS", "")
    loaded = load(data_dir=Path())
    assert (loaded.welcome_texts, loaded.moderator_texts) == ({"de": "Hallo"}, {})


async def test_pages_of_listed_origins_may_read(run: World) -> None:
    """Origins of the subscription hold for all of its credentials, besides their own."""
    await _change(run, origins="https://all.example")
    async with changes.change(run.database) as session:
        row = await changes.get(session, CredentialRow, "sub", 5, what="credential")
        row.origins = "https://five.example"
    await run.directory.refresh()

    async def allowed(origin: str, **credential: Any) -> str | None:
        reply = await run.call("getMeetings", headers={"Origin": origin}, **credential)
        return reply.headers.get("Access-Control-Allow-Origin")

    five: dict[str, Any] = {"secret": world.OTHER_SECRET, "prefix": "/b3lb/t/acme-5/bbb/api"}
    assert await allowed("https://all.example") == "https://all.example"
    assert await allowed("https://all.example", **five) == "https://all.example"
    assert await allowed("https://five.example", **five) == "https://five.example"
    assert await allowed("https://five.example") is None
    assert await allowed("https://all.example", **OTHER) is None
