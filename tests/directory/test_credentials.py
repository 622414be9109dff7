"""Changing credentials: what is stored, what is refused, and how secrets follow one another."""

from collections.abc import Callable

import pytest
import pytest_asyncio
from sqlalchemy import text

from scheduler import changes, credentials, operations
from scheduler.checks import OperationError
from scheduler.database import Database
from scheduler.directory import load_directory
from scheduler.directory_records import rules_of, slug_and_sub, terms_of
from scheduler.trial import trial
from scheduler.vault import Vault

SetClock = Callable[[int], None]


@pytest_asyncio.fixture(autouse=True)
async def furnished(database: Database, vault: Vault) -> None:
    """Make two subscriptions with two credentials each."""
    await operations.ensure_pool(database, "default")
    for slug in ("acme", "other"):
        await operations.add_subscription(database, slug, seats=20, default_seats=7)
        for sub in (None, 5):
            await operations.add_credential(
                database, vault, subscription=slug, sub=sub, secret=f"secret-{slug}-{sub}"
            )


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """Return what moves the clock of operations and of the directory."""

    def move(now_ms: int) -> None:
        monkeypatch.setattr("scheduler.changes.now_ms", lambda: now_ms)
        monkeypatch.setattr("scheduler.directory._now_ms", lambda: now_ms)

    return move


async def _secrets(database: Database, vault: Vault, name: str) -> tuple[str, ...]:
    return (await load_directory(database, vault)).credential_by_name[name].secrets


async def _version(database: Database) -> int:
    async with database.connect() as connection:
        found = await connection.execute(text("SELECT directory_version FROM installation"))
        return int(found.scalar_one())


async def test_everything_of_a_credential_can_be_set_and_cleared(
    database: Database, vault: Vault
) -> None:
    await credentials.change_credential(
        database,
        "acme-5",
        label="Moodle",
        seats=15,
        meetings_max=3,
        default_seats=4,
        default_duration_s=1_800,
        meeting_seats_max=9,
        duration_max_s=3_600,
        hosts="A.example, b.example.",
        algorithms="SHA512 sha256",
        origins="https://App.example:8443, http://b.example",
        refused_calls="setConfigXML, end",
        jsonp=True,
        draft=True,
        moderators_pass=True,
        rules="create block logo\n",
    )
    directory = await load_directory(database, vault)
    five = directory.credential_by_name["acme-5"]
    assert (five.label, five.seats, five.meetings_max) == ("Moodle", 15, 3)
    assert (five.hosts, five.algorithms) == (
        ("a.example", "b.example"),
        frozenset(("sha256", "sha512")),
    )
    assert five.origins == {"https://app.example:8443", "http://b.example"}
    assert five.refused_calls == {"setConfigXML", "end"}
    assert five.jsonp
    assert five.draft
    assert five.moderators_pass
    terms = terms_of(five)
    assert (terms.seats, terms.duration_s, terms.seats_max) == (4, 1_800, 9)
    assert terms.duration_max_s == 3_600
    await credentials.change_credential(
        database,
        "acme-005",
        seats=None,
        default_seats=None,
        default_duration_s=None,
        duration_max_s=None,
        hosts="",
        origins="",
        refused_calls="",
        rules="",
    )
    directory = await load_directory(database, vault)
    five = directory.credential_by_name["acme-5"]
    assert (five.seats, five.default_seats, five.default_duration_s) == (None, 7, 7_200)
    assert (five.hosts, five.rules) == ((), "")
    assert not five.origins | five.refused_calls
    assert five.meetings_max == 3, "what is not named stays"


