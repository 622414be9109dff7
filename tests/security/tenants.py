"""Tenants of one installation, each with everything that a tenant can have, and the calls on it.

Owns what a party has (a meeting with somebody in it, a recording, a webhook, a session token), how
its calls are signed, and the row of every call: which request would reach something of another one.
Used by the tests of two tenants.
"""

import dataclasses
import re
import uuid
from dataclasses import dataclass, field
from urllib.parse import quote

from scheduler import credentials
from schemas import checksum, draft, params
from tests.gateway import wire
from tests.gateway.wire import FORM
from tests.gateway.world import OTHER_SECRET, SECRET, Reply, World
from workers.recordings import Recordings

MEETING = "shared-room"
XML = "application/xml"
SLIDES = (
    b'<modules><module name="presentation"><document name="a.pdf">YQ==</document></module>'
    b"</modules>"
)
UPLOAD_TYPE = "multipart/form-data; boundary=frame"
UPLOAD = (
    b'--frame\r\nContent-Disposition: form-data; name="file"; filename="a.vtt"\r\n'
    b"Content-Type: text/vtt\r\n\r\nWEBVTT\n\n00:00.000 --> 00:02.000\nHello\n\r\n--frame--\r\n"
)
#: Call names of the draft dialect carry this in the table, since both dialects share some.
DRAFT = "draft:"


@dataclass(frozen=True)
class Ids:
    """What a request may name."""

    meeting: str
    internal: str
    record: str
    hook: str
    token: str
    draft: str

    def masked(self, text: str) -> str:
        """Return a text without these ids, so that answers on different ones can be compared."""
        for name, value in dataclasses.asdict(self).items():
            text = text.replace(value, f"<{name}>").replace(quote(value), f"<{name}>")
        return text


#: Ids that nobody has, of the same looks.
NOBODYS = Ids(
    meeting="nobody-room",
    internal=f"{'f' * 40}-1718000000000",
    record=f"{'e' * 40}-1718000000000",
    hook=str(uuid.UUID(int=7, version=4)),
    token="0" * 16,
    draft="0" * 20,
)


@dataclass
class Party:
    """One credential and how it calls."""

    name: str
    secret: str
    run: World
    ids: Ids = NOBODYS
    #: Texts that only this party may read.
    private: tuple[str, ...] = field(default=())

    async def call(self, row: "Row", ids: Ids) -> Reply:
        """Make the call of a row on some ids."""
        query = row.query.format(**dataclasses.asdict(ids))
        body = row.body.replace(b"{meeting}", ids.meeting.encode()) if row.body else None
        headers = {"Content-Type": row.content_type} if body is not None else {}
        if row.cookie:
            headers["Cookie"] = "JSESSIONID=stolen"
        if row.call.startswith(DRAFT):
            signature = checksum.sign("", query, self.secret, algorithm="sha1")
            tail = f"{query}&checksum={signature}" if query else f"checksum={signature}"
            target = f"/t/{self.name}/draft/api/{row.call.removeprefix(DRAFT)}?{tail}"
            return await wire.send(self.run, target)
        api = f"/t/{self.name}/bigbluebutton/api"
        if row.call == "setConfigXML":
            # The one call whose checksum covers its sorted form.
            form = (body or b"").decode()
            covered = params.sorted_query(form)
            signature = checksum.sign(row.call, covered, self.secret, algorithm="sha1")
            body, target = f"{form}&checksum={signature}".encode(), f"{api}/{row.call}"
        elif row.open:
            target = f"{api}/{row.call}?{query}" if query else f"{api}/{row.call}"
        else:
            target = f"{api}/{row.call}?{checksum.signed_query(row.call, query, self.secret)}"
        return await wire.send(self.run, target, method=row.method, headers=headers, body=body)

    async def get(self, call: str, query: str = "") -> Reply:
        """Make a signed GET call."""
        api = f"/t/{self.name}/bigbluebutton/api"
        return await wire.signed(self.run, call, query, secret=self.secret, api=api)

    async def state(self) -> list[str]:
        """Return all that this party can see of what it has."""
        shown = [
            await self.get("getMeetings"),
            await self.get("getMeetingInfo", f"meetingID={MEETING}"),
            await self.get("isMeetingRunning", f"meetingID={MEETING}"),
            await self.get("getSessions"),
            await self.get("getRecordings", "state=any"),
            await self.get("hooks/list"),
            await self.call(Row("stuns", "sessionToken={token}", open=True), self.ids),
        ]
        for reply in shown:
            assert reply.status == 200
        return [reply.text for reply in shown]


