"""Ids are not permission: for every call there is, another tenant's things do not exist.

Servers of this field let one tenant change recordings when one id of a list was his, find another's
meeting under the same id, or use a token on another's meeting. The rows are in `tenants`; a call
that is added later fails here until it has one.
"""

import pytest

from gateway.dispatch import Dispatch
from tests.gateway import wire
from tests.gateway.world import World
from tests.security import tenants
from tests.security.tenants import DRAFT, MEETING, NOBODYS, ROWS, Row

BY_NAME = [f"{number}-{row.call}" for number, row in enumerate(ROWS)]
LISTS = ["publishRecordings", "deleteRecordings", "updateRecordings"]


async def test_every_call_has_a_row(run: World) -> None:
    dispatch = Dispatch(run.parts)
    try:
        today, draft = set(dispatch.calls), {f"{DRAFT}{name}" for name in dispatch._draft.table}
    finally:
        await dispatch.close()
    assert today | draft == {row.call for row in ROWS}


@pytest.mark.parametrize("row", ROWS, ids=BY_NAME)
async def test_what_is_another_tenants_does_not_exist(run: World, row: Row) -> None:
    """The answer on his ids is, byte for byte, the answer on ids that nobody has."""
    victim, other, sibling = await tenants.parties(run)
    await tenants.furnish(victim)
    before = await victim.state()
    for intruder in (other, sibling):
        nothing = await intruder.call(row, NOBODYS)
        if row.call == "hooks/create":
            await intruder.get("hooks/destroy", f"hookID={nothing['hookID']}")
        stolen = await intruder.call(row, victim.ids)
        assert tenants.comparable(stolen, victim.ids) == tenants.comparable(nothing, NOBODYS)
        shown = stolen.text if row.lists else victim.ids.masked(stolen.text)
        assert not [text for text in victim.private if text in shown], stolen.text
    assert await victim.state() == before
    # The other way round, or the row would prove nothing.
    own = await victim.call(row, victim.ids)
    foreign = await victim.call(row, NOBODYS)
    if row.lists:
        assert [text for text in victim.private if text in own.text]
    elif not row.same_for_owner:
        found = tenants.comparable(own, victim.ids)
        assert found != tenants.comparable(foreign, NOBODYS)


@pytest.mark.parametrize("row", ROWS, ids=BY_NAME)
async def test_the_same_ids_are_two_things(run: World, row: Row) -> None:
    """Both have a meeting of that id: each call finds the caller's own, and only that."""
    victim, other, _ = await tenants.parties(run)
    await tenants.furnish(victim)
    await tenants.furnish(other)
    before = await victim.state()
    reply = await other.call(row, other.ids)
    assert not [text for text in victim.private if text in reply.text], reply.text
    assert not [text for text in victim.private if text in reply.headers.get("Location", "")]
    assert await victim.state() == before


async def test_a_signature_opens_its_own_door_only(run: World) -> None:
    victim, other, sibling = await tenants.parties(run)
    for intruder in (other, sibling):
        for name, secret in ((victim.name, intruder.secret), (intruder.name, victim.secret)):
            party = tenants.Party(name, secret, run)
            for row in ROWS:
                if not row.open:
                    reply = await party.call(row, NOBODYS)
                    assert (reply.status, reply.key) == (200, "checksumError"), (row, reply.text)


@pytest.mark.parametrize("call", LISTS)
async def test_a_list_is_ones_own_as_a_whole_or_not_at_all(run: World, call: str) -> None:
    """One id of another tenant among one's own, in any place, and nothing is changed."""
    victim, other, sibling = await tenants.parties(run)
    await tenants.furnish(victim)
    more = {"publishRecordings": "&publish=false", "updateRecordings": "&meta_a=b"}.get(call, "")
    for intruder in (other, sibling):
        await tenants.furnish(intruder)
        states = await victim.state(), await intruder.state()
        own, stolen = intruder.ids.record, victim.ids.record
        for ids in (f"{own},{stolen}", f"{stolen},{own}", f"{own},{own},{stolen},", stolen):
            reply = await intruder.get(call, f"recordID={ids}{more}")
            assert reply.key == "notFound", reply.text
        # What nobody has is as unknown as what another one has.
        assert (
            await intruder.get(call, f"recordID={own},{NOBODYS.record}{more}")
        ).key == "notFound"
        assert (await victim.state(), await intruder.state()) == states
        assert (await intruder.get(call, f"recordID={own}{more}")).ok


async def test_lists_to_read_show_what_is_ones_own(run: World) -> None:
    victim, other, sibling = await tenants.parties(run)
    await tenants.furnish(victim)
    for intruder in (other, sibling):
        await tenants.furnish(intruder)
        both = f"{intruder.ids.record},{victim.ids.record}"
        prefixes = f"{intruder.ids.record[:4]},{victim.ids.record[:4]}"
        for query in (f"recordID={both}", f"recordID={prefixes}", f"meetingID={MEETING},x"):
            reply = await intruder.get("getRecordings", f"{query}&state=any")
            found = [str(element.text) for element in reply.root.iter("recordID")]
            assert found == [intruder.ids.record]


async def test_a_recording_that_is_not_published_is_not_shown_as_if(run: World) -> None:
    """Every way to read one says its state; a deleted one is not listed unless asked for."""
    victim, *_ = await tenants.parties(run)
    await tenants.furnish(victim)
    record = f"recordID={victim.ids.record}"
    assert (await victim.get("publishRecordings", f"{record}&publish=false")).ok
    listed = await victim.get("getRecordings", record)
    assert listed.root.findtext("recordings/recording/published") == "false"
    assert listed.root.findtext("recordings/recording/state") == "unpublished"
    assert (await victim.get("getRecordings", f"{record}&state=published")).key == "noRecordings"
    assert (await victim.get("deleteRecordings", record)).ok
    assert (await victim.get("getRecordings", record)).key == "noRecordings"
    assert (await victim.get("publishRecordings", f"{record}&publish=true")).key == "notFound"


@pytest.mark.parametrize("header", ["Host", "X-Forwarded-Host", "Forwarded", "X-Original-URL"])
async def test_no_header_makes_another_tenant_of_a_path(run: World, header: str) -> None:
    """The path names the credential, whatever a header says."""
    victim, other, _ = await tenants.parties(run)
    await tenants.furnish(victim)
    for value in ("acme.seats.test", "host=acme.seats.test", "/t/acme/bigbluebutton/api"):
        reply = await wire.signed(
            run,
            "getMeetings",
            secret=other.secret,
            api="/t/other/bigbluebutton/api",
            headers={header: value},
        )
        assert reply.key == "noMeetings"
