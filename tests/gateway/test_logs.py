"""What the gateway writes into its logs."""

import pytest

from tests.gateway import world
from tests.gateway.world import World


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
