"""The calls about `config.xml` of BigBlueButton up to 2.3, for pools that have such nodes.

Owns the checksum rule of setConfigXML, which covers the sorted parameters, and which node is asked.
Documents pass as they are: only nodes know what they mean. Called by the dispatch.
"""

import asyncio
from typing import Final
from urllib.parse import parse_qsl, unquote_plus, urlencode

from aiohttp import web
from lxml import etree

from gateway import wording
from gateway.calls import tokens
from gateway.calls.tokens import Tokens, WrongTokenError
from gateway.failures import ApiFailure, refuse, xml
from gateway.incoming import GET, POST, Auth, Call, Calls, Incoming
from gateway.live import Live
from gateway.meetings import Entry
from gateway.parts import Parts
from gateway.urls import Urls
from scheduler import nodes
from scheduler.directory_records import Node
from scheduler.nodes import NodeError, RawReply
from schemas import answers, checksum, documents, params
from schemas.values import Reason

_CALL: Final = "setConfigXML"
_SIGNED_BY: Final = "checksum"
_NO_CONFIG: Final = ("noConfigFound", "We could not find a config for this request.")
_NOT_PASSED: Final = ("configXMLError", "You did not pass a config XML")
_NOT_DECODED: Final = ("configXMLError", "Cannot decode config XML")
_WRONG: Final = (
    "configXMLChecksumError",
    "configXMLChecksumError: request did not pass the checksum security check.",
)
_CHARS_MAX: Final = 1_048_576
_INLINE_CHARS_MAX: Final = 65_536
_NODES_ASKED_MAX: Final = 3
_NOT_THERE: Final = frozenset((404, 405))
_OK: Final = 200
_REDIRECT: Final = 300
_UP: Final = "up"
_DISABLED: Final = "disabled"


