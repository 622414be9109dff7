"""What never leaks: ids that only nodes know, secrets, checksums.

Node and credential secrets are planted canaries (`installation`); every answer that the client of
the journeys reads is held against them already. Here: the answers of all calls in one place, the
logs of every process at the level `debug`, and the database file. Named to run behind the others.
"""

import re
from pathlib import Path

import aiohttp
from yarl import URL

from tests.journeys.client import SCOPED_ID
from tests.journeys.installation import CREDENTIAL_SECRET, NODE_SECRET, Installation, node_state

PASSWORDS = {"attendeePW": "canary-attendee-1", "moderatorPW": "canary-moderator-2"}
#: A checksum as hex text, of any of the four kinds; ids of events and meetings have 32 digits.
CHECKSUM = re.compile(r"(?<![0-9a-f])(?:[0-9a-f]{128}|[0-9a-f]{96}|[0-9a-f]{64})(?![0-9a-f])")


async def test_no_answer_shows_what_only_nodes_know(
    session: aiohttp.ClientSession, installation: Installation
) -> None:
    """Neither the scoped meeting id nor our metadata, in any call, in XML and in headers."""
    client = installation.client(session, "planted")
    created = await client.create("leaky", maxParticipants="5", **PASSWORDS)
    assert created.ok
    await client.enter("leaky", userID="u1")
    texts = [created.text]
    for call, params in (
        ("create", {"name": "Room leaky"}),
        ("isMeetingRunning", {}),
        ("getMeetingInfo", {}),
        ("getMeetings", {}),
        ("join", {"fullName": "Bob", "role": "VIEWER", "redirect": "false"}),
        ("join", {"fullName": "Bob", "password": "wrong", "redirect": "false"}),
        ("end", {"password": "wrong-password"}),
        ("end", {}),
    ):
        answer = await client.call(call, meetingID="leaky", **params)
        assert answer.text.startswith("<response>")
        texts.append(answer.text)
    assert sum("<returncode>SUCCESS</returncode>" in text for text in texts) == 7
    for text in texts:
        assert not SCOPED_ID.search(text), text
        assert "seatkeep" not in text, text
    # The nodes do know the meeting by that id, so there was something to leak.
    found = []
    for url in installation.nodes.values():
        found += (await node_state(session, url))["calls"]
    assert any(SCOPED_ID.fullmatch(call["params"].get("meetingID", "")) for call in found)


async def test_an_internal_id_of_a_stranger_opens_nothing(
    session: aiohttp.ClientSession, installation: Installation
) -> None:
    """The ids that one tenant sees or guesses are no handle on another one's meeting."""
    owner = installation.client(session, "planted")
    stranger = installation.client(session, "round")
    created = await owner.create("private", maxParticipants="5", **PASSWORDS)
    scoped = []
    for url in installation.nodes.values():
        meetings = (await node_state(session, url))["meetings"]
        scoped += [m["meetingID"] for m in meetings if m["meetingName"] == "Room private"]
    assert len(scoped) == 1
    for meeting_id in ("private", created["internalMeetingID"], *scoped):
        assert (await stranger.call("getMeetingInfo", meetingID=meeting_id)).key == "notFound"
        assert (await stranger.end(meeting_id)).key == "notFound"
        assert not await stranger.running(meeting_id)
    assert (await owner.call("getMeetingInfo", meetingID=scoped[0])).key == "notFound"
    assert (await owner.end("private")).ok


async def test_no_log_shows_a_secret_or_a_checksum(
    session: aiohttp.ClientSession, installation: Installation
) -> None:
    """Not after a good round, a wrong checksum, and a node that cannot be reached."""
    client = installation.client(session, "planted")
    assert (await client.create("logged", maxParticipants="5", **PASSWORDS)).ok
    await client.enter("logged")
    wrong = f"name=Room&meetingID=logged&checksum={'ab' * 32}"
    assert not (await client.get(URL(f"{client.base_url}api/create?{wrong}", encoded=True))).ok
    for url in installation.nodes.values():
        faults = url.removesuffix("bigbluebutton/") + "simulator/faults"
        for mode in ("error500", "ok"):
            async with session.post(faults, json={"mode": mode}) as response:
                assert response.status == 200
            if mode == "error500":
                await client.call("getMeetingInfo", meetingID="logged")
    assert (await client.end("logged")).ok
    sent = set(installation.checksums)
    for url in installation.nodes.values():
        for call in (await node_state(session, url))["calls"]:
            sent.update(re.findall("checksum=([0-9a-f]+)", call["query"]))
    assert len(sent) > len(set(installation.checksums))
    logs = installation.logs
    assert logs.count("\n") > 20
    canaries = {NODE_SECRET, CREDENTIAL_SECRET, *PASSWORDS.values(), *sent}
    shown = [canary for canary in canaries if canary in logs]
    assert not shown, [line for line in logs.splitlines() if any(c in line for c in shown)][:3]
    assert not CHECKSUM.search(logs), CHECKSUM.findall(logs)[:3]
    assert "Traceback" not in logs


def _files(data: Path) -> list[Path]:
    return [path for path in data.rglob("*") if path.is_file()]


async def test_no_file_of_the_data_directory_shows_a_secret(
    session: aiohttp.ClientSession, embedded: Installation
) -> None:
    """The SQLite file and its log hold the secrets sealed; the key lies apart, for its owner."""
    client = embedded.client(session, "planted")
    assert (await client.create("filed", maxParticipants="5")).ok
    assert (await client.end("filed")).ok
    data = Path(embedded.environment["SEATKEEP_DATA_DIR"])
    files = _files(data)
    assert {"seatkeep.sqlite", "seatkeep.sqlite-wal", "secret.key"} <= {p.name for p in files}
    whole = b"".join(path.read_bytes() for path in files)
    # The meeting's name is there in plain, so the search would find what is not sealed.
    assert b"Room filed" in whole
    for canary in (NODE_SECRET, CREDENTIAL_SECRET, *embedded.checksums):
        assert canary.encode() not in whole
    assert (data / "secret.key").stat().st_mode & 0o077 == 0
