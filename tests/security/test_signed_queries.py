"""A signed link that somebody got hold of does what was signed, and nothing else.

Servers of this field considered parameters that were added to a signed link, skipped the check when
one parameter was there, or took a second checksum. Every way of adding something is tried here on
every call that changes or shows anything.
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduler import credentials
from schemas import checksum
from tests.gateway import wire
from tests.gateway.wire import API, FORM
from tests.gateway.world import SECRET, World
from tests.security import loops

ID = "meetingID=room-42"
SIGNED = {
    "create": f"name=Room&{ID}",
    "join": f"{ID}&fullName=Eve&role=VIEWER",
    "isMeetingRunning": ID,
    "end": ID,
    "getMeetingInfo": ID,
    "getMeetings": "",
    "getRecordings": ID,
    "publishRecordings": "recordID=r&publish=true",
    "deleteRecordings": "recordID=r",
    "updateRecordings": "recordID=r&meta_a=b",
    "hooks/create": "callbackURL=https%3A%2F%2Fx.test%2F",
    "hooks/list": "",
    "hooks/destroy": "hookID=1",
}
ADDED = [
    "role=MODERATOR",
    "&role=MODERATOR",
    "meetingID=other",
    "presentationUploadExternalUrl=https%3A%2F%2Fx.test%2Fup",
    "logoutURL=https%3A%2F%2Fevil.test%2F",
    "errorRedirectUrl=https%3A%2F%2Fevil.test%2F",
    "createTime=1",
    "%26role=MODERATOR",
    ";role=MODERATOR",
    "=",
    "&",
    "+",
    "%00",
]


async def refused(run: World, target: str, body: bytes | None = None) -> None:
    method, headers = ("GET", {}) if body is None else ("POST", {"Content-Type": FORM})
    reply = await wire.send(run, target, method=method, headers=headers, body=body)
    assert (reply.status, reply.key) == (200, "checksumError"), (target, reply.text)
    assert "Location" not in reply.headers


@pytest.mark.parametrize("call", SIGNED)
async def test_what_was_added_breaks_the_checksum(run: World, call: str) -> None:
    query = SIGNED[call]
    signature = checksum.sign(call, query, SECRET)
    for added in ADDED:
        for spelled in (
            f"{query}&checksum={signature}&{added}",
            f"{query}&{added}&checksum={signature}",
            f"{added}&{query}&checksum={signature}",
        ):
            kept, _ = checksum.split_checksum(spelled)
            if kept != query:
                await refused(run, f"{API}/{call}?{spelled}")


@pytest.mark.parametrize("call", SIGNED)
async def test_a_signature_is_for_one_call_alone(run: World, call: str) -> None:
    for other, needed in SIGNED.items():
        if other != call:
            # With what the call needs: recording calls complain about that before the checksum.
            query = f"{SIGNED[call]}&{needed}"
            signature = checksum.sign(other, query, SECRET)
            await refused(run, f"{API}/{call}?{query}&checksum={signature}")


async def test_a_fragment_is_no_part_of_a_request(run: World) -> None:
    """Whatever the server makes of `#`, it gives nobody another role."""
    await run.create()
    signature = checksum.sign("join", SIGNED["join"], SECRET)
    target = f"{API}/join?{SIGNED['join']}&checksum={signature}#&role=MODERATOR"
    reply = await wire.send(run, target)
    assert reply.status in {302, 400} or reply.key == "checksumError"
    assert "MODERATOR" not in reply.headers.get("Location", "")


async def test_the_first_of_two_values_is_used_everywhere(run: World) -> None:
    """The node must not see another value than the one that was judged."""
    await run.create()
    reply = await wire.signed(run, "join", f"{SIGNED['join']}&role=MODERATOR&fullName=Mallory")
    location = reply.headers["Location"]
    assert location.count("role=") == 1
    assert "role=VIEWER" in location
    assert "Mallory" not in location
    await wire.signed(run, "create", "name=Room&meetingID=twice&meetingID=room-42&name=Other")
    sent = (await run.node_calls("create"))[-1]
    assert sent["query"].count("name=") == 1
    assert (await wire.signed(run, "getMeetingInfo", "meetingID=twice&meetingID=room-42"))[
        "meetingID"
    ] == "twice"


@pytest.mark.parametrize("call", ["create", "end", "getMeetingInfo", "getRecordings"])
async def test_a_body_adds_no_second_checksum(run: World, call: str) -> None:
    query = SIGNED[call]
    signature = checksum.sign(call, query, SECRET)
    for body in (f"checksum={signature}", "checksum=", "%63hecksum=x", "+checksum=x"):
        await refused(run, f"{API}/{call}?{query}&checksum={signature}", body.encode())


async def test_a_body_never_changes_what_the_query_says(run: World) -> None:
    await run.create("victim")
    query = f"name=Room&{ID}"
    body = b"name=Evil&meetingID=victim&attendeePW=stolen&moderatorPW=stolen"
    headers = {"Content-Type": FORM}
    reply = await wire.signed(run, "create", query, method="POST", headers=headers, body=body)
    assert reply["meetingID"] == "room-42"
    assert (await run.node_calls("create"))[-1]["params"]["name"] == "Room"
    await wire.signed(run, "end", ID, method="POST", headers=headers, body=b"meetingID=victim")
    assert (await run.call("getMeetingInfo", {"meetingID": "victim"})).ok


async def test_a_browser_that_posts_a_join_gets_nowhere(run: World) -> None:
    await run.create()
    reply = await wire.signed(
        run, "join", SIGNED["join"], method="POST", headers={"Content-Type": FORM}, body=b"role=M"
    )
    assert reply.status == 405


async def test_a_missing_secret_never_switches_checking_off() -> None:
    assert not checksum.matches("end", ID, checksum.sign("end", ID, ""), ("",))


@pytest.mark.parametrize("allowed", [("sha256",), ("sha384", "sha512"), ("sha1",)])
async def test_only_the_algorithms_of_the_credential_open(
    run: World, allowed: tuple[str, ...]
) -> None:
    """SHA-1 is for clients that know no better, where the operator lets them."""
    await credentials.change_credential(run.database, "acme", algorithms=",".join(allowed))
    await run.directory.refresh()
    for algorithm in checksum.ALL_ALGORITHMS:
        reply = await wire.signed(run, "isMeetingRunning", ID, algorithm=algorithm)
        assert reply.key == ("" if algorithm in allowed else "checksumError")


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    call=st.sampled_from(sorted(SIGNED)),
    algorithm=st.sampled_from(sorted(checksum.ALL_ALGORITHMS)),
    place=st.integers(0, 127),
    digit=st.sampled_from("0123456789abcdefg%+ \u0660"),
)
def test_one_other_digit_makes_another_checksum(
    call: str, algorithm: str, place: int, digit: str
) -> None:
    right = checksum.sign(call, SIGNED[call], SECRET, algorithm=algorithm)
    place %= len(right)
    wrong = right[:place] + digit + right[place + 1 :]
    matches = checksum.matches(call, SIGNED[call], wrong, (SECRET,))
    assert matches == (wrong == right)


async def test_a_rejected_request_leaves_nothing(run: World) -> None:
    """No reservation, no call to a node, no meeting, whatever is wrong with it."""

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        st.sampled_from(["create", "end", "join"]),
        st.text("0123456789abcdef", min_size=0, max_size=130),
        st.sampled_from(["GET", "POST"]),
    )
    def hold(call: str, wrong: str, method: str) -> None:
        target = f"{API}/{call}?{SIGNED[call]}&maxParticipants=7&checksum={wrong}"
        loops.wait(wire.send(run, target, method=method))

    await loops.apart(hold)
    assert await loops.held(run) == (0, 0)
    for call in ("create", "end", "join"):
        assert await run.node_calls(call) == []