@dataclass(frozen=True)
class Row:
    """A request that reaches something by the ids in it, for whoever may."""

    call: str
    query: str = ""
    method: str = "GET"
    body: bytes | None = None
    content_type: str = FORM
    #: No checksum: the ids are the key.
    open: bool = False
    cookie: bool = False
    #: Its answer is the same for the owner: nothing hangs on the ids, or there are none.
    same_for_owner: bool = False

    @property
    def lists(self) -> bool:
        """Whether it names nothing and shows what there is."""
        named = "{" in self.query or self.body is not None
        return not (named or self.same_for_owner)


def _token(call: str, method: str = "GET", *, same: bool = False) -> Row:
    return Row(
        call,
        "sessionToken={token}",
        method,
        b"{}" if method == "POST" else None,
        "application/json",
        open=True,
        cookie=True,
        same_for_owner=same,
    )


#: Every call of the API; one that is not here fails the test of the table.
ROWS: tuple[Row, ...] = (
    Row("create", "name=Room&meetingID=b1&isBreakout=true&sequence=1&parentMeetingID={internal}"),
    Row("create", "name=Room&meetingID=b2&isBreakout=true&sequence=1&parentMeetingID={meeting}"),
    Row("join", "meetingID={meeting}&fullName=Eve&role=MODERATOR&redirect=false"),
    Row("join", "meetingID={internal}&fullName=Eve&role=MODERATOR&redirect=false"),
    Row("join", "meetingID={meeting}&fullName=Eve&password=victims-password"),
    Row("isMeetingRunning", "meetingID={meeting}"),
    Row("isMeetingRunning", "meetingID={internal}"),
    Row("end", "meetingID={meeting}"),
    Row("end", "meetingID={internal}&password=victims-password"),
    Row("getMeetingInfo", "meetingID={meeting}"),
    Row("getMeetingInfo", "meetingID={internal}"),
    Row("getMeetings"),
    Row("getSessions"),
    Row("insertDocument", "meetingID={meeting}", "POST", SLIDES, XML),
    Row("insertDocument", "meetingID={internal}", "POST", SLIDES, XML),
    Row("sendChatMessage", "meetingID={meeting}&message=hello"),
    Row("sendChatMessage", "meetingID={internal}&message=hello"),
    Row("getRecordings"),
    Row("getRecordings", "state=any"),
    Row("getRecordings", "meetingID={meeting}&state=any"),
    Row("getRecordings", "recordID={record}&state=any"),
    Row("getRecordings", "meta_course=victims"),
    Row("publishRecordings", "recordID={record}&publish=false"),
    Row("updateRecordings", "recordID={record}&meta_stolen=yes"),
    Row("deleteRecordings", "recordID={record}"),
    Row("getRecordingTextTracks", "recordID={record}"),
    Row(
        "putRecordingTextTrack",
        "recordID={record}&kind=subtitles&lang=en",
        "POST",
        UPLOAD,
        UPLOAD_TYPE,
    ),
    Row("hooks/list"),
    Row("hooks/list", "meetingID={meeting}"),
    Row("hooks/destroy", "hookID={hook}"),
    # Another's meeting may be named: what comes are events of one's own meeting of that name.
    Row(
        "hooks/create",
        "callbackURL=https%3A%2F%2Feve.test%2F&meetingID={meeting}",
        same_for_owner=True,
    ),
    Row("hooks/ping", open=True, same_for_owner=True),
    _token("getJoinUrl"),
    _token("learningDashboard"),
    _token("stuns"),
    _token("feedback", "POST"),
    _token("enter"),
    _token("guestWait"),
    _token("configXML"),
    # It says that the session is over in any case; the state of the owner says that it is not.
    _token("signOut", same=True),
    # A document of the servers, the same for all tenants of a pool.
    Row("getDefaultConfigXML", same_for_owner=True),
    Row(
        "setConfigXML",
        method="POST",
        body=b"configXML=%253Cconfig%252F%253E&meetingID={meeting}",
        open=True,
    ),
    # Meetings there have unguessable handles besides ids.
    Row(f"{DRAFT}create", "name=Room&attendeePW=aa&moderatorPW=mm", same_for_owner=True),
    Row(f"{DRAFT}join", "meetingToken={draft}&fullName=Eve&password=victims-password"),
    Row(f"{DRAFT}join", "meetingID={meeting}&fullName=Eve&password=victims-password"),
    Row(f"{DRAFT}isMeetingRunning", "meetingToken={draft}"),
    Row(f"{DRAFT}isMeetingRunning", "meetingID={meeting}"),
    Row(f"{DRAFT}getMeetingInfo", "meetingToken={draft}&password=victims-password"),
    Row(f"{DRAFT}listAttendees", "meetingToken={draft}&password=victims-password"),
    Row(f"{DRAFT}endMeeting", "meetingToken={draft}&password=victims-password"),
    Row(f"{DRAFT}end", "meetingToken={draft}&password=victims-password"),
    Row(f"{DRAFT}getMeetings", "random=1"),
)


