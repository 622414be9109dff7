"""The index in the database, on both kinds of database."""

import itertools
import random
import time
from typing import Any, cast

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event, insert, select, text

from scheduler.database import Database
from scheduler.recording_intake import Cursor, Intake, Known
from scheduler.recordings import RecordingIndex
from schemas import recording_requests, recordings
from schemas.params import Params
from schemas.recordings import Doc, Listed
from schemas.tables import RecordingRow
from tests.ledger import builders

RECORDING = RecordingRow.metadata.tables["recording"]
NOW_MS = 1_800_000_000_000
STATES = ("processing", "processed", "published", "unpublished", "deleted")


def doc(**fields: Any) -> Doc:
    made: dict[str, Any] = {
        "name": "Room",
        "breakout": False,
        "state": "published",
        "start_ms": 0,
        "end_ms": 0,
        "participants": 0,
        "raw_bytes": 0,
        "bytes": 0,
        "meta": {},
        "formats": [],
        "data": [],
        "more": [],
    }
    return cast("Doc", made | fields)


def row(record_id: str, **fields: Any) -> dict[str, Any]:
    meta = fields.pop("meta", {})
    state = fields.get("state", "published")
    start_ms = fields.get("start_ms", 0)
    return {
        "id": record_id,
        "credential_id": 1,
        "external_id": "room",
        "meeting_id": "0" * 32,
        "node_id": 1,
        "state": state,
        "start_ms": start_ms,
        "doc": orjson.dumps(doc(meta=meta, state=state, start_ms=start_ms)),
        "own_meta": None,
        "pending": None,
        "fingerprint": "",
        "made_ms": NOW_MS,
        "updated_ms": NOW_MS,
    } | fields


async def put(database: Database, *rows: dict[str, Any]) -> None:
    async with database.write_lock, database.begin() as connection:
        await connection.execute(insert(RECORDING), list(rows))


async def rows_of(database: Database) -> dict[str, Any]:
    async with database.connect() as connection:
        return {found.id: found for found in (await connection.execute(select(RECORDING))).all()}


def index(database: Database) -> RecordingIndex:
    return RecordingIndex(database, now_ms=lambda: NOW_MS + 1)


async def listed(database: Database, credential_id: int = 1, /, **asked: str) -> list[str]:
    page = await index(database).listed(
        credential_id, recording_requests.wanted(Params(dict(asked))), listed_max=1_000
    )
    return [markup.split("<recordID>")[1].split("<")[0] for markup in page.markup]


async def test_a_row_without_a_recording_is_listed_to_nobody(database: Database) -> None:
    await put(database, row("a"), row("b", doc=None, state=""))
    assert await listed(database, state="any") == ["a"]
    assert await index(database).wish(1, ["b"], {"state": "deleted"}) is None
    assert await index(database).node_of(1, "b") is None


async def test_every_look_up_is_the_credentials_own(database: Database) -> None:
    await put(database, row("a"), row("b", credential_id=2))
    assert await listed(database, recordID="a,b") == ["a"]
    assert await listed(database, 2, recordID="a,b") == ["b"]
    assert await index(database).node_of(2, "a") is None
    assert await index(database).wish(2, ["a", "b"], {"state": "deleted"}) is None
    assert await index(database).wish(3, ["a"], {}) is None
    assert {found.state for found in (await rows_of(database)).values()} == {"published"}


async def test_every_question_for_a_caller_names_the_credential_to_the_database(
    database: Database,
) -> None:
    asked: list[str] = []

    def listen(_c: Any, _k: Any, statement: str, *_more: Any) -> None:
        if "FROM recording" in statement:
            asked.append(statement)

    await put(database, row("a"))
    event.listen(database.engine.sync_engine, "before_cursor_execute", listen)
    filters: tuple[dict[str, str], ...] = (
        {},
        {"recordID": "a"},
        {"meetingID": "room"},
        {"meta_k": "%", "state": "any", "limit": "1"},
    )
    for one in filters:
        await listed(database, **one)
    await index(database).node_of(1, "a")
    await index(database).wish(1, ["a"], {"state": "deleted"})
    assert len(asked) >= 8
    for statement in asked:
        assert "recording.credential_id =" in statement, statement


