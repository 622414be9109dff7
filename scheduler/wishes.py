"""What a create wishes of its node: `meta_server-tag`, as users of Scalelite know it.

Owns the reading of it: `gpu` prefers nodes with that tag, `gpu!` takes no others. It narrows what
the subscription may use and never widens it; a parameter rule can set it. Pure. Used by the
placement worker for creates, and for meetings that are read from the ledger.
"""

from typing import Final

from schemas.messages import MeetingDoc

META: Final = "server-tag"
_ONLY: Final = "!"
_CHARACTERS_MAX: Final = 64


def node_tags(doc: MeetingDoc) -> tuple[frozenset[str], frozenset[str]]:
    """Return the tags that the node must have, and those that it had better have."""
    wish = doc.get("meta", {}).get(META, "").strip().lower()
    tag = wish.removesuffix(_ONLY)
    # What is too long to be a tag is none that a node could have; it is no reason to fail.
    if not tag or len(tag) > _CHARACTERS_MAX:
        return frozenset(), frozenset()
    found = frozenset((tag,))
    return (found, frozenset()) if wish.endswith(_ONLY) else (frozenset(), found)
