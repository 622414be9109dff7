"""A join URL that a node made for itself, made over for this gateway.

Owns the reading of the node's URL and the signing of ours. The caller's id goes in once encoded,
where nodes encode theirs twice; the rest stays as the node says it. Pure. Used by getJoinUrl.
"""

from typing import Final
from urllib.parse import parse_qsl, unquote_plus, urlencode

from gateway.keys import Caller
from gateway.meetings import Entry
from schemas import checksum

_PARAMS_MAX: Final = 1_000
#: The credential may not allow all of them; the first one that it does is used.
_ALGORITHMS: Final = ("sha256", "sha512", "sha384", "sha1")


def through_us(entry: Entry, url: str, caller: Caller, base: str) -> str | None:
    """Return the URL of the same join at `base`; None when it is not one of the meeting."""
    path, _, query = url.partition("?")
    if not path.endswith("/api/join"):
        return None
    try:
        found = parse_qsl(query, keep_blank_values=True, max_num_fields=_PARAMS_MAX)
    except ValueError:
        return None
    bound = entry.view["bound"]
    known = {entry.node_meeting_id, bound["internal_id"] if bound is not None else ""}
    pairs = []
    named = False
    for name, value in found:
        if name == "checksum":
            continue
        if name != "meetingID":
            pairs.append((name, value))
            continue
        if named or not {value, unquote_plus(value)} & known:
            return None
        named = True
        pairs.append((name, entry.view["external_id"]))
    algorithm = next((name for name in _ALGORITHMS if name in caller.algorithms), None)
    if not named or algorithm is None:
        return None
    signed = checksum.signed_query("join", urlencode(pairs), caller.secrets[0], algorithm=algorithm)
    return f"{base}api/join?{signed}"
