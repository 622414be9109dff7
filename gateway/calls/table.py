"""The table of calls: which names the API has, and who answers them.

Owns the list and nothing else. Called once, by the dispatch.
"""

from gateway.calls import create, end, queries
from gateway.calls.chat import Chat
from gateway.calls.config_xml import ConfigXml
from gateway.calls.documents import Documents
from gateway.calls.hooks import Hooks
from gateway.calls.join import Join
from gateway.calls.recordings import Recordings
from gateway.calls.sessions import Sessions as SessionList
from gateway.calls.text_tracks import TextTracks
from gateway.calls.tokens import Tokens
from gateway.gate import Gate
from gateway.incoming import GET_POST, Bodies, Call, Calls
from gateway.live import Live
from gateway.parts import Parts
from gateway.sessions import Sessions
from gateway.urls import Urls


def table(parts: Parts, live: Live, gate: Gate) -> Calls:
    """Return all calls by name."""
    sessions, urls = Sessions(parts), Urls(parts.settings)
    calls: Calls = Join(parts, live, gate, sessions).calls()
    calls |= queries.Queries(parts, live).calls()
    calls |= Documents(parts, live).calls()
    calls |= Recordings(parts).calls()
    calls |= TextTracks(parts).calls()
    calls |= Chat(parts, live).calls()
    calls |= Hooks(parts).calls()
    calls |= SessionList(parts).calls()
    tokens = Tokens(parts, sessions, urls)
    calls |= tokens.calls()
    calls |= ConfigXml(parts, live, tokens, urls).calls()
    calls["create"] = Call(create.Create(parts).create, GET_POST, bodies=Bodies.FORM_OR_XML)
    calls["end"] = Call(end.End(parts).end, GET_POST)
    return calls
