"""Multipart forms, read by hand: their fields, and where their file is.

By hand because the standard library's parser follows nested parts, as deep as a stranger likes.
Never copies a file and never trusts a header of a part. Called by `bodies`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from gateway.spool import Content
from schemas import params

#: All fields together, their heads included.
FIELDS_BYTES_MAX: Final = 1_048_576
#: The part of a form that is a file for a node.
_FILE: Final = b"file"
_HEAD_BYTES_MAX: Final = 4_096
_BOUNDARY: Final = re.compile(r"boundary=\"?([A-Za-z0-9'()+_,./:=? -]{1,70})", re.ASCII)
_NAME: Final = re.compile(rb"\bname=\"([^\"\r\n]{0,300})\"")
_FILE_NAME: Final = re.compile(rb"\bfilename=\"([^\"\r\n\\]{0,255})\"")
_TYPE: Final = re.compile(rb"(?i)\r\nContent-Type:[ \t]*([a-z0-9!#$&^_.+/-]{1,100})\s*(?:;|$)")


class FieldsTooLongError(Exception):
    """The fields of a form are longer than is read."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part: its head, and where its content lies."""

    head: bytes
    begin: int
    end: int

    @property
    def name(self) -> bytes:
        """The name of the field, empty when it has none."""
        found = _NAME.search(self.head)
        return found.group(1) if found is not None else b""

    @property
    def is_file(self) -> bool:
        """Whether it names a file, in whatever way."""
        return b"filename" in self.head.lower()

    @property
    def file_name(self) -> bytes:
        """The name of the file, a plain one when it has none that is safe to repeat."""
        found = _FILE_NAME.search(self.head)
        return found.group(1) if found is not None and found.group(1) else b"file"

    @property
    def media_type(self) -> bytes:
        """The media type of the file."""
        found = _TYPE.search(b"\r\n" + self.head)
        return found.group(1) if found is not None else b"application/octet-stream"


def fields(content_type: str, content: Content) -> list[tuple[str, bytes]]:
    """Return the fields; files and what cannot be read are left out."""
    found: list[tuple[str, bytes]] = []
    size = 0
    for part in _parts(content_type, content):
        if part.is_file or not part.name:
            continue
        size += len(part.head) + part.end - part.begin
        if size > FIELDS_BYTES_MAX:
            raise FieldsTooLongError
        found.append((part.name.decode("utf-8", "replace"), content[part.begin : part.end]))
    return found


def file(content_type: str, content: Content) -> Part | None:
    """Return the part `file`, None when there is none or it is empty."""
    for part in _parts(content_type, content):
        if part.is_file and part.name == _FILE and part.end > part.begin:
            return part
    return None


def _parts(content_type: str, content: Content) -> Iterator[Part]:
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        return
    mark = b"--" + boundary.group(1).encode()
    at = content.find(mark)
    for _ in range(params.PARAMS_MAX + 1):
        if at < 0:
            return
        begin = at + len(mark)
        at = content.find(mark, begin)
        end = at if at >= 0 else len(content)
        gap = content.find(b"\r\n\r\n", begin, min(begin + _HEAD_BYTES_MAX, end))
        if gap < 0:
            continue
        head = content[begin:gap]
        begin = gap + 4
        if end - begin >= len(b"\r\n") and content[end - 2 : end] == b"\r\n":
            end -= 2
        yield Part(head, begin, end)
