"""The meeting calls of the API: create, end, chat and the questions about meetings.

Owns what each call does after its request was read. Never stores or sends by itself: `api`
settles the node after each call. Called by `api` only; recordings and webhooks have modules of
their own.
"""

import dataclasses
import re
from typing import Final

from lxml import etree

from deploy.simulator import answers, rules
from deploy.simulator.clock import java_date
from deploy.simulator.model import Meeting
from deploy.simulator.node import Node
from deploy.simulator.rules import Violation
from deploy.simulator.state import breakout_id
from deploy.simulator.wire import ApiCall
from schemas import documents

_METADATA: Final = re.compile(r"meta_([A-Za-z][A-Za-z0-9-]*)\Z")
_DIAL_NUMBER: Final = "613-555-1234"
_ID_NOT_UNIQUE: Final = documents.failure(
    "idNotUnique",
    "A meeting already exists with that meeting ID.  Please use a different meeting ID.",
)
_BRIDGE_TAKEN: Final = (
    "<response><returncode>FAILED</returncode><errors><error><key>nonUniqueVoiceBridge</key>"
    "<message>The selected voice bridge is already in use.</message></error></errors></response>"
)
_END_SENT: Final = documents.success(
    [
        ("messageKey", "sentEndMeetingRequest"),
        (
            "message",
            (
                "A request to end the meeting was sent.  Please wait a few seconds, and then use "
                "the getMeetingInfo or isMeetingRunning API calls to verify that it was ended."
            ),
        ),
    ]
)
_RUNNING: Final = documents.success([("running", True)])
_NOT_RUNNING: Final = documents.success([("running", False)])


def failed(violation: Violation) -> str:
    """Render a FAILED answer."""
    return documents.failure(violation.key, violation.message)


def create(node: Node, call: ApiCall) -> str:
    """Make a meeting, or confirm the one that has this id already."""
    refusal = rules.signature(call, node.settings.secret) or rules.check(call, None)
    if refusal is not None:
        return failed(refusal)
    if not call.given("meetingID"):
        return documents.failure("validationError", "Invalid meeting ID")
    try:
        names = _documents(call.body) if call.body else []
    except etree.XMLSyntaxError:
        return documents.failure("malformedXml", "The request body contains malformed XML.")
    if call.given("preUploadedPresentation"):
        names.insert(0, call.given("preUploadedPresentation"))
    if call.is_true("isBreakout"):
        return _create_breakout(node, call)
    existing = node.state.by_external.get(call.given("meetingID"))
    if existing is not None:
        given = (call.given("attendeePW"), call.given("moderatorPW"))
        if given in {("", ""), (existing.attendee_pw, existing.moderator_pw)}:
            return answers.created(existing, duplicate=True)
        return _ID_NOT_UNIQUE
    bridge = call.given("voiceBridge")
    if not bridge.strip("+-0"):
        bridge = node.state.draw.bridge(node.state.bridges)
    elif bridge in node.state.bridges:
        return _BRIDGE_TAKEN
    meeting = _new_meeting(node, call, bridge)
    meeting.documents = names
    node.state.add_meeting(meeting)
    return answers.created(meeting, duplicate=False)


def _new_meeting(node: Node, call: ApiCall, bridge: str) -> Meeting:
    external_id = call.given("meetingID")
    internal_id, create_ms = node.state.draw_internal_id(external_id, node.clock.now_ms())
    metadata = {}
    for name, value in call.params.items():
        if name.startswith("meta_"):
            match = _METADATA.match(name)
            if match is not None:
                metadata[match[1].lower()] = value
    return Meeting(
        external_id=external_id,
        internal_id=internal_id,
        name=call.given("name"),
        attendee_pw=call.given("attendeePW") or node.state.draw.password(),
        moderator_pw=call.given("moderatorPW") or node.state.draw.password(),
        create_ms=create_ms,
        create_date=java_date(create_ms),
        voice_bridge=bridge,
        dial_number=call.given("dialNumber") or _DIAL_NUMBER,
        duration_min=max(0, call.number("duration")),
        max_users=call.number("maxParticipants"),
        record=call.is_true("record"),
        auto_start_recording=call.is_true("autoStartRecording"),
        keep_events=call.is_true("meetingKeepEvents"),
        metadata=metadata,
        welcome=call.given("welcome"),
        moderator_only_message=call.given("moderatorOnlyMessage"),
        logout_url=call.given("logoutURL"),
        ended_url=call.given("meetingEndedURL"),
        guest_policy=call.given("guestPolicy") or "ALWAYS_ACCEPT",
        without_session=call.is_true("allowRequestsWithoutSession"),
        start_ms=create_ms,
    )


