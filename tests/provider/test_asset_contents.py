"""What a logo, a slide and a style sheet may consist of."""

import pytest

from scheduler import asset_contents
from scheduler.checks import OperationError
from tests.provider import files


@pytest.mark.parametrize(
    ("kind", "content", "media_type"),
    [
        ("logo", files.PNG, "image/png"),
        ("logo", files.JPEG, "image/jpeg"),
        ("logo", files.GIF, "image/gif"),
        ("logo", files.WEBP, "image/webp"),
        ("slide", files.PDF, "application/pdf"),
        ("slide", files.PNG, "image/png"),
        ("slide", files.ODP, "application/vnd.oasis.opendocument.presentation"),
        (
            *("slide", files.PPTX),
            "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        ),
        ("css", files.CSS, "text/css"),
    ],
)
def test_the_type_is_seen_in_the_content(kind: str, content: bytes, media_type: str) -> None:
    assert asset_contents.media_type(kind, content) == media_type


@pytest.mark.parametrize(
    ("kind", "content", "said"),
    [
        ("logo", files.SVG, "may hold scripts"),
        ("logo", files.PDF, "one of these types: PNG"),
        ("logo", b"<html>", "one of these types"),
        ("logo", b"", "empty"),
        ("slide", files.SVG, "may hold scripts"),
        ("slide", files.ODT, "one of these types"),
        ("slide", files.GIF, "one of these types"),
        ("slide", b"PK\x03\x04" + b"\0" * 60, "one of these types"),
        ("css", files.PNG, "UTF-8"),
        ("css", b"a{}\x00", "control characters"),
    ],
)
def test_what_is_something_else_is_refused(kind: str, content: bytes, said: str) -> None:
    with pytest.raises(OperationError, match=said):
        asset_contents.media_type(kind, content)


@pytest.mark.parametrize(
    "style",
    [
        "a { background: url(/b3lb/t/acme/logo) }",
        'a { background: url("picture.png") }',
        "a { background: url( data:image/png;base64,AA== ) }",
        "a { background: url('DATA:image/png;base64,AA==') }",
        "a { mask: url(#shape) }",
        "/* see https://example.org/licence */ a { color: red }",
        'a::after { content: "\\201C see \\"this\\" // there" }',
        "@media (min-width: 10px) { a:hover { color: red } } @font-face { font-family: x }",
        ":root { --url-like: 1 }",
    ],
)
def test_a_style_sheet_may_use_what_is_in_it_or_on_our_host(style: str) -> None:
    asset_contents.check_style(style.encode())


@pytest.mark.parametrize(
    "style",
    [
        "@import 'other.css';",
        "@IMPORT url(other.css);",
        "/**/@import/**/'//evil.example'",
        "a { background: url(https://evil.example/x) }",
        "a { background: url(//evil.example/x) }",
        "a { background: URL(\n 'http://evil.example/x') }",
        'a { background: url("\\68ttps://evil.example/x") }',
        'a { background: url("\\\n//evil.example/x") }',
        "a { background: u\\72l(//evil.example/x) }",
        "@\\69mport '//evil.example'",
        "a { background: url(\\68ttps://evil.example/x) }",
        "a { background: image-set('https://evil.example/x' 1x) }",
        'a { content: "/*"; background: url(//evil.example/x) "*/" }',
        "a { background: url(x/*), url(//evil.example/*/) }",
        "a { background: url(\\\\evil.example/x) }",
        "a { background: url(/\\evil.example/x) }",
        'a { content: "unclosed\n; background: url(//evil.example/x) }',
        "a { background: src('//evil.example/x') }",
        "a { background: url(javascript:alert(1)) }",
        "/* unclosed * / a { background: url(x) } */ a { background: url(ftp://evil.example) }",
    ],
)
def test_a_style_sheet_loads_nothing_from_elsewhere(style: str) -> None:
    """However it is written, as browsers read it."""
    with pytest.raises(OperationError):
        asset_contents.check_style(style.encode())


def test_a_long_style_sheet_is_checked_in_no_time() -> None:
    asset_contents.check_style(b"a{color:red}" * 10_000)
    asset_contents.check_style(b'"' * 100_001)
    asset_contents.check_style(b"/*" * 100_000)