async def test_a_wish_shows_at_once_and_is_settled_only_by_its_own_note(
    database: Database,
) -> None:
    await put(database, row("a", meta={"k": "1", "gone": "x"}))
    first = await index(database).wish(1, ["a"], {"meta": {"k": "2", "gone": ""}})
    assert first is not None
    assert await listed(database, meta_k="2") == ["a"]
    second = await index(database).wish(1, ["a"], {"state": "unpublished"})
    assert second is not None
    assert second[0].change == {"state": "unpublished", "meta": {"k": "2", "gone": ""}}
    await index(database).settle(first)  # overtaken: nothing is settled
    assert (await rows_of(database))["a"].pending == second[0].packed
    assert [w.packed for w in await index(database).wishes_of(1, 10)] == [second[0].packed]
    await index(database).settle(second)
    found = (await rows_of(database))["a"]
    assert (found.pending, found.state) == (None, "unpublished")
    assert orjson.loads(found.doc)["meta"] == {"k": "2"}


async def test_an_undone_wish_leaves_what_was_there_before(database: Database) -> None:
    await put(database, row("a"))
    first = await index(database).wish(1, ["a"], {"meta": {"k": "2"}})
    second = await index(database).wish(1, ["a"], {"state": "deleted"})
    assert first is not None
    assert second is not None
    await index(database).undo(second)
    found = (await rows_of(database))["a"]
    assert (found.pending, found.state) == (first[0].packed, "published")
    await index(database).undo(second)
    assert (await rows_of(database))["a"].pending == first[0].packed


async def test_what_was_changed_after_the_node_was_asked_is_not_overwritten(
    database: Database,
) -> None:
    await put(database, row("a"))
    wishes = await index(database).wish(1, ["a"], {"state": "unpublished"})
    assert wishes is not None
    await index(database).settle(wishes)
    said = Listed("a", "", "", "", doc(name="New", state="published"))
    intake = Intake(database, now_ms=lambda: NOW_MS)
    await intake.write(1, [(said, Known("", ""))], as_of_ms=NOW_MS)
    assert (await rows_of(database))["a"].state == "unpublished"
    await intake.write(1, [(said, Known("", ""))], as_of_ms=NOW_MS + 1)
    found = (await rows_of(database))["a"]
    assert (found.state, found.fingerprint) == ("published", said.fingerprint)
    assert (await intake.known(1, ["a", "z"])) == {"a": Known(said.fingerprint, "")}


async def test_a_node_writes_its_own_rows_only(database: Database) -> None:
    await put(database, row("a", node_id=2))
    said = Listed("a", "", "", "", doc(name="New", state="deleted"))
    intake = Intake(database)
    assert await intake.known(1, ["a"]) == {}
    await intake.write(1, [(said, Known("", ""))], as_of_ms=NOW_MS)
    await intake.drop(1, ["a"], as_of_ms=NOW_MS)
    assert (await rows_of(database))["a"].state == "published"


async def _put_meetings(database: Database, *records: Any) -> None:
    names = list(type(records[0]).__dataclass_fields__)
    async with database.write_lock, database.begin() as connection:
        await connection.execute(
            insert(RecordingRow.metadata.tables["meeting"]),
            [{name: getattr(record, name) for name in names} for record in records],
        )


def _meeting(number: int, **fields: Any) -> Any:
    asked = {"params": [("record", fields.pop("record", "true"))], "meta": {}}
    given: dict[str, Any] = {
        "node_id": 1,
        "state": "held",
        "internal_id": f"conference-{number}",
        "bound": b"{}",
        "doc": orjson.dumps(asked),
        "updated_ms": NOW_MS + number,
    }
    return builders.meeting(**({"pool_id": 1} | given | fields))