def _create_breakout(node: Node, call: ApiCall) -> str:
    if not call.given("parentMeetingID"):
        text = "No parent meeting ID was provided for the breakout room"
        return documents.failure("parentMeetingIDMissing", text)
    parent = node.state.find(call.given("parentMeetingID"))
    if parent is None:
        text = "No parent meeting exists for the breakout room"
        return documents.failure("parentMeetingDoesNotExist", text)
    # The id of the call becomes the internal one; the external one is made of parent and sequence.
    internal_id = call.given("meetingID")
    existing = node.state.meetings.get(internal_id)
    if existing is not None:
        given = (call.given("attendeePW"), call.given("moderatorPW"))
        same = given in {("", ""), (existing.attendee_pw, existing.moderator_pw)}
        return answers.created(existing, duplicate=True) if same else _ID_NOT_UNIQUE
    stem, sequence = internal_id.partition("-")[2], call.number("sequence", 1)
    room = dataclasses.replace(
        _new_meeting(node, call, node.state.draw.bridge(node.state.bridges)),
        external_id=breakout_id(parent, stem, sequence),
        internal_id=internal_id,
        is_breakout=True,
        parent_id=parent.internal_id,
        sequence=sequence,
        free_join=call.is_true("freeJoin"),
    )
    node.state.add_meeting(room)
    return answers.created(room, duplicate=False)


def _documents(body: bytes) -> list[str]:
    """Return the documents' names; empty when the body holds no XML."""
    if not body.lstrip().startswith(b"<"):
        return []
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)
    root = etree.fromstring(body, parser)
    return [
        str(found.get("filename") or found.get("name") or found.get("url") or "")
        for found in root.iterfind(".//module[@name='presentation']/document")
    ]


def insert_document(node: Node, call: ApiCall) -> str:
    """Add documents to a meeting."""
    refusal = rules.signature(call, node.settings.secret) or rules.check(call, None)
    if refusal is not None:
        return failed(refusal)
    meeting = node.state.find(call.given("meetingID"))
    if meeting is None:
        return _failed_without_key(f"Meeting with id [{call.given('meetingID')}] not found.")
    try:
        names = _documents(call.body)
    except etree.XMLSyntaxError:
        names = []
    if not names:
        return _failed_without_key(
            "Request body must contain a presentation module with at least one document."
        )
    node.state.add_documents(meeting, names)
    return documents.success([("message", "Presentation is being uploaded")])


def _failed_without_key(message: str) -> str:
    shown = documents.element("message", message)
    return f"<response><returncode>FAILED</returncode>{shown}</response>"


def is_meeting_running(node: Node, call: ApiCall) -> str:
    """Tell whether somebody is in the meeting; an unknown one is not running."""
    refusal = rules.signature(call, node.settings.secret) or rules.check(call, None)
    if refusal is None and "meetingID" not in call.params:
        refusal = rules.NO_MEETING_ID
    if refusal is not None:
        return failed(refusal)
    meeting = node.state.find(call.given("meetingID"))
    return _RUNNING if meeting is not None and node.state.users_of(meeting) else _NOT_RUNNING


def end(node: Node, call: ApiCall) -> str:
    """End a meeting; the password's value is not looked at."""
    meeting = node.state.find(call.given("meetingID"))
    refusal = rules.signature(call, node.settings.secret) or rules.check(call, meeting)
    if refusal is not None:
        return failed(refusal)
    if meeting is not None:
        node.state.end(meeting, node.clock.now_ms())
    return _END_SENT


def get_meetings(node: Node, call: ApiCall) -> bytes | str:
    """List all meetings."""
    refusal = rules.signature(call, node.settings.secret)
    if refusal is None and call.has_foreign_type():
        refusal = rules.BAD_TYPE
    if refusal is not None:
        return failed(refusal)
    version, body = node.meetings_body
    if version != node.state.version:
        body = answers.meeting_list(node.state).encode()
        node.meetings_body = (node.state.version, body)
    return body


def get_meeting_info(node: Node, call: ApiCall) -> str:
    """Show one meeting."""
    meeting = node.state.find(call.given("meetingID"))
    refusal = rules.signature(call, node.settings.secret) or rules.check(call, meeting)
    if refusal is not None or meeting is None:
        return failed(refusal or rules.NOT_FOUND)
    return answers.meeting_info(node.state, meeting)


def send_chat_message(node: Node, call: ApiCall) -> str:
    """Put a message into the public chat of a meeting that has somebody in it."""
    refusal = rules.signature(call, node.settings.secret) or rules.check(call, None)
    if refusal is not None:
        return failed(refusal)
    meeting = node.state.find(call.given("meetingID"))
    if meeting is None or not node.state.users_of(meeting):
        return documents.failure("meetingNotFound", "Meeting not found")
    sender = call.given("userName") or "System"
    now_ms = node.clock.now_ms()
    node.state.say(meeting, sender=sender, text=call.given("message"), now_ms=now_ms)
    return documents.success([("messageKey", ""), ("message", "")])
