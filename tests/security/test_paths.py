"""However a path is spelled, it names one credential, and only its secret opens it.

Servers of this field were walked out of by dots, doubled encodings and other cases of letters.
"""

from urllib.parse import quote

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from schemas import checksum
from tests.gateway import wire, world
from tests.gateway.world import World
from tests.security import loops

SEGMENTS = st.sampled_from(
    [
        "t", "b3lb", "bbb", "bigbluebutton", "api", "acme", "acme-5", "acme-005", "other", "draft",
        "..", ".", "", "%2e%2e", "%2e", "%2f", "%5c", "\\", "acme%2f..", "..%2fother", "ACME",
        "Api", "acme%00", "acme%20", "acme;x=1", "acme-", "acme--5", "acme-5-5", "-5", "%61cme",
        "%2561cme", "getMeetings", "healthz", "readyz", "*", "~", "acme.", "acme,other",
    ]
)  # fmt: skip
OWNERS = {"Private of acme": world.SECRET, "Private of other": world.OTHER_SECRET}


async def test_no_path_leads_into_anothers_rooms(run: World) -> None:
    for prefix, secret, name in (
        ("/t/acme/bigbluebutton/api", world.SECRET, "acme"),
        ("/t/other/bigbluebutton/api", world.OTHER_SECRET, "other"),
    ):
        made = await wire.signed(
            run, "create", f"name=Private+of+{name}&meetingID=room", secret=secret, api=prefix
        )
        assert made.ok
    opened = []

    @settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(SEGMENTS, min_size=1, max_size=6), st.sampled_from(sorted(OWNERS)))
    @example(["t", "acme", "bigbluebutton", "api"], "Private of acme")
    @example(["t", "other", "..", "acme", "bigbluebutton", "api"], "Private of other")
    @example(["t", "other", "bigbluebutton", "api", "..", "..", "acme"], "Private of other")
    def hold(segments: list[str], owner: str) -> None:
        path = quote("/".join(["", *segments, "getMeetings"]), safe="/%*~;,\\")
        tail = checksum.signed_query("getMeetings", "", OWNERS[owner])
        reply = loops.wait(wire.send(run, f"{path}?{tail}"))
        assert reply.status < 500
        for private in OWNERS:
            if private in reply.text:
                assert private == owner, path
                opened.append(path)

    await loops.apart(hold)
    assert "/t/acme/bigbluebutton/api/getMeetings" in opened
