"""What the gateway, and the worker beside it, write into their logs."""

import re

import pytest
import structlog

from tests.gateway import wire, world
from tests.gateway.world import World
from tests.security import tenants
from tests.security.tenants import NOBODYS, ROWS


async def test_secrets_and_signed_links_never_reach_the_logs(
    run: World, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    await run.create(attendeePW="attendee-canary", moderatorPW="moderator-canary")
    join = {"meetingID": "room-42", "fullName": "Ada", "password": "moderator-canary"}
    await run.call("join", join)
    await run.fault("refuse")
    await run.call("join", join | {"redirect": "false"})
    await run.call("getMeetingInfo", {"meetingID": "room-42"})
    await run.call("getMeetings", secret="wrong")
    captured = capfd.readouterr()
    written = captured.out + captured.err + caplog.text
    assert "node did not answer" in written, "the test looks at the right place"
    for secret in (world.SECRET, world.NODE_SECRET, "attendee-canary", "moderator-canary"):
        assert secret not in written
    assert "checksum=" not in written


async def test_a_life_with_every_call_leaves_no_key_in_the_logs(
    run: World, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Secrets, passwords, signatures, session tokens and join links: each opens something."""
    caplog.set_level("DEBUG")
    victim, other, _ = await tenants.parties(run)
    await tenants.furnish(victim)
    keys = {victim.ids.token, world.SECRET, world.OTHER_SECRET, world.NODE_SECRET}
    keys |= {"victims-password", "attendee-acme"}
    for mode in ("ok", "slow", "garbage", "error500", "failed", "refuse"):
        await run.fault(mode, delay_s=0.01, key="internalError", message="a node's own words")
        for row in ROWS:
            if row.call not in {"end", "deleteRecordings", "draft:end", "draft:endMeeting"}:
                for party, ids in ((victim, victim.ids), (other, victim.ids), (victim, NOBODYS)):
                    reply = await party.call(row, ids)
                    keys |= set(re.findall(r"<auth_token>(\w+)", reply.text))
                    keys |= set(re.findall(r"[sS]ession_?[tT]oken[>=](\w{16})", reply.text))
                    keys |= set(re.findall(r"checksum=(\w{40,})", reply.text))
                    keys |= set(re.findall(r"checksum=(\w{40,})", str(reply.headers)))
    await run.fault("ok")
    for tail in (f"name=x&checksum={'0' * 64}", "checksum=%", "a" * 70_000, "\x00\r"):
        await wire.send(run, f"{wire.API}/create?{tail}")
    for row in ROWS:
        await victim.call(row, victim.ids)
    structlog.get_logger("tests").debug("the last line", checksum_free=True)
    captured = capfd.readouterr()
    written = captured.out + captured.err + caplog.text
    assert "the last line" in written, "debug lines are written"
    assert "node did not answer" in written, "the test looks at the right place"
    keys.discard(NOBODYS.token)
    assert len(keys) > 10
    assert [key for key in keys if key in written] == []
    for sign in ("checksum=", "sessionToken=", "JSESSIONID", "api/join?"):
        assert sign not in written
    # What people are called is nobody's business but the customer's.
    for name in ("Eve", "Person of acme"):
        assert name not in written