async def _scan(intake: Intake, cursor: Cursor) -> Cursor:
    done: set[str] = set()
    while (after := await intake.note_recorded(1, cursor, done)) != cursor:
        cursor = after
    return cursor


async def test_meetings_that_may_be_recorded_get_a_row_once_they_are_on_a_node(
    database: Database,
) -> None:
    await _put_meetings(
        database,
        _meeting(1),
        _meeting(2, record="false"),
        _meeting(3, internal_id=None, bound=None, state="placing"),
        _meeting(4, state="placing"),
        _meeting(5, pool_id=2),
        _meeting(6, record="TRUE", state="ended", live=False),
    )
    intake = Intake(database)
    cursor = await _scan(intake, Cursor())
    assert set(await rows_of(database)) == {"conference-1", "conference-6"}
    assert cursor.updated_ms == NOW_MS + 6
    assert (await intake.resume([1, 2])).updated_ms == NOW_MS + 6 - 120_000
    await _scan(intake, Cursor())
    assert len(await rows_of(database)) == 2


async def test_many_meetings_of_one_moment_are_all_looked_at(database: Database) -> None:
    await _put_meetings(database, *(_meeting(n, updated_ms=NOW_MS) for n in range(1_203)))
    await _scan(Intake(database), Cursor())
    assert len(await rows_of(database)) == 1_203


async def test_a_list_alone_makes_nobody_an_owner(database: Database) -> None:
    ours = _meeting(1)
    elsewhere = _meeting(2, node_id=2)
    await _put_meetings(database, ours, elsewhere)

    def said(record_id: str, meeting_id: str = "", parent_id: str = "") -> Listed:
        return Listed(record_id, f"sk-{meeting_id}", meeting_id, parent_id, doc())

    intake = Intake(database)
    for claim in (
        said("conference-9", ours.id),  # not the conference that our meeting is
        said("conference-2", elsewhere.id),  # not the node that our meeting is on
        said("conference-1"),  # no claim
        said("conference-1", "f" * 32),  # no such meeting
        said("conference-7", parent_id="conference-2"),  # the parent is on another node
    ):
        assert await intake.adopt(1, [claim]) == set()
    assert await rows_of(database) == {}
    assert await intake.adopt(1, [said("conference-1", ours.id)]) == {"conference-1"}
    room = said("conference-7", parent_id="conference-1")
    assert await intake.adopt(1, [room]) == {"conference-7"}
    found = await rows_of(database)
    assert {one.credential_id for one in found.values()} == {ours.credential_id}


async def test_rows_of_meetings_that_left_no_recording_go_in_the_end(database: Database) -> None:
    await put(database, row("a"), row("b", doc=None), row("c", doc=None, made_ms=NOW_MS + 1))
    assert await Intake(database).forget_unrecorded(NOW_MS + 1) == 1
    assert set(await rows_of(database)) == {"a", "c"}


async def test_five_thousand_recordings_are_listed_within_seconds(database: Database) -> None:
    formats = [
        {
            "type": "presentation",
            "url": "https://bbb.example/playback/presentation/2.3/" + "a" * 54,
            "processing_ms": 1,
            "length_min": 60,
            "bytes": 1,
            "more": [],
        }
    ]
    packed = orjson.dumps(doc(formats=formats, meta={"course": "77", "origin": "Moodle"}))
    rows = [row(f"{n:040x}-1718000000000", start_ms=n, doc=packed) for n in range(5_000)]
    for start in range(0, len(rows), 500):
        await put(database, *rows[start : start + 500])
    began_s = time.monotonic()
    page = await index(database).listed(1, recording_requests.wanted(Params({})), listed_max=10_000)
    took_s = time.monotonic() - began_s
    assert (len(page.markup), page.total) == (5_000, 5_000)
    assert took_s < 5
    began_s = time.monotonic()
    asked = recording_requests.wanted(Params({"meta_course": "7%", "limit": "50"}))
    page = await index(database).listed(1, asked, listed_max=10_000)
    assert (len(page.markup), page.total) == (50, 5_000)
    assert time.monotonic() - began_s < 5


