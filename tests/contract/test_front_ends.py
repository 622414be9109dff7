"""What well-known front ends send from the first click to the last, replayed call by call.

Each test speaks for one of them, with the parameters that it sends and no others: most send neither
seats nor a duration, so the defaults of the subscription and of the credential must do.
"""

from typing import Any

from tests.gateway import wire
from tests.gateway.world import Reply, World

CALLBACK = "https%3A%2F%2Ffront.test%2Fended%3Fid%3D7"


async def made(run: World) -> dict[str, Any]:
    """Return the parameters that the last meeting was made with on its node."""
    params: dict[str, Any] = (await run.node_calls("create"))[-1]["params"]
    return params


def held(run: World, meeting_id: str) -> tuple[int, int]:
    """Return seats and minutes that a meeting of the first credential has."""
    entry = run.parts.meetings.lookup(1, meeting_id)
    assert entry is not None
    return entry.view["seats"], (entry.view["end_s"] - entry.view["start_s"]) // 60


async def test_moodle_creates_before_each_join_and_reads_on_the_way(run: World) -> None:
    """It sends seats only when the activity has a limit, and never a duration or a callback."""
    create = (
        "meetingID=f0e1d2c3b4a5-7-3&name=Lecture+1&attendeePW=a1b2c3d4&moderatorPW=e5f6g7h8"
        "&logoutURL=https%3A%2F%2Fmoodle.test%2Fmod%2Fbigbluebuttonbn%2Fbbb_view.php%3Faction%3Dlogout"
        "&record=false&welcome=Welcome+to+%3Cb%3ELecture%3C%2Fb%3E&meta_bbb-origin=Moodle"
        "&meta_bbb-origin-version=4.5&meta_bbb-origin-server-name=moodle.test&muteOnStart=false"
    )
    meeting = "meetingID=f0e1d2c3b4a5-7-3"
    join = f"{meeting}&fullName=Ada+Lovelace&password=a1b2c3d4&userID=7&createTime="
    first: Reply | None = None
    for person in range(3):
        reply = await wire.signed(run, "create", create, algorithm="sha1")
        assert reply.ok, reply.text
        first = first or reply
        assert reply["createTime"] == first["createTime"]
        info = await wire.signed(run, "getMeetingInfo", meeting, algorithm="sha1")
        # Its own limit on people is held against this count.
        assert info["participantCount"].isdigit()
        signed = f"{join}{reply['createTime']}".replace("userID=7", f"userID={person}")
        assert (await wire.signed(run, "join", signed, algorithm="sha1")).status == 302
    assert held(run, "f0e1d2c3b4a5-7-3")[0] == 10
    limited = create.replace("-7-3", "-8-3") + "&maxParticipants=25"
    assert (await wire.signed(run, "create", limited, algorithm="sha1")).ok
    assert held(run, "f0e1d2c3b4a5-8-3")[0] == 25
    ended = await wire.signed(run, "end", f"{meeting}&password=e5f6g7h8", algorithm="sha1")
    assert ended.ok


async def test_greenlight_sends_neither_seats_nor_duration(run: World) -> None:
    create = (
        "logoutURL=https%3A%2F%2Fgreenlight.test%2Frooms%2Fabc&meta_bbb-origin=greenlight"
        f"&meta_bbb-origin-version=3&meta_endCallbackUrl={CALLBACK}"
        "&meta_bbb-recording-ready-url=https%3A%2F%2Fgreenlight.test%2Frecording_ready"
        "&name=Ada%27s+room&meetingID=k4cvhyvpjwzzgdtqvjkzj7hfsyxjkqdfpx6n2p3o&record=false"
    )
    reply = await wire.signed(run, "create", create)
    assert reply.ok, reply.text
    seats, minutes = held(run, "k4cvhyvpjwzzgdtqvjkzj7hfsyxjkqdfpx6n2p3o")
    assert (seats, minutes) == (10, 120)
    # Never our own end of the meeting: the reservation ends, the meeting does not.
    assert "duration" not in await made(run)


async def test_nextcloud_sends_seats_when_there_are_some(run: World) -> None:
    for number, (sent, seats) in enumerate((("&maxParticipants=7", 7), ("", 10))):
        create = (
            f"name=Team&meetingID=uid-{number}&moderatorPW=mpw&attendeePW=apw"
            f"&meta_endCallbackUrl={CALLBACK}&meta_analytics-callback-url={CALLBACK}{sent}"
        )
        assert (await wire.signed(run, "create", create)).ok
        assert held(run, f"uid-{number}")[0] == seats


async def test_pilos_sends_seats_and_duration(run: World) -> None:
    create = (
        "meetingID=9f3c2f0e-6d2a-4ad0-8f4d-4c7b5b1c0a11&name=Seminar&maxParticipants=12&duration=90"
        f"&endCallbackUrl=x&meta_endCallbackUrl={CALLBACK}&meta_bbb-origin=PILOS"
        "&lockSettingsLockOnJoin=true&webcamsOnlyForModerator=false&guestPolicy=ALWAYS_ACCEPT"
    )
    reply = await wire.signed(run, "create", create)
    assert reply["duration"] == "90"
    assert held(run, "9f3c2f0e-6d2a-4ad0-8f4d-4c7b5b1c0a11") == (12, 90)


async def test_a_chat_plugin_writes_its_callback_in_lower_case(run: World) -> None:
    create = f"name=Chat&meetingID=chat-1&meta_endcallbackurl={CALLBACK}"
    assert (await wire.signed(run, "create", create)).ok
    entry = run.parts.meetings.lookup(1, "chat-1")
    assert entry is not None
    assert "https://front.test/ended?id=7" in str(entry.view["doc"])
    # The product calls it, not the node, which may die with the meeting.
    assert "front.test" not in str(await made(run))


async def test_a_load_balancer_in_front_of_us_polls_without_pause(run: World) -> None:
    """It adds a random number to get around caches, and reads counters of all meetings."""
    await wire.signed(run, "create", "name=Room&meetingID=room-42")
    for number in range(5):
        listed = await wire.signed(run, "getMeetings", f"random=0.{number}")
        assert listed.root.findtext("meetings/meeting/participantCount") == "0"
    assert (await wire.send(run, f"{wire.API}/")).ok
