"""The calls about `config.xml` that servers up to 2.3 have.

Owns the document that such a server hands out, and the checksum rule of setConfigXML, which covers
the sorted body. Never looks into a document. Called by `api` only, when the setting
`legacy_config_xml` is on.
"""

from typing import Final
from urllib.parse import unquote_plus

from lxml import etree

from deploy.simulator import rules, session_calls
from deploy.simulator.calls import failed
from deploy.simulator.node import Node
from deploy.simulator.wire import ApiCall
from schemas import checksum, documents, params

_DEFAULT: Final = '<config version="simulated"><modules/></config>'
_CHARS_MAX: Final = 262_144


def get_default(node: Node, call: ApiCall) -> str:
    """Answer the document itself, without a `response` around it."""
    refusal = rules.signature(call, node.settings.secret)
    return _DEFAULT if refusal is None else failed(refusal)


def store(node: Node, call: ApiCall) -> str:
    """Take a document for a meeting; answer the token by which a join asks for it."""
    if not any(call.checksums):
        return failed(rules.BAD_CHECKSUM)
    entered = call.given("configXML")
    if not entered:
        return documents.failure("configXMLError", "You did not pass a config XML")
    if not call.given("meetingID"):
        return failed(rules.NO_MEETING_ID)
    meeting = node.state.find(call.given("meetingID"))
    if meeting is None:
        return documents.failure("invalidMeetingIdentifier", rules.NOT_FOUND.message)
    signed = params.sorted_query(call.body.decode("utf-8", "replace"))
    if len(call.checksums) != 1 or not checksum.matches(
        "setConfigXML", signed, call.checksums[0], (node.settings.secret,), allowed=("sha1",)
    ):
        text = "configXMLChecksumError: request did not pass the checksum security check."
        return documents.failure("configXMLChecksumError", text)
    document = unquote_plus(entered)
    if len(document) > _CHARS_MAX or not _is_xml(document):
        return documents.failure("configXMLError", "Cannot decode config XML")
    token = node.state.draw.password()
    default = call.is_true("defaultConfig")
    node.state.keep_config(meeting, token, document, default=default)
    return documents.success([("configToken", token)])


def show(node: Node, call: ApiCall) -> str:
    """Answer the document of the meeting to somebody who is in it."""
    meeting = session_calls.session_of(node, call)
    if meeting is None:
        shown = documents.elements(
            [("message", "Invalid session token"), ("logoutURL", call.origin)]
        )
        return f"<response><returncode>FAILED</returncode>{shown}</response>"
    return node.state.configs.get(meeting.internal_id, {}).get("", _DEFAULT)


def _is_xml(document: str) -> bool:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        etree.fromstring(document.encode(), parser)
    except etree.XMLSyntaxError:
        return False
    return True
