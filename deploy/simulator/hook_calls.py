"""The webhook calls of the API: create, destroy, list.

Owns what these calls answer, after the 3.4 webhooks service. Never sends events: `hooks` does.
Called by `api` only.
"""

import uuid
from typing import Final

from deploy.simulator.model import Hook
from deploy.simulator.node import Node
from deploy.simulator.wire import ApiCall
from schemas import documents
from schemas.documents import Pair, Raw

_CHECKSUM: Final = documents.failure(
    "checksumError", "You did not pass the checksum security check."
)
_HOOKS_MAX: Final = 10_000
_SHA1_DIGITS: Final = 40


def create(node: Node, call: ApiCall) -> str:
    """Register a webhook; one address is one hook, whatever else is asked."""
    if not _is_signed(node, call):
        return _CHECKSUM
    url = call.given("callbackURL")
    if not url:
        text = "You must specify a callbackURL in the parameters."
        return documents.failure("missingParamCallbackURL", text)
    known = next((h for h in node.state.hooks.values() if h.callback_url == url), None)
    if known is not None:
        return documents.success(
            [
                ("hookID", known.hook_id),
                ("messageKey", "duplicateWarning"),
                ("message", "There is already a hook for this callback URL."),
            ]
        )
    if len(node.state.hooks) >= _HOOKS_MAX:
        text = "An error happened while creating your hook. Check the logs."
        return documents.failure("createHookError", text)
    events = [e.strip() for e in call.given("eventID").lower().split(",") if e.strip()]
    hook = Hook(
        hook_id=str(uuid.uuid4()),
        callback_url=url,
        meeting_id=call.params.get("meetingID"),
        event_ids=events or None,
        raw=call.is_true("getRaw"),
    )
    node.state.add_hook(hook)
    return documents.success(
        [("hookID", hook.hook_id), ("permanentHook", False), ("rawData", hook.raw)]
    )


def destroy(node: Node, call: ApiCall) -> str:
    """Remove a webhook."""
    if not _is_signed(node, call):
        return _CHECKSUM
    if not call.given("hookID"):
        text = "You must specify a hookID in the parameters."
        return documents.failure("missingParamHookID", text)
    if node.state.drop_hook(call.given("hookID")):
        return documents.success([("removed", True)])
    return documents.failure("destroyMissingHook", "The hook informed was not found.")


def list_hooks(node: Node, call: ApiCall) -> str:
    """List all hooks, or the global ones and those of one meeting."""
    if not _is_signed(node, call):
        return _CHECKSUM
    wanted = call.params.get("meetingID")
    shown = [
        documents.element("hook", _elements(hook))
        for hook in node.state.hooks.values()
        if wanted is None or hook.meeting_id is None or hook.meeting_id == wanted
    ]
    return documents.success([("hooks", Raw("".join(shown)))])


def _is_signed(node: Node, call: ApiCall) -> bool:
    """Tell whether a call is signed; the second generation knows SHA-1 alone."""
    old = node.settings.hook_signature == "2"
    if old and any(len(checksum) != _SHA1_DIGITS for checksum in call.checksums):
        return False
    return call.is_signed(node.settings.secret)


def _elements(hook: Hook) -> list[Pair]:
    return [
        ("hookID", hook.hook_id),
        ("callbackURL", hook.callback_url),
        ("meetingID", hook.meeting_id),
        ("eventID", ",".join(hook.event_ids) if hook.event_ids else None),
        ("permanentHook", False),
        ("rawData", hook.raw),
    ]