class ConfigXml:
    """The calls about config documents of one gateway."""

    def __init__(self, parts: Parts, live: Live, opened: Tokens, urls: Urls) -> None:
        self._parts = parts
        self._live = live
        self._tokens = opened
        self._urls = urls

    def calls(self) -> Calls:
        """Return the calls by name."""
        return {
            "getDefaultConfigXML": Call(self.default, GET),
            _CALL: Call(self.store, POST, auth=Auth.OPEN, forms=False),
            "configXML": Call(self.show, GET, auth=Auth.OPEN),
        }

    async def default(self, incoming: Incoming) -> web.Response:
        """Answer the document of a node of the pool, without a `response` around it."""
        raw = None
        for node in self._healthy(incoming.caller.pool):
            # Servers that old may know no other algorithm.
            query = checksum.signed_query("getDefaultConfigXML", "", node.secret, algorithm="sha1")
            try:
                raw = await self._exchange(node, "getDefaultConfigXML", query)
            except NodeError:
                continue
            if raw.status not in _NOT_THERE:
                break
        if raw is None:
            raise ApiFailure(Reason.UNAVAILABLE)
        _known(raw)
        root = None if raw.status >= _REDIRECT else await _parsed(raw.content)
        if root is None or root.tag == "response":
            raise ApiFailure(*_NO_CONFIG)
        return xml(raw.content)

    async def store(self, incoming: Incoming) -> web.Response:
        """Hand a document to the meeting's node; answer the token by which a join asks for it."""
        given = await self._signed(incoming)
        document = given.get("configXML", "")
        if not document:
            raise ApiFailure(*_NOT_PASSED)
        if len(document) > _CHARS_MAX or await _parsed(unquote_plus(document).encode()) is None:
            raise ApiFailure(*_NOT_DECODED)
        meeting_id = params.decode(urlencode({"meetingID": given.get("meetingID", "")}))
        if not meeting_id.get("meetingID"):
            raise ApiFailure(*params.MISSING_MEETING_ID)
        refuse(params.running_violation(meeting_id))
        entry = await self._parts.meetings.find(
            incoming.caller.credential, meeting_id.get("meetingID")
        )
        node = await self._live.node(entry) if entry is not None and entry.shown else None
        if entry is None or node is None:
            raise ApiFailure(*params.NOT_IDENTIFIED)
        return await self._handed(entry, node, given | {"meetingID": entry.node_meeting_id})

    async def _handed(self, entry: Entry, node: Node, fields: dict[str, str]) -> web.Response:
        form = urlencode(fields)
        signed = checksum.sign(_CALL, params.sorted_query(form), node.secret, algorithm="sha1")
        try:
            raw = await self._exchange(node, _CALL, "", form=f"{form}&checksum={signed}")
        except NodeError as error:
            raise ApiFailure(Reason.UNAVAILABLE) from error
        _known(raw)
        try:
            root = nodes.parse(raw.content)
        except ValueError as error:
            raise ApiFailure(Reason.UNAVAILABLE) from error
        if root.findtext("returncode") != "SUCCESS":
            message = wording.text(entry, (root.findtext("message") or "").strip())
            raise ApiFailure(
                (root.findtext("messageKey") or "").strip() or _NOT_DECODED[0], message
            )
        token = (root.findtext("configToken") or "").strip()
        return xml(documents.success((("configToken", token),)))

    async def show(self, incoming: Incoming) -> web.Response:
        """Answer the document of the meeting to somebody who is in it."""
        try:
            session = await self._tokens.session(incoming)
        except WrongTokenError as error:
            return self._not_shown(incoming, str(error))
        try:
            raw = await tokens.reached(self._parts, incoming, session, "configXML")
        except NodeError:
            return self._not_shown(incoming, answers.MESSAGES[Reason.UNAVAILABLE])
        _known(raw)
        root = await _parsed(raw.content)
        if root is None or root.tag == "response":
            said = (root.findtext("message") or "").strip() if root is not None else ""
            return self._not_shown(incoming, wording.text(session.entry, said) or _NO_CONFIG[1])
        ours = documents.escape(session.entry.view["external_id"]).encode()
        return xml(raw.content.replace(session.entry.node_meeting_id.encode(), ours))

    def _not_shown(self, incoming: Incoming, message: str) -> web.Response:
        shown = documents.elements(
            (("message", message), ("logoutURL", self._urls.origin(incoming.request)))
        )
        return xml(f"<response><returncode>FAILED</returncode>{shown}</response>")

    async def _signed(self, incoming: Incoming) -> dict[str, str]:
        """Return the parameters of setConfigXML as received; raises `ApiFailure` unless signed.

        The checksum covers everything but itself, sorted by name, so nothing is used before it.
        """
        text = incoming.request.rel_url.raw_query_string
        if incoming.body is not None and incoming.body.is_form:
            form, _ = await incoming.body.form()
            text = f"{text}&{form}" if text else form
        # A stranger may send a megabyte of it.
        pairs, signed = await asyncio.to_thread(_sorted, text)
        given = next((value for name, value in pairs if name.strip() == _SIGNED_BY), "")
        if not given:
            raise ApiFailure("checksumError", answers.CHECKSUM_MISSING)
        if not incoming.caller.signed(_CALL, signed, given):
            incoming.doubtful = True
            raise ApiFailure(*_WRONG)
        incoming.admit()
        found: dict[str, str] = {}
        for name, value in pairs:
            if name.strip() != _SIGNED_BY:
                found.setdefault(name, value)
        return found

    def _healthy(self, pool: str) -> list[Node]:
        """Return a few nodes that may be asked, the healthy ones first."""
        directory = self._parts.directory.current
        found = directory.nodes_of_pool.get(directory.pool_by_name[pool].id, ())
        usable = [node for node in found if node.state != _DISABLED]
        return sorted(usable, key=lambda node: node.health != _UP)[:_NODES_ASKED_MAX]

    async def _exchange(
        self, node: Node, call: str, query: str, *, form: str | None = None
    ) -> RawReply:
        timeout_s = self._parts.settings.node_timeout_s
        return await self._parts.nodes.exchange(node, call, query, form=form, timeout_s=timeout_s)


def _sorted(text: str) -> tuple[list[tuple[str, str]], str]:
    """Return the parameters of a form, and the text that their checksum covers."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=params.PARAMS_MAX)
    except ValueError as error:
        raise ApiFailure("requestTooLarge", "The request has too many parameters.") from error
    return pairs, params.sorted_query(urlencode(pairs))


def _known(raw: RawReply) -> None:
    """Raise `ApiFailure` when the node does not have the call."""
    if raw.status in _NOT_THERE:
        raise ApiFailure(Reason.UNSUPPORTED)


async def _parsed(content: bytes) -> etree._Element | None:
    """Return the root of a document; None when it is not one, or has a document type."""
    if len(content) > _INLINE_CHARS_MAX:
        return await asyncio.to_thread(_root, content)
    return _root(content)


def _root(content: bytes) -> etree._Element | None:
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    try:
        root = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError):
        return None
    # The stubs do not know the attribute.
    return None if getattr(root.getroottree().docinfo, "doctype", "") else root
