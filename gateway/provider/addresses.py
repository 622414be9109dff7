"""The addresses of the endpoints for providers and their customers.

Owns the list alone; what stands at each is in the modules beside this one. Wired by the
application.
"""

from aiohttp import web

from gateway.node_callbacks import NodeCallbacks
from gateway.node_requests import NodeRequests
from gateway.parts import Parts
from gateway.provider.access import Access
from gateway.provider.backend import Backend
from gateway.provider.monitoring import Monitoring
from gateway.provider.pictures import Pictures


def routes(parts: Parts, requests: NodeRequests, callbacks: NodeCallbacks) -> list[web.RouteDef]:
    """Return all addresses."""
    access = Access(parts)
    return [
        *Monitoring(parts, access).routes(),
        *Pictures(parts).routes(),
        *Backend(parts, requests, callbacks, access).routes(),
    ]