async def parties(run: World) -> tuple[Party, Party, Party]:
    """Return a victim, another subscription, and another credential of the victim's subscription.

    Every node offers what some release offers, so that each row reaches something for its owner.
    """
    for node in run.nodes:
        node.node.settings = dataclasses.replace(
            node.node.settings, legacy_guest_calls=True, legacy_config_xml=True, feedback=True
        )
    for name in ("acme", "acme-5", "other"):
        await credentials.change_credential(run.database, name, draft=True)
    await run.directory.refresh()
    return (
        Party("acme", SECRET, run),
        Party("other", OTHER_SECRET, run),
        Party("acme-5", OTHER_SECRET, run),
    )


async def furnish(party: Party) -> None:
    """Give a party one of everything, under ids that other parties may have as well."""
    run, name = party.run, party.name
    record = await _recorded(party)
    create = (
        f"name=Private+of+{name}&meetingID={MEETING}&attendeePW=attendee-{name}"
        "&moderatorPW=victims-password"
    )
    created = await party.get("create", create)
    join = f"meetingID={MEETING}&fullName=Person+of+{name}&role=MODERATOR&redirect=false"
    joined = await party.get("join", f"{join}&auto_connect=true")
    assert joined.ok, joined.text
    hook = await party.get("hooks/create", f"callbackURL=https%3A%2F%2F{name}.test%2Fhook")
    row = next(
        row
        for row in await run.parts.reader.live_meetings()
        if row.internal_id == created["internalMeetingID"]
    )
    party.ids = Ids(
        meeting=MEETING,
        internal=created["internalMeetingID"],
        record=record,
        hook=hook["hookID"],
        token=joined["session_token"],
        draft=draft.token_of(row.id),
    )
    party.private = (
        created["internalMeetingID"],
        record,
        hook["hookID"],
        joined["session_token"],
        f"Private of {name}",
        f"Person of {name}",
        f"attendee-{name}",
        f"{name}.test",
    )


async def _recorded(party: Party) -> str:
    """Hold a recorded meeting, have its recording found, and return its id."""
    run = party.run
    query = f"name=Private+of+{party.name}&meetingID={MEETING}&record=true&meta_course=victims"
    internal = (await party.get("create", query))["internalMeetingID"]
    node = next(node for node in run.nodes if internal in node.node.state.meetings)
    for step in ("recording-marks", "end"):
        await run.control(node, "POST", f"/simulator/meetings/{internal}/{step}")
    await party.get("end", f"meetingID={MEETING}")
    harvester = Recordings(run.settings, "default", run.database, run.directory, run.parts.nodes)
    await harvester.scan()
    for node_id in sorted(run.directory.current.nodes):
        await harvester.harvest(node_id, at_once=True)
    listed = await party.get("getRecordings", "state=any")
    assert internal in listed.text, listed.text
    return internal


#: What differs between two answers to the same question.
_CHANCE = re.compile(
    r"<hookID>[^<]*|<meetingToken>[^<]*|<createTime>[^<]*|[0-9]{13}|<createDate>[^<]*"
)


def comparable(reply: Reply, ids: Ids) -> tuple[int, str, str]:
    """Return an answer without the ids that were asked for, and without chance."""
    text = _CHANCE.sub("", ids.masked(reply.text))
    return reply.status, reply.headers.get("Location", ""), text
