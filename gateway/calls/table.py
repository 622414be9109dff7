"""The table of calls: which names the API has, and who answers them.

Owns the list and nothing else. Called once, by the dispatch.
"""

from aiohttp import web

from gateway.calls import create, end, queries
from gateway.calls.documents import Documents
from gateway.calls.join import Join
from gateway.calls.recordings import Recordings
from gateway.calls.text_tracks import TextTracks
from gateway.failures import ApiFailure
from gateway.gate import Gate
from gateway.incoming import GET, GET_POST, Bodies, Call, Calls, Incoming
from gateway.live import Live
from gateway.parts import Parts
from schemas.values import Reason

#: Calls of BigBlueButton that are not offered, so that a valid caller learns that and no more.
_NOT_OFFERED = {
    "getSessions": GET_POST,
    "sendChatMessage": GET,
    "hooks/create": GET,
    "hooks/destroy": GET,
    "hooks/list": GET,
}


def table(parts: Parts, live: Live, gate: Gate) -> Calls:
    """Return all calls by name."""
    calls: Calls = {name: Call(_not_offered, methods) for name, methods in _NOT_OFFERED.items()}
    calls |= Join(parts, live, gate).calls()
    calls |= queries.Queries(parts, live).calls()
    calls |= Documents(parts, live).calls()
    calls |= Recordings(parts).calls()
    calls |= TextTracks(parts).calls()
    calls["create"] = Call(create.Create(parts).create, GET_POST, bodies=Bodies.FORM_OR_XML)
    calls["end"] = Call(end.End(parts).end, GET_POST)
    return calls


async def _not_offered(_incoming: Incoming) -> web.Response:
    raise ApiFailure(Reason.UNSUPPORTED)
