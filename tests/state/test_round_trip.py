"""What was exported comes back as it was, and changes nothing where it came from."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from scheduler.database import Database
from scheduler.directory import load_directory
from scheduler.manage import state as states
from scheduler.manage.context import Context
from scheduler.state import parsing, planning, writing
from scheduler.state.checking import wanted
from scheduler.state.items import State
from scheduler.vault import Vault
from schemas.management.state import StateDocument
from schemas.tables import Installation
from tests.state.conftest import FULL, Make, both_databases, bring, dump

VAULT = Vault(b"k" * 32)


async def version(database: Database) -> int:
    async with database.session() as session:
        return int((await session.scalars(select(Installation))).one().directory_version)


@both_databases
async def test_an_export_makes_an_empty_installation_the_same(make: Make) -> None:
    first, second = await make(), await make()
    assert await bring(first, FULL) == "13+ 0~ 0-"
    exported = await dump(first)
    assert await bring(second, exported) == "13+ 0~ 0-"
    assert await dump(second) == exported
    # Other processes see the same as well: the directory has what the state has.
    one = await load_directory(first.database, first.vault)
    two = await load_directory(second.database, second.vault)
    assert one.credential_by_name["acme-5"].secrets == ("acme-secret-5", "acme-secret-5-before")
    assert two.credential_by_name["acme-5"].secrets == one.credential_by_name["acme-5"].secrets
    assert two.nodes == one.nodes
    assert [e.secrets for e in two.endpoints.values()] == [
        e.secrets for e in one.endpoints.values()
    ]


@both_databases
async def test_importing_what_is_there_writes_nothing(context: Context) -> None:
    await bring(context, FULL)
    before = await version(context.database)
    for text in (FULL, await dump(context)):
        assert await bring(context, text, prune="all") == "0+ 0~ 0-"
    assert await version(context.database) == before


async def test_a_file_without_secrets_leaves_them(context: Context) -> None:
    await bring(context, FULL)
    before = await dump(context)
    bare = writing.as_json(await states.document(context))
    for secret in ("node-secret", "acme-secret", "own-secret", "whsec", "beta-secret"):
        assert secret not in bare
    assert await bring(context, bare, prune="all") == "0+ 0~ 0-"
    assert await dump(context) == before


async def test_the_export_fits_the_schema(context: Context) -> None:
    await bring(context, FULL)
    schema = StateDocument.model_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    exported = await states.document(context, write=lambda text, *_: {"env": text.upper()})
    jsonschema.validate(json.loads(writing.as_json(exported)), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"seatkeep": 1, "nodes": {"a": {"seats": "5"}}}, schema)


# --- any state at all

_WORD = st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True)
_LINE = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=20)
_TEXT = st.lists(_LINE, max_size=3).map("\n".join)
_SECRET = st.text(st.sampled_from("!'\"#&*:{}[]|>%@`,?-~0123456789abcXYZ"), min_size=8, max_size=20)
_LIMIT = st.none() | st.integers(1, 1_000_000)
_DURATION = st.none() | st.integers(60, 366 * 86_400)
_WORDS = st.lists(_WORD, max_size=3, unique=True)
_RULES = st.lists(
    st.sampled_from(
        ("# a remark: 'quoted'", "create block meta_*", "create default welcome=a: b # c", "")
    ),
    max_size=3,
).map("\n".join)


def _some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


@st.composite
def _with_secret(draw: st.DrawFn, part: dict[str, Any]) -> dict[str, Any]:
    part["secret"] = draw(_SECRET)
    if draw(st.booleans()):
        part["previous_secret"] = draw(_SECRET)
        if draw(st.booleans()):
            at = draw(st.datetimes(dt.datetime(2030, 1, 1), dt.datetime(2090, 1, 1)))  # noqa: DTZ001
            part["previous_until_at"] = at.isoformat(timespec="milliseconds") + "Z"
    return part


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    pools = draw(
        st.dictionaries(
            _WORD,
            _some(
                mode=st.sampled_from(("spread", "pack")), keep_free=_LIMIT, large_seats=st.just(7)
            ),
            min_size=1,
            max_size=2,
        )
    )
    pool = st.sampled_from(sorted(pools))
    nodes = {}
    for name in draw(st.lists(_WORD, max_size=3, unique=True)):
        part = draw(
            _some(
                meeting_seats_max=_LIMIT,
                state=st.sampled_from(("active", "draining", "disabled")),
                weight=st.integers(1, 1_000),
                tags=_WORDS,
                maintenance=st.lists(
                    st.fixed_dictionaries(
                        {
                            "start_at": st.just("2090-01-01T00:00:00Z"),
                            "end_at": st.sampled_from(
                                ("2090-01-01T01:00:00Z", "2090-01-01T00:00:00-05:30")
                            ),
                            "note": _LINE,
                        }
                    ),
                    max_size=2,
                ),
            )
        )
        fixed = {"url": f"https://{name}.example.org/", "seats": 5, "pool": draw(pool)}
        nodes[name] = draw(_with_secret({**part, **fixed}))
    shared = {
        "meetings_max": _LIMIT,
        "meeting_seats_max": _LIMIT,
        "duration_max_s": _DURATION,
        "rules": _RULES,
        "origins": st.lists(
            st.sampled_from(("https://a.example", "http://b:3000")), max_size=2, unique=True
        ),
        "enabled": st.booleans(),
    }
    subscriptions, credentials, endpoints = {}, {}, []
    for slug in draw(st.lists(_WORD, max_size=3, unique=True)):
        part = draw(
            _some(
                **shared,
                name=_LINE,
                welcome_text=_TEXT,
                moderator_text=_TEXT,
                node_tags=_WORDS,
                language=st.sampled_from(("en", "de")),
                refusal_texts=st.just({"de": {"notFound": "Nicht da"}}),
                event_names=st.booleans(),
                suspended=st.booleans(),
            )
        )
        subscriptions[slug] = {**part, "seats": draw(st.integers(1, 9)), "pool": draw(pool)}
        for sub in draw(st.lists(st.none() | st.integers(0, 999), max_size=2, unique=True)):
            name = slug if sub is None else f"{slug}-{sub}"
            part = draw(
                _some(
                    **shared,
                    label=_LINE,
                    seats=_LIMIT,
                    default_seats=_LIMIT,
                    algorithms=st.just(["sha512", "sha1"]),
                    refused_calls=st.just(["join", "end"]),
                    jsonp=st.booleans(),
                )
            )
            credentials[name] = draw(
                _with_secret({**part, "hosts": [f"{name}.example", f"a.{name}.example"]})
            )
        for url in draw(st.lists(st.sampled_from(("http://a/x", "http://b/")), max_size=3)):
            part = draw(
                _some(
                    label=_LINE,
                    enabled=st.booleans(),
                    external_id=_WORD,
                    own_secret=st.just(value=True),
                )
            )
            endpoints.append({**part, "subscription": slug, "url": url})
    return {
        "seatkeep": 1,
        "pools": pools,
        "nodes": nodes,
        "subscriptions": subscriptions,
        "credentials": credentials,
        "endpoints": endpoints,
    }


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(documents())
def test_any_state_is_read_as_it_was_written(document: dict[str, Any]) -> None:
    """Import, export as YAML and as JSON, import: no plan has a change."""
    asked = wanted(parsing.parse(json.dumps(document).encode()), VAULT)
    for text in _texts(asked.items):
        again = wanted(parsing.parse(text.encode()), VAULT)
        plan = planning.plan(
            asked.items, again, frozenset(again.kinds), now_s=0, parsed=parsing.Parsed(None)
        )
        assert not plan.changes, [(c.item.key, c.shown()) for c in plan.changes]
        assert list(_texts(again.items)) == list(_texts(asked.items))


def _texts(found: State) -> list[str]:
    document = writing.document(found, lambda text, *_: text, now_ms=0)
    return [writing.as_yaml(document, "one\ntwo"), writing.as_json(document)]


@settings(
    max_examples=5,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(first=documents(), second=documents())
async def test_from_any_state_to_any_other_and_back(
    first: dict[str, Any], second: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    from tests.state.conftest import installation  # an own database for each example

    context = await installation(Path(tmp_path_factory.mktemp("any")))
    try:
        dumped = []
        for document in (first, second, first):
            text = json.dumps(document)
            await bring(context, text, prune="all")
            assert await bring(context, text, prune="all") == "0+ 0~ 0-"
            dumped.append(await _whole(context))
        assert dumped[0] == dumped[2]
    finally:
        await context.database.close()


async def _whole(context: Context) -> dict[str, Any]:
    """Return the state without made secrets and without the order of equal endpoints."""
    document = await states.document(context, write=lambda text, *_: text)
    for endpoint in document["endpoints"]:
        endpoint.pop("secret", None)
    document["endpoints"].sort(key=lambda e: json.dumps(e, sort_keys=True))
    return document
