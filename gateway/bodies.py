"""A request body that was received: what it is, and how a call may read it.

Owns the reading of forms and the decision whether a body is a form, XML modules or something else.
Never trusts a body: only a form may carry the checksum, and XML is passed on only when it is
well-formed. Made by `receiving`; used by the dispatch and by the calls.
"""

import functools
import re
import secrets
from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import urlencode

from gateway import modules, multipart
from gateway.failures import ApiFailure
from gateway.spool import Content, Spool
from schemas import params
from schemas.params import Params

#: Forms without their files, and bodies that are not signed by the query.
FORM_BYTES_MAX: Final = multipart.FIELDS_BYTES_MAX
FORM_TYPE: Final = "application/x-www-form-urlencoded"
MULTIPART_TYPE: Final = "multipart/form-data"
XML_TYPES: Final = frozenset(("application/xml", "text/xml"))
#: Types of bodies whose kind is seen in their first letters: some clients name none, and some call
#: XML a form.
_SNIFFED: Final = frozenset(("", FORM_TYPE))
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
#: A charset that is passed on to the node.
_CHARSET: Final = re.compile(r";\s*charset=\"?([A-Za-z0-9_.:-]{1,40})", re.ASCII | re.IGNORECASE)


class Body:
    """A body that was received; `close` is called by the dispatch when the call is answered."""

    def __init__(self, spool: Spool, content_type: str, *, typed: bool = True) -> None:
        self._spool = spool
        #: The whole header as it came.
        self.content_type = content_type
        self.media_type = media_type(content_type)
        begins = spool.head.removeprefix(_BYTE_ORDER_MARK).lstrip()[:1]
        sniffed = self.media_type in _SNIFFED or not typed
        #: Whether it holds XML modules.
        self.is_xml = self.media_type in XML_TYPES or (sniffed and begins == b"<")
        #: Whether it holds parameters.
        self.is_form = self.media_type == MULTIPART_TYPE or (
            self.media_type == FORM_TYPE and not self.is_xml
        )

    @property
    def size(self) -> int:
        """The number of bytes."""
        return self._spool.size

    @property
    def xml_type(self) -> str:
        """The type under which XML goes to a node, which knows two names for it."""
        kind = self.media_type if self.media_type in XML_TYPES else "application/xml"
        charset = _CHARSET.search(self.content_type)
        return f"{kind}; charset={charset.group(1)}" if charset is not None else kind

    def stream(self) -> AsyncIterator[bytes]:
        """Return the bytes piece by piece, each time from the beginning."""
        return self._spool.stream()

    async def read(self) -> bytes:
        """Return all bytes; only for bodies that are known to be short."""
        return b"".join([part async for part in self.stream()])

    async def form(self) -> tuple[str, Params]:
        """Return the form, still encoded and decoded; a multipart one as if it were plain.

        Raises `ApiFailure` when there is too much of it.
        """
        return await self._spool.run(self._form)

    def _form(self, content: Content) -> tuple[str, Params]:
        if self.media_type == MULTIPART_TYPE:
            try:
                text = urlencode(multipart.fields(self.content_type, content))
            except multipart.FieldsTooLongError as error:
                raise too_large(FORM_BYTES_MAX) from error
        else:
            text = content[:].decode("utf-8", "replace")
        return text, decoded(text)

    async def documents(self) -> int:
        """Check XML modules and return how many documents they have; raises `ApiFailure`."""
        try:
            return await self._spool.run(modules.documents)
        except modules.MalformedError as error:
            raise ApiFailure("malformedXml", str(error)) from error

    async def upload(self) -> "Upload | None":
        """Return the file of a form as a form of its own; None when there is no file."""
        if self.media_type != MULTIPART_TYPE:
            return None
        part = await self._spool.run(functools.partial(multipart.file, self.content_type))
        return Upload(self._spool, part) if part is not None else None

    async def close(self) -> None:
        """Forget the bytes; may be called twice."""
        await self._spool.close()


class Upload(Body):
    """The file of a form, put into a form that holds nothing else.

    What a caller adds to his form is not signed, and a node might read it before the query.
    """

    def __init__(self, spool: Spool, part: multipart.Part) -> None:
        # Longer than anybody guesses, so that no file can end it.
        boundary = secrets.token_hex(24)
        super().__init__(spool, f"{MULTIPART_TYPE}; boundary={boundary}")
        self._part = part
        self._head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="'.encode()
            + part.file_name
            + b'"\r\nContent-Type: '
            + part.media_type
            + b"\r\n\r\n"
        )
        self._tail = f"\r\n--{boundary}--\r\n".encode()

    @property
    def size(self) -> int:
        """The number of bytes."""
        return len(self._head) + self._part.end - self._part.begin + len(self._tail)

    async def stream(self) -> AsyncIterator[bytes]:
        """Return the form piece by piece, each time from its beginning."""
        yield self._head
        async for piece in self._spool.stream(self._part.begin, self._part.end):
            yield piece
        yield self._tail


def media_type(content_type: str) -> str:
    """Return the media type of a header, without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def decoded(text: str, *, clean: bool = False) -> Params:
    """Return decoded parameters; raises `ApiFailure` when there are too many."""
    try:
        return params.decode(text, clean=clean)
    except params.TooManyParamsError as error:
        raise ApiFailure("requestTooLarge", f"The request has {error}.") from error


def too_large(bytes_max: int) -> ApiFailure:
    """Return the failure of a body that is too long."""
    return ApiFailure("requestTooLarge", f"The body is longer than {bytes_max} bytes.")
