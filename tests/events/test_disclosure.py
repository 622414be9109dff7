"""Facts about what of people and nodes leaves this product."""

import orjson
import pytest

from schemas import catalogue, disclosure
from schemas.events import EventKind
from tests.events.builders import MEETING, event

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
NODE_ID = f"sk-{MEETING}"
STRANGER = "sk-" + "f" * 32


def test_names_are_told_only_when_they_are_wanted() -> None:
    joined = event("userJoined", data={"ipAddress": "192.0.2.7", "guest": True})
    shown = disclosure.disclosed(joined, names=False, id_key=b"")
    assert (shown["user_name"], shown["data"]) == ("", {"guest": True})
    assert shown["user_id"] == "staff-7"
    wanted = disclosure.disclosed(joined, names=True, id_key=b"")
    assert wanted == joined


@pytest.mark.parametrize("kind", EventKind)
def test_no_kind_tells_a_name_that_is_not_wanted(kind: EventKind) -> None:
    fields = catalogue.ENTRIES[kind].fields
    told = event(
        kind,
        user_name="Canary",
        data={f.name: {"who": "Canary"} if f.personal else "x" for f in fields},
    )
    shown = disclosure.disclosed(told, names=False, id_key=KEY)
    assert "Canary" not in orjson.dumps(shown).decode()
    assert "staff-7" not in orjson.dumps(shown).decode()


def test_a_session_token_is_never_told() -> None:
    joined = event("userJoined", data={"sessionToken": "canary"})
    assert disclosure.disclosed(joined, names=True, id_key=b"")["data"] == {}


def test_hashed_ids_are_the_same_person_for_one_subscription_and_nobody_for_another() -> None:
    mine = disclosure.hashed("staff-7", KEY)
    assert mine == disclosure.disclosed(event(), names=True, id_key=KEY)["user_id"]
    assert mine.startswith("u-")
    assert len(mine) == 34
    assert mine != disclosure.hashed("staff-8", KEY)
    assert mine != disclosure.hashed("staff-7", OTHER_KEY)
    assert disclosure.hashed("", KEY) == ""


def test_no_id_of_a_node_is_told() -> None:
    recording = {
        "metadata": {"meetingId": NODE_ID, "note": f"a {NODE_ID} b"},
        "playback": [{"link": f"https://n/{STRANGER}?x=sk-1"}],
        NODE_ID: 1,
    }
    told = event("rapPublishEnded", data={"recording": recording})
    shown = disclosure.disclosed(told, names=True, id_key=b"")["data"]["recording"]
    assert shown == {
        "metadata": {"meetingId": "room-42", "note": "a room-42 b"},
        "playback": [{"link": "https://n/?x=sk-1"}],
        "room-42": 1,
    }
