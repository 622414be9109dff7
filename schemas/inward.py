"""The addresses at which nodes call back, and how they are told from those of callers.

Owns the paths of these URLs and the names of the metadata that carry them. A URL of ours is never
shown to anybody but the node. Pure. Used by whoever makes the URLs, receives the calls or shows
metadata that a node gave out.
"""

import re
from typing import Final

HOOKS: Final = "/node-hooks"
CALLBACKS: Final = "/node-callbacks"

END: Final = "end"
RECORDING: Final = "recording"
ANALYTICS: Final = "analytics"

#: Metadata (without `meta_`) by which a create call asks to be called back at the end.
END_META: Final = "endcallbackurl"
#: The same for recordings that are ready: the first one that has a value counts.
RECORDING_METAS: Final = (
    "bbb-recording-ready-url",
    "bn-recording-ready-url",
    "canvas-recording-ready-url",
)
ANALYTICS_META: Final = "analytics-callback-url"
#: None of these goes to a node as the caller gave it.
METAS: Final = frozenset((END_META, *RECORDING_METAS, ANALYTICS_META))

_OURS: Final = re.compile(re.escape(CALLBACKS) + r"/[0-9a-f]{32}/[a-z]+/[0-9a-f]{32}\Z")


def is_ours(key: str, value: str) -> bool:
    """Tell whether a piece of metadata is a URL of ours, which nobody but the node is to see."""
    return key.lower() in METAS and _OURS.search(value) is not None