async def test_rules_of_the_subscription_come_before_those_of_the_credential(
    database: Database, vault: Vault
) -> None:
    await operations.change_subscription(database, "acme", rules="create block logo")
    await credentials.change_credential(database, "acme", rules="create block darklogo")
    directory = await load_directory(database, vault)
    assert rules_of(directory.credential_by_name["acme"]).split("\n") == [
        "create block logo",
        "create block darklogo",
    ]
    assert rules_of(directory.credential_by_name["acme-5"]) == "create block logo"


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        ({}, "nothing to change"),
        ({"seats": 0}, "seats must be from 1"),
        ({"default_duration_s": 5}, "default_duration_s must be from 60"),
        ({"enabled": None}, "enabled must be true or false"),
        ({"jsonp": "yes"}, "jsonp must be true or false"),
        ({"secret": "x"}, "secret cannot be set"),
        ({"algorithms": "md5"}, "'md5' is no algorithm"),
        ({"algorithms": ""}, "name one"),
        ({"origins": "https://a.example/path"}, "an origin is"),
        ({"origins": "* https://a.example"}, "leave the others out"),
        ({"origins": "null"}, "an origin is"),
        ({"refused_calls": "getmeetings"}, "no call 'getmeetings'"),
        ({"hosts": "a b_c"}, "is not a host name"),
        ({"hosts": "taken.example"}, "the host taken.example belongs to another credential"),
        ({"rules": "create block meetingID"}, "line 1: meetingID says what the call is about"),
        ({"rules": 7}, "rules must be a text"),
    ],
)
async def test_a_wrong_entry_is_refused_with_a_sentence_and_changes_nothing(
    database: Database, terms: dict[str, object], says: str
) -> None:
    await credentials.change_credential(database, "other", hosts="taken.example")
    version = await _version(database)
    with pytest.raises(OperationError, match=says.replace("*", r"\*")):
        await credentials.change_credential(database, "acme", **terms)  # type: ignore[arg-type]
    assert await _version(database) == version


async def test_a_credential_keeps_its_own_hosts_when_they_are_entered_again(
    database: Database, vault: Vault
) -> None:
    for hosts in ("a.example", "a.example,b.example"):
        await credentials.change_credential(database, "acme", hosts=hosts)
    directory = await load_directory(database, vault)
    assert set(directory.credential_by_host) == {"a.example", "b.example"}


async def test_rules_of_a_subscription_are_read_before_they_are_stored(
    database: Database,
) -> None:
    with pytest.raises(OperationError, match="line 2: 'change' is no action"):
        await operations.change_subscription(
            database, "acme", rules="create block logo\ncreate change x=1"
        )


@pytest.mark.parametrize("name", ["nobody", "acme-6", "acme-", "", "acme-5-5", "acme-five"])
async def test_a_name_that_nobody_has_is_refused(
    database: Database, vault: Vault, name: str
) -> None:
    with pytest.raises(OperationError, match="there is no credential"):
        await credentials.change_credential(database, name, seats=5)
    with pytest.raises(OperationError, match="there is no credential"):
        await credentials.rotate(database, vault, name, overlap_s=0)


def test_the_number_is_what_stands_behind_the_last_dash() -> None:
    assert slug_and_sub("acme") == ("acme", None)
    assert slug_and_sub("acme-005") == ("acme", 5)
    assert slug_and_sub("acme-north-0") == ("acme-north", 0)
    assert slug_and_sub("acme-²") == ("acme-²", None)


async def test_a_rotation_ends_to_the_millisecond_and_then_the_secret_is_removed(
    database: Database, vault: Vault, set_clock: SetClock
) -> None:
    set_clock(1_000_000)
    made = await credentials.rotate(database, vault, "acme", overlap_s=60)
    assert await _secrets(database, vault, "acme") == (made.secret, "secret-acme-None")
    set_clock(1_059_999)
    assert len(await _secrets(database, vault, "acme")) == 2
    assert await credentials.drop_previous(database) == 0
    set_clock(1_060_000)
    assert await _secrets(database, vault, "acme") == (made.secret,)
    (shown,) = await credentials.describe(database, name="acme")
    assert (shown["previous"], shown["previous_until_ms"]) == (False, None)
    version = await _version(database)
    assert await credentials.drop_previous(database) == 1
    assert await _version(database) == version + 1
    assert await credentials.drop_previous(database) == 0
    assert await _version(database) == version + 1, "nothing to remove writes nothing"
    rows = await operations.list_credentials(database)
    assert not [row for row in rows if row.previous_secret or row.previous_until_ms]


async def test_a_second_rotation_waits_for_the_end_of_the_first(
    database: Database, vault: Vault, set_clock: SetClock
) -> None:
    set_clock(1_000_000)
    await credentials.rotate(database, vault, "acme", overlap_s=60)
    with pytest.raises(OperationError, match="credential revoke acme`"):
        await credentials.rotate(database, vault, "acme", overlap_s=60)
    set_clock(1_060_000)
    second = await credentials.rotate(database, vault, "acme", overlap_s=60)
    assert (await _secrets(database, vault, "acme"))[0] == second.secret
    await credentials.revoke_previous(database, "acme")
    assert await _secrets(database, vault, "acme") == (second.secret,)
    with pytest.raises(OperationError, match="nothing to revoke"):
        await credentials.revoke_previous(database, "acme")


