"""Reading request bodies: forms and XML modules, within limits and in time.

Owns the limits, the reading time, and the rules about content types. Never trusts a body: only a
form may carry the checksum. Called by the dispatch when a request has a body.
"""

import asyncio
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from aiohttp import web
from lxml import etree

from gateway.failures import ApiFailure
from schemas import params
from schemas.params import Params

#: Forms, and bodies of calls other than create.
FORM_BYTES_MAX: Final = 1_048_576
#: XML modules travel on the bus inside the command.
MODULES_BYTES_MAX: Final = 1_048_576
#: Larger documents are checked outside the event loop.
_INLINE_BYTES_MAX: Final = 65_536
_FORM_TYPE: Final = "application/x-www-form-urlencoded"
_MULTIPART_TYPE: Final = "multipart/form-data"
_BOUNDARY: Final = re.compile(r"boundary=\"?([A-Za-z0-9'()+_,./:=? -]{1,70})", re.ASCII)
_FIELD_NAME: Final = re.compile(rb"\bname=\"([^\"\r\n]{0,300})\"")
_PART_HEAD_BYTES_MAX: Final = 4_096
_XML_TYPES: Final = frozenset(("application/xml", "text/xml"))


@dataclass(frozen=True, slots=True)
class Body:
    """A body that was read."""

    media_type: str
    content: bytes
    #: The whole header, for the boundary of a multipart form.
    content_type: str = ""

    @property
    def is_xml(self) -> bool:
        """Whether it holds XML modules: some clients send them untyped or typed as a form."""
        if self.media_type in _XML_TYPES:
            return True
        return self.media_type in {"", _FORM_TYPE} and self.content.lstrip()[:1] == b"<"

    @property
    def is_form(self) -> bool:
        """Whether it holds parameters."""
        if self.media_type == _MULTIPART_TYPE:
            return True
        return self.media_type == _FORM_TYPE and not self.is_xml

    def form(self) -> str:
        """Return the form as text, still encoded; a multipart one as if it were plain."""
        if self.media_type == _MULTIPART_TYPE:
            return urlencode(_parts(self.content_type, self.content))
        return self.content.decode("utf-8", "replace")

    def params(self) -> Params:
        """Return the parameters of the form; raises `ApiFailure` when there are too many."""
        return decoded(self.form())


def decoded(text: str, *, clean: bool = False) -> Params:
    """Return decoded parameters; raises `ApiFailure` when there are too many."""
    try:
        return params.decode(text, clean=clean)
    except params.TooManyParamsError as error:
        raise ApiFailure("requestTooLarge", f"The request has {error}.") from error


async def read(request: web.Request, *, bytes_max: int, timeout_s: float) -> Body | None:
    """Return the body, None when it is empty; raises `ApiFailure` when too long or too slow."""
    size = request.content_length
    if size is not None and size > bytes_max:
        raise _too_large(bytes_max)
    content = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            while part := await request.content.readany():
                content += part
                if len(content) > bytes_max:
                    raise _too_large(bytes_max)
    except TimeoutError as error:
        raise ApiFailure("serviceUnavailable", "The body did not arrive.", status=408) from error
    except (web.RequestPayloadError, ConnectionError) as error:
        raise ApiFailure("unsupportedRequest", "The body is broken.", status=400) from error
    if not content.strip():
        return None
    content_type = request.headers.get("Content-Type", "")
    return Body(content_type.partition(";")[0].strip().lower(), bytes(content), content_type)


def _too_large(bytes_max: int) -> ApiFailure:
    return ApiFailure("requestTooLarge", f"The body is longer than {bytes_max} bytes.")


def _parts(content_type: str, content: bytes) -> list[tuple[str, bytes]]:
    """Return the fields of a multipart form; files and what cannot be read are left out.

    By hand: the standard library's parser follows nested parts, as deep as a stranger likes.
    """
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        return []
    found = []
    parts = content.split(b"--" + boundary.group(1).encode(), params.PARAMS_MAX + 2)
    for part in parts[1 : params.PARAMS_MAX + 2]:
        head, gap, value = part.partition(b"\r\n\r\n")
        name = _FIELD_NAME.search(head[:_PART_HEAD_BYTES_MAX])
        if gap and name is not None and b"filename" not in head:
            found.append((name.group(1).decode("utf-8", "replace"), value.removesuffix(b"\r\n")))
    return found


async def modules(body: Body) -> str:
    """Return XML modules as text; raises `ApiFailure` when they are not well-formed."""
    check = _check_xml
    if len(body.content) > _INLINE_BYTES_MAX:
        ok = await asyncio.to_thread(check, body.content)
    else:
        ok = check(body.content)
    if not ok:
        raise ApiFailure("malformedXml")
    try:
        return body.content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ApiFailure("malformedXml", "The request body is not UTF-8.") from error


def _check_xml(content: bytes) -> bool:
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=True
    )
    try:
        root = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError):
        return False
    # The stubs do not know the attribute.
    return not getattr(root.getroottree().docinfo, "doctype", "")
