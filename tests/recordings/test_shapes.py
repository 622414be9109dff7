"""Reading what nodes of all kinds list, and the document that is made of it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from schemas import params, recording_requests, recordings
from schemas.recordings import Listed

OURS = "0190a5e4b7c0" + "0" * 19 + "1"
THEIRS = "0190a5e4b7c0" + "0" * 19 + "2"

FULL = f"""<response><returncode>SUCCESS</returncode><recordings><recording>
<recordID>6fea-1718</recordID><meetingID>sk-{OURS}</meetingID>
<internalMeetingID>6fea-1718</internalMeetingID><name>A &amp; B</name>
<isBreakout>false</isBreakout><published>true</published><state>published</state>
<startTime>1718000000120</startTime><endTime>1718003600000</endTime>
<participants>1,202</participants><rawSize>951067</rawSize>
<metadata><isBreakout>false</isBreakout><meetingId>sk-{OURS}</meetingId>
<meetingName>A &amp; B</meetingName><course-id>77</course-id><empty/>
<seatkeep-meeting>{OURS}</seatkeep-meeting><Seatkeep-x>1</Seatkeep-x></metadata>
<breakout parentMeetingId="sk-{THEIRS}" sequence="1"><parentId>5a-17</parentId></breakout>
<size>1104836</size><playback><format><type>presentation</type>
<url>https://bbb.example/p?a=1&amp;b=2</url><processingTime>7177</processingTime>
<length>60</length><size>1104836</size>
<preview><images><image alt="&quot;T&quot; &lt;1&gt;" height="136">https://bbb.example/1.png</image>
<image alt="x">https://bbb.example/2.png</image></images></preview></format>
<format><type>video</type><url>https://bbb.example/v</url></format></playback>
<data><format><type>slides</type><url>https://bbb.example/d</url></format></data>
</recording></recordings></response>"""


def read(text: str) -> list[Listed]:
    return recordings.read_page(etree.fromstring(text))[0]


def rendered(one: Listed, external_id: str = "room-42") -> Any:
    markup = recordings.rendered(
        one.doc,
        record_id=one.record_id,
        external_id=external_id,
        meeting_id=OURS,
        state=one.doc["state"],
        meta=one.doc["meta"],
    )
    assert "sk-" not in markup
    return etree.fromstring(markup)


def test_all_that_a_node_says_comes_back_except_what_is_ours() -> None:
    (one,) = read(FULL)
    assert (one.record_id, one.meeting_id, one.parent_id) == ("6fea-1718", OURS, "5a-17")
    found = rendered(one)
    assert found.findtext("name") == "A & B"
    assert found.findtext("meetingID") == found.findtext("metadata/meetingId") == "room-42"
    assert found.findtext("participants") == "1202"
    metadata = [child.tag for child in found.find("metadata")]
    assert metadata == ["isBreakout", "meetingId", "meetingName", "course-id", "empty"]
    breakout = found.find("breakout")
    assert dict(breakout.attrib) == {"parentMeetingId": "", "sequence": "1"}
    assert breakout.findtext("parentId") == "5a-17"
    formats = found.findall("playback/format")
    assert [made.findtext("type") for made in formats] == ["presentation", "video"]
    assert formats[0].findtext("url") == "https://bbb.example/p?a=1&b=2"
    assert [child.tag for child in formats[0]][-2:] == ["size", "preview"]
    images = formats[0].findall("preview/images/image")
    assert [dict(image.attrib) for image in images] == [
        {"alt": '"T" <1>', "height": "136"},
        {"alt": "x"},
    ]
    assert images[1].text == "https://bbb.example/2.png"
    assert found.findtext("data/format/url") == "https://bbb.example/d"


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("<state>processing</state>", "processing"),
        ("<state>available</state>", "published"),
        ("<published>true</published>", "published"),
        ("<published>false</published>", "unpublished"),
        ("<state>odd</state>", "unpublished"),
    ],
)
def test_the_state_is_one_that_callers_know(said: str, state: str) -> None:
    text = f"<r><recordings><recording><recordID>x</recordID>{said}</recording></recordings></r>"
    assert read(text)[0].doc["state"] == state


def test_odd_values_are_zero_and_odd_recordings_are_left_out() -> None:
    text = (
        "<r><recordings><recording><recordID>x</recordID><startTime>Thu Mar 04</startTime>"
        f"<endTime>{'9' * 19}</endTime><rawSize>-1</rawSize></recording><recording/>"
        f"<recording><recordID>{'y' * 65}</recordID></recording></recordings></r>"
    )
    (one,) = read(text)
    doc = one.doc
    assert (doc["start_ms"], doc["end_ms"], doc["raw_bytes"]) == (0, 2**63 - 1, 0)


def test_a_recording_in_two_parts_is_one() -> None:
    part = (
        "<recording><recordID>x</recordID>"
        "<playback><format><type>{}</type></format></playback></recording>"
    )
    text = "<r><recordings>{}</recordings><totalElements>{}</totalElements></r>"
    first, total = recordings.read_page(
        etree.fromstring(text.format(part.format("a") + part.format("b"), 2))
    )
    assert total == 2
    assert [made["type"] for made in first[0].doc["formats"]] == ["a", "b"]
    both = recordings.joined(first, read(text.format(part.format("b") + part.format("c"), 2)))
    assert [made["type"] for made in both[0].doc["formats"]] == ["a", "b", "c"]


def test_the_pagination_of_older_nodes_is_understood() -> None:
    text = "<r><recordings/><pagination><totalElements>1,203</totalElements></pagination></r>"
    assert recordings.read_page(etree.fromstring(text)) == ([], 1_203)
    assert recordings.read_page(etree.fromstring("<r><recordings/></r>")) == ([], None)


def test_extension_elements_are_bounded() -> None:
    deep = "<a>" * 50 + "</a>" * 50
    wide = "<b/>" * 5_000
    text = (
        "<r><recordings><recording><recordID>x</recordID><playback><format>"
        f"<type>t</type>{deep}{wide}</format></playback></recording></recordings></r>"
    )
    (one,) = read(text)
    made = rendered(one).find("playback/format")
    assert len(list(made.iter())) < 2_100


def test_two_versions_have_two_fingerprints() -> None:
    (one,), (same,) = read(FULL), read(FULL)
    (other,) = read(FULL.replace(">77<", ">78<"))
    assert one.fingerprint == same.fingerprint != other.fingerprint


@given(name=st.text(), key=st.from_regex(r"[a-z][a-z0-9-]{0,9}", fullmatch=True), value=st.text())
def test_any_text_survives_in_the_document(name: str, key: str, value: str) -> None:
    (one,) = read(FULL)
    one.doc["name"] = name
    one.doc["meta"] = {key: value}
    one.doc["formats"][0]["more"][0][1]["alt"] = value
    text = recordings.listing(
        [
            recordings.rendered(
                one.doc,
                record_id=one.record_id,
                external_id=name,
                meeting_id=OURS,
                state="published",
                meta=one.doc["meta"],
            )
        ],
        total=1,
    )
    root = etree.fromstring(text)
    assert [child.tag for child in root] == ["returncode", "recordings", "totalElements"]
    assert len(root.findall("recordings/recording/metadata/*")) == (
        3 if key.startswith("seatkeep-") else 4
    )


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("abc", ["abc"]),
        ("a%", ["abc", "abd", "a"]),
        ("%c", ["abc", "c"]),
        ("%b%", ["abc", "abd"]),
        ("%", ["abc", "abd", "a", "c"]),
        ("%%", ["abc", "abd", "a", "c"]),
        ("a%c", []),
        ("", ["abc", "abd", "a", "c"]),
    ],
)
def test_a_percent_sign_at_either_end_is_a_wildcard(pattern: str, fits: list[str]) -> None:
    wanted = recording_requests.wanted(params.Params({"meta_Key": pattern}))
    assert [v for v in ("abc", "abd", "a", "c") if wanted.fits_meta({"key": v})] == fits
    assert wanted.fits_meta({}) == (pattern == "")


@pytest.mark.parametrize(
    ("given_limit", "limit"),
    [("", None), ("x", None), ("0", 1), ("-5", 1), ("7", 7), ("101", 100), ("+3", 3)],
)
def test_a_limit_counts_when_it_is_a_number(given_limit: str, limit: int | None) -> None:
    wanted = recording_requests.wanted(params.Params({"limit": given_limit, "offset": "-1"}))
    assert (wanted.limit, wanted.offset) == (limit, 0)


def test_changes_add_up() -> None:
    hidden = recording_requests.Change(state="unpublished", meta={"a": "1", "b": "2"})
    then = recording_requests.Change(meta={"b": "", "c": "3"})
    assert recording_requests.merged(hidden, then) == {
        "state": "unpublished",
        "meta": {"a": "1", "b": "", "c": "3"},
    }
    assert recording_requests.changed_meta({"b": "0", "e": ""}, {"b": "", "c": "3"}) == {
        "e": "",
        "c": "3",
    }