@pytest.mark.parametrize(
    ("overlap_s", "secret"), [(-1, None), (367 * 86_400, None), (60, "short"), (60, "with blank x")]
)
async def test_a_rotation_is_refused_as_a_whole(
    database: Database, vault: Vault, overlap_s: int, secret: str | None
) -> None:
    with pytest.raises(OperationError) as refused:
        await credentials.rotate(database, vault, "acme", overlap_s=overlap_s, secret=secret)
    assert secret is None or secret not in str(refused.value)
    assert await _secrets(database, vault, "acme") == ("secret-acme-None",)


async def test_a_credential_without_its_newest_secret_is_not_served_by_the_former(
    database: Database, vault: Vault
) -> None:
    await credentials.rotate(database, vault, "acme", overlap_s=3_600)
    async with database.write_lock, database.begin() as connection:
        await connection.execute(text("UPDATE credential SET secret = :s"), {"s": b"rubbish"})
    directory = await load_directory(database, vault)
    assert not directory.credentials


async def test_descriptions_never_hold_a_secret(database: Database, vault: Vault) -> None:
    made = await credentials.rotate(database, vault, "acme", overlap_s=3_600)
    rows = await credentials.describe(database)
    assert [row["name"] for row in rows] == ["acme", "acme-5", "other", "other-5"]
    assert [row["previous"] for row in rows] == [True, False, False, False]
    assert "secret" not in repr(rows)
    assert made.secret not in repr(rows)
    only = await credentials.describe(database, subscription="other")
    assert [row["name"] for row in only] == ["other", "other-5"]
    with pytest.raises(OperationError, match="no subscription nobody"):
        await credentials.describe(database, subscription="nobody")


async def test_a_dry_run_shows_what_would_become_of_a_create(
    database: Database, vault: Vault
) -> None:
    await operations.change_subscription(
        database, "acme", meeting_seats_max=50, rules="create cap maxParticipants=40"
    )
    await credentials.change_credential(
        database, "acme-5", rules="create if record block logo\ncreate default record=false"
    )
    directory = await load_directory(database, vault)
    query = "name=Test&meetingID=room&maxParticipants=500&logo=x&meetingEndedURL=https://e.example"
    found = trial(directory, "acme-005", "create", query + "&checksum=abc")
    assert found["refusal"] is None
    assert (found["seats"], found["duration_s"]) == (40, 7_200)
    assert found["callbacks"] == ["https://e.example"]
    assert [(rule["rule"], rule["held"]) for rule in found["rules"]] == [
        ("create if record block logo", False),
        ("create default record=false", True),
        ("create cap maxParticipants=40", True),
    ]
    assert found["rules"][2]["changed"] == [
        {"name": "maxParticipants", "before": "500", "after": "40"}
    ]
    node = found["node"]
    assert (node["maxParticipants"], node["record"], node["logo"]) == ("40", "false", "x")
    assert node["attendeePW"] == "(random)"
    assert "checksum" not in found["sent"]
    assert trial(directory, "other", "create", query)["seats"] == 500


async def test_a_dry_run_shows_the_refusal_of_a_call(database: Database, vault: Vault) -> None:
    await credentials.change_credential(database, "other", enabled=False)
    await credentials.change_credential(database, "other-5", refused_calls="join")
    directory = await load_directory(database, vault)
    join = "meetingID=room&fullName=Ada&role=VIEWER"
    for name, call, query, key in (
        ("acme", "create", "meetingID=room", "nullError"),
        ("acme", "join", "meetingID=room", "missingParamFullName"),
        ("other", "create", "name=Room&meetingID=room", "integrationDisabled"),
        ("other-5", "join", join, "unsupportedRequest"),
    ):
        found = trial(directory, name, call, query)
        assert found["refusal"]["key"] == key
        assert "node" not in found
    assert trial(directory, "acme", "join", join)["node"]["fullName"] == "Ada"
    with pytest.raises(OperationError, match="create and join only"):
        trial(directory, "acme", "end", "")
    with pytest.raises(OperationError, match="no credential nobody"):
        trial(directory, "nobody", "create", "")
    with pytest.raises(OperationError, match="more than 4000"):
        trial(directory, "acme", "create", "&" * 5_000)


def test_the_clock_of_changes_is_that_of_the_machine() -> None:
    assert changes.now_ms() > 1_700_000_000_000
