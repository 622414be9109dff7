"""Facts about the form of bbb-webhooks: its bytes, and its signatures in every generation."""

from urllib.parse import parse_qs

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.dialects import webhooks
from schemas.dialects.names import OF_WEBHOOKS, Dialect
from schemas.dialects.outgoing import Outgoing, UnsignableError, outgoing
from tests.events.builders import INTERNAL, SECRET

URL = "https://cb.example/bbb"
EVENT = (
    b'{"data":{"type":"event","id":"meeting-ended","attributes":{"meeting":'
    b'{"internal-meeting-id":"' + INTERNAL.encode() + b'","external-meeting-id":"room-42"}},'
    b'"event":{"ts":1718003600000}}}'
)
WIRE = (
    "domain=bbb.example&event=%5B%7B%22data%22%3A%7B%22type%22%3A%22event%22%2C%22id%22%3A%22"
    "meeting-ended%22%2C%22attributes%22%3A%7B%22meeting%22%3A%7B%22internal-meeting-id%22%3A%22"
    f"{INTERNAL}%22%2C%22external-meeting-id%22%3A%22room-42%22%7D%7D%2C%22event%22%3A%7B%22"
    "ts%22%3A1718003600000%7D%7D%7D%5D&timestamp=1718003600123"
)
#: What receivers of each generation compute for this event, address and secret.
CHECKSUMS = {
    "webhooks": "0588c24bcc4647819363d6229e95bd85d6ed09a4",
    "webhooks-sha256": "8ac587561c04686f0b96fd230b84773ba87124f6e9b79f575dccfa4983bbe951",
    "webhooks-sha384": "b341364e54692555998a2492270be05d44c3cbdabcb708c444bd14f26e19f9cb"
    "9451a0f0d26e46a4089027dc4092e681",
    "webhooks-sha512": "e44432c14ffc4d6e5aa44276e15708b13650535bbec5296402cc50000149be72"
    "c603c6af862b0e713fe2bcca2625ceb3d2546825f6b3faef2c60fe36cac7f4d7",
    "webhooks-v2": "1af5169f6b795da5785abcc8ee61c09ff8a3a72b",
}
#: What senders from 3.0 to 3.3 put on every event.
CONSTANT = "dfa8d67c7f27ab16d5e00d8b094a11f5af8a26c9"
TEXT = st.text(st.characters(codec="utf-8"), max_size=60)


def sent(dialect: str, *, url: str = URL, secret: str = SECRET, event: bytes = EVENT) -> Outgoing:
    body = webhooks.body(
        Dialect(dialect), event, domain="bbb.example", timestamp_ms=1_718_003_600_123
    )
    return outgoing(
        dialect, url=url, body=body, event_id="e", created_ms=1, now_ms=2, secrets=(secret,)
    )


@pytest.mark.parametrize("dialect", CHECKSUMS)
def test_each_generation_has_its_checksum(dialect: str) -> None:
    got = sent(dialect)
    assert got.method == "POST"
    assert got.url == f"{URL}?checksum={CHECKSUMS[dialect]}"
    assert webhooks.verified(URL, got.body, CHECKSUMS[dialect], (SECRET,))
    assert webhooks.verified(URL, got.body, CHECKSUMS[dialect].upper(), ("other", SECRET))
    assert not webhooks.verified(URL, got.body, CHECKSUMS[dialect], ("other", ""))
    assert not webhooks.verified(URL, got.body + b"x", CHECKSUMS[dialect], (SECRET,))
    assert not webhooks.verified(URL + "/", got.body, CHECKSUMS[dialect], (SECRET,))


def test_the_body_is_encoded_as_browsers_do() -> None:
    got = sent("webhooks")
    assert got.body.decode() == WIRE
    assert got.headers["Content-Type"] == "application/x-www-form-urlencoded;charset=UTF-8"


def test_the_second_generation_writes_its_fields_in_its_own_order() -> None:
    body = sent("webhooks-v2").body.decode()
    assert [part.partition("=")[0] for part in body.split("&")] == ["event", "timestamp", "domain"]


def test_the_bearer_stands_in_the_header_and_nothing_in_the_address() -> None:
    got = sent("webhooks-bearer")
    assert got.url == URL
    assert got.headers["Authorization"] == f"Bearer {SECRET}"


def test_a_query_of_the_registered_address_is_kept() -> None:
    assert sent("webhooks", url=f"{URL}?a=%7e").url.startswith(f"{URL}?a=%7e&checksum=")


def test_the_constant_checksum_of_some_senders_counts_only_if_asked_for() -> None:
    body = sent("webhooks").body
    assert not webhooks.verified(URL, body, CONSTANT, (SECRET,))
    assert webhooks.verified(URL, body, CONSTANT, (SECRET,), constant=True)


@pytest.mark.parametrize("checksum", ["", "0" * 39, "ü" * 40, "0" * 64])
def test_a_checksum_of_no_kind_is_none(checksum: str) -> None:
    assert not webhooks.verified(URL, sent("webhooks").body, checksum, (SECRET,), constant=True)


@pytest.mark.parametrize("body", [b"", b"timestamp=x", b"\xff\xfe", b"a=1&" * 100])
def test_a_body_that_is_no_form_has_no_signature(body: bytes) -> None:
    assert not webhooks.verified(URL, body, CHECKSUMS["webhooks-v2"], (SECRET,))


@given(TEXT, TEXT)
def test_a_form_reads_as_it_was_written(name: str, text: str) -> None:
    body = webhooks.form([("event", text), ("domain", name)])
    assert set(body) <= set(
        b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789*-._%+&="
    )
    read = parse_qs(body.decode(), keep_blank_values=True)
    assert (read["event"], read["domain"]) == ([text], [name])


@given(TEXT, st.sampled_from(sorted(OF_WEBHOOKS - {Dialect.WEBHOOKS_BEARER})))
def test_every_event_is_signed_so_that_it_can_be_checked(text: str, dialect: Dialect) -> None:
    got = sent(dialect, event=orjson.dumps({"data": text}))
    checksum = got.url.rpartition("checksum=")[2]
    assert webhooks.verified(URL, got.body, checksum, (SECRET,))
    assert not webhooks.verified(URL, got.body, checksum, ("wrong",))


def test_nothing_leaves_unsigned() -> None:
    for dialect in Dialect:
        if dialect is Dialect.CALLBACK:
            continue
        with pytest.raises(UnsignableError):
            outgoing(dialect, url=URL, body=b"{}", event_id="e", created_ms=1, now_ms=2, secrets=())
