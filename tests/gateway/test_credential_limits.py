"""Limits of one credential inside its subscription, from the directory to the answer."""

import asyncio
from collections.abc import Awaitable, Callable

from scheduler import credentials
from tests.gateway.world import OTHER_SECRET, Reply, World

_PREFIX = "/t/acme-5/bigbluebutton/api"


async def create(run: World, meeting_id: str, seats: int) -> Reply:
    """Create by the credential `acme-5`."""
    given = {"name": "Room", "meetingID": meeting_id, "maxParticipants": str(seats)}
    return await run.call("create", given, prefix=_PREFIX, secret=OTHER_SECRET)


async def limit(run: World, **terms: int | bool | None) -> None:
    """Change `acme-5`, and have the worker see it."""
    await credentials.change_credential(run.database, "acme-5", **terms)  # type: ignore[arg-type]
    await run.directory.refresh()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(5):
        while not await condition():
            await asyncio.sleep(0.02)


async def test_R1_a_credential_gets_its_part_of_the_seats_and_the_others_theirs(
    run: World,
) -> None:
    """8 of 100 seats: 6 fit, 3 more do not, and the refusal says whose seats are meant."""
    await limit(run, seats=8)
    assert (await create(run, "a", 6)).key == "sizeError", "the id is checked first"
    assert (await create(run, "aa", 6)).ok
    refused = await create(run, "bb", 3)
    assert refused.key == "maxParticipantsReached"
    assert refused["message"].startswith("2 of 8 seats of this credential are free; 3 seats for")
    assert (await create(run, "bb", 2)).ok
    assert (await run.create(maxParticipants="60")).ok
    never = await create(run, "cc", 9)
    assert "but this credential has 8 seats in all" in never["message"]


async def test_the_seats_of_a_credential_come_back_with_the_end_of_its_meeting(run: World) -> None:
    await limit(run, seats=8)
    assert (await create(run, "aa", 8)).ok
    assert (await create(run, "bb", 1)).key == "maxParticipantsReached"
    ended = await run.call("end", {"meetingID": "aa"}, prefix=_PREFIX, secret=OTHER_SECRET)
    assert ended.ok
    assert (await create(run, "bb", 8)).ok


async def test_simultaneous_creates_never_exceed_a_credential(run: World) -> None:
    await limit(run, seats=20, meetings_max=3)
    replies = await asyncio.gather(*(create(run, f"room-{i}", 5) for i in range(30)))
    assert sum(reply.ok for reply in replies) == 3
    refused = [reply for reply in replies if not reply.ok]
    assert {reply.key for reply in refused} == {"maxMeetingsReached"}
    assert {reply["message"] for reply in refused} == {
        "The number of simultaneous meetings of this credential is reached."
    }


async def test_a_smaller_part_leaves_meetings_alone_and_binds_new_ones(run: World) -> None:
    assert (await create(run, "aa", 12)).ok
    await limit(run, seats=10)

    async def is_bound() -> bool:
        return (await create(run, "bb", 1)).key == "maxParticipantsReached"

    await until(is_bound)
    again = await create(run, "aa", 12)
    assert again.key == "duplicateWarning"
    await limit(run, seats=None)

    async def is_free() -> bool:
        return (await create(run, "bb", 1)).ok

    await until(is_free)


async def test_a_disabled_credential_is_refused_and_its_neighbour_is_not(run: World) -> None:
    await limit(run, enabled=False)
    assert (await create(run, "aa", 2)).key == "integrationDisabled"
    assert (await run.create(maxParticipants="2")).ok
