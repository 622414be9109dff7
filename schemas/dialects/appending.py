"""Parameters behind a URL that somebody registered.

Owns the one rule: what the owner of the URL wrote stays byte for byte, the new parameters come
behind its query and before its fragment. Used by the dialects.
"""

from collections.abc import Sequence
from urllib.parse import urlencode


def appended(url: str, pairs: Sequence[tuple[str, str]]) -> str:
    """Return the URL with the parameters appended to its query."""
    # Not through a URL class: it would normalise the owner's own part, which may be signed.
    base, _, fragment = url.partition("#")
    joint = "?" if "?" not in base else "&"
    if joint == "&" and base.endswith(("?", "&")):
        joint = ""
    longer = f"{base}{joint}{urlencode(pairs, errors='replace')}"
    return f"{longer}#{fragment}" if fragment else longer
