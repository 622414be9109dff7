"""The calls hooks/create, hooks/destroy, hooks/list, hooks/ping.

Owns what a webhook may be and how the answers look: one line, addresses in CDATA, after
bbb-webhooks. Never calls an address, and does not judge where it leads: that is decided when events
are delivered. Called by the dispatch.
"""

from typing import Final

from aiohttp import web

from gateway.failures import ApiFailure, xml
from gateway.incoming import GET, Auth, Call, Calls, Incoming
from gateway.parts import Parts
from scheduler import hooks
from scheduler.hooks import Hook, TooManyHooksError
from schemas import documents, params
from schemas.documents import Pair, Raw

_NO_URL: Final = ("missingParamCallbackURL", "You must specify a callbackURL in the parameters.")
_NO_ID: Final = ("missingParamHookID", "You must specify a hookID in the parameters.")
_UNKNOWN: Final = ("destroyMissingHook", "The hook informed was not found.")
_CREATE_ERROR: Final = "createHookError"
_DUPLICATE: Final = "There is already a hook for this callback URL."
_ID_CHARS_MAX: Final = 64


class Hooks:
    """The webhook calls of one gateway."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def calls(self) -> Calls:
        """Return the calls by name."""
        return {
            "hooks/create": Call(self.create, GET),
            "hooks/destroy": Call(self.destroy, GET),
            "hooks/list": Call(self.show, GET, reads=True),
            "hooks/ping": Call(self.ping, GET, auth=Auth.OPEN),
        }

    async def create(self, incoming: Incoming) -> web.Response:
        """Register a webhook; one address is one hook, whatever else is asked."""
        parts, values = self._parts, incoming.params.values
        url = values.get("callbackURL", "")
        if not url:
            raise ApiFailure(*_NO_URL)
        if len(url) > hooks.URL_CHARS_MAX or params.web_url(url) is None:
            raise ApiFailure(
                _CREATE_ERROR,
                "The callbackURL must be an http or https address of at most"
                f" {hooks.URL_CHARS_MAX} characters.",
            )
        if incoming.params.flag("getRaw"):
            # Mapped events instead would be misread by whoever asked for raw ones.
            raise ApiFailure(_CREATE_ERROR, "Raw messages are not offered; leave getRaw out.")
        external_id = values.get("meetingID")
        events = _events(values.get("eventID", ""))
        if len(external_id or "") > hooks.ID_CHARS_MAX:
            raise ApiFailure(_CREATE_ERROR, "The meetingID is too long.")
        if len(",".join(events)) > hooks.EVENTS_CHARS_MAX:
            raise ApiFailure(_CREATE_ERROR, "The eventID names too many events.")
        try:
            hook, new = await hooks.register(
                parts.database,
                incoming.caller.credential,
                url,
                external_id=external_id,
                events=events,
                hooks_max=parts.settings.hooks_max,
                now_ms=parts.now_ms(),
            )
        except TooManyHooksError as error:
            raise ApiFailure(
                _CREATE_ERROR,
                f"There are {parts.settings.hooks_max} hooks already; destroy some first.",
            ) from error
        if not new:
            return xml(
                documents.success(
                    (
                        ("hookID", hook.id),
                        ("messageKey", "duplicateWarning"),
                        ("message", _DUPLICATE),
                    )
                )
            )
        return xml(
            documents.success((("hookID", hook.id), ("permanentHook", False), ("rawData", False)))
        )

    async def destroy(self, incoming: Incoming) -> web.Response:
        """Remove a webhook."""
        hook_id = incoming.params.get("hookID")
        if not hook_id:
            raise ApiFailure(*_NO_ID)
        if len(hook_id) > _ID_CHARS_MAX or not await hooks.remove(
            self._parts.database, incoming.caller.credential, hook_id
        ):
            raise ApiFailure(*_UNKNOWN)
        return xml(documents.success((("removed", True),)))

    async def show(self, incoming: Incoming) -> web.Response:
        """List the credential's webhooks, or those that concern one meeting."""
        found = await hooks.listed(
            self._parts.database,
            incoming.caller.credential,
            incoming.params.get("meetingID") or None,
        )
        shown = "".join([documents.element("hook", _elements(hook)) for hook in found])
        return xml(documents.success((("hooks", Raw(shown)),)))

    async def ping(self, _incoming: Incoming) -> web.Response:
        """Say that webhooks are served."""
        return web.Response(text="bbb-webhooks API up!", headers={"Cache-Control": "no-cache"})


def _events(given: str) -> tuple[str, ...]:
    """Return the names of a list, each once; none means all."""
    names = (name.strip().lower() for name in given.split(","))
    return tuple(dict.fromkeys(name for name in names if name))


def _elements(hook: Hook) -> list[Pair]:
    meeting = documents.cdata(hook.external_id) if hook.external_id is not None else None
    return [
        ("hookID", hook.id),
        ("callbackURL", documents.cdata(hook.url)),
        ("meetingID", meeting),
        ("eventID", ",".join(hook.events) or None),
        ("permanentHook", False),
        ("rawData", False),
    ]