def _fits(one: dict[str, Any], asked: dict[str, str]) -> bool:
    """The filters once more, as plainly as they can be said."""
    if asked.get("recordID", "").strip(","):
        prefixes = [part for part in asked["recordID"].split(",") if part]
        if not any(one["id"].startswith(prefix) for prefix in prefixes):
            return False
    elif (ids := asked.get("meetingID", "")).strip(",") and one["external_id"] not in ids.split(
        ","
    ):
        return False
    states = [part for part in asked.get("state", "").split(",") if part]
    if "any" not in states and one["state"] not in (states or ("published", "unpublished")):
        return False
    meta = orjson.loads(one["doc"])["meta"]
    for name, pattern in asked.items():
        if not name.startswith("meta_") or not pattern:
            continue
        value = meta.get(name[5:].lower())
        if value is None:
            return False
        body = pattern.strip("%")
        plain = {
            (False, False): value == pattern,
            (True, False): value.endswith(body),
            (False, True): value.startswith(body),
            (True, True): body in value,
        }
        if not plain[pattern[0] == "%", pattern[-1] == "%"]:
            return False
    return True


_IDS = ["aa-1", "aa-2", "ab-1", "ab-12", "b%-1", "b_-1", "bx-1"]
_PIECES = ["a", "aa", "aa-1", "ab-1", "b", "b%", "b_", "x", "%", ""]
_asked = st.fixed_dictionaries(
    {},
    optional={
        "recordID": st.lists(st.sampled_from(_PIECES), max_size=3).map(",".join),
        "meetingID": st.lists(st.sampled_from(["room", "hall", "Room", ""]), max_size=3).map(
            ",".join
        ),
        "state": st.lists(st.sampled_from([*STATES, "any", "odd", ""]), max_size=3).map(",".join),
        "meta_k": st.sampled_from(["", "x", "xy", "x%", "%y", "%x%", "%"]),
        "meta_L": st.sampled_from(["", "x", "%"]),
        "limit": st.sampled_from(["", "1", "2", "100", "-1", "x"]),
        "offset": st.sampled_from(["", "0", "1", "3", "-2", "x"]),
    },
)
_metas = st.dictionaries(st.sampled_from(["k", "l"]), st.sampled_from(["x", "xy", "yx", "y"]))
_rows = st.lists(
    st.tuples(
        st.sampled_from(["room", "hall"]), st.sampled_from(STATES), _metas, st.integers(0, 3)
    ),
    min_size=len(_IDS),
    max_size=len(_IDS),
)


async def test_the_filters_do_what_a_plain_reading_of_them_says(database: Database) -> None:
    randomness = random.Random(5)
    cases: list[tuple[Any, dict[str, str]]] = []

    @settings(max_examples=60, derandomize=True, database=None)
    @given(_rows, st.lists(_asked, min_size=3, max_size=3))
    def collect(described: Any, asked: Any) -> None:
        cases.extend(zip(itertools.repeat(described), asked))

    collect()
    before = None
    for described, asked in cases:
        made = [
            row(record_id, external_id=external_id, state=state, meta=meta, start_ms=start_ms)
            for record_id, (external_id, state, meta, start_ms) in zip(_IDS, described, strict=True)
        ]
        if described is not before:
            randomness.shuffle(made)
            async with database.write_lock, database.begin() as connection:
                await connection.execute(text("DELETE FROM recording"))
            await put(database, *made, row("aa-3", credential_id=2))
            before = described
        expected = sorted(
            (one for one in made if _fits(one, asked)), key=lambda r: (-r["start_ms"], r["id"])
        )
        limit = asked.get("limit", "")
        if limit.lstrip("-").isdigit():
            offset = max(0, int(asked.get("offset", "0").replace("x", "0") or 0))
            expected = expected[offset : offset + max(1, int(limit))]
        assert await listed(database, **asked) == [one["id"] for one in expected], asked


def test_the_states_of_the_tests_are_those_of_the_product() -> None:
    assert set(STATES) == recordings.STATES
