"""What may be entered, and the sentences that refuse the rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler import checks
from scheduler.checks import OperationError
from scheduler.directory_records import credential_name
from scheduler.operations import SubscriptionTerms
from scheduler.pools import PoolRules


@pytest.mark.parametrize("entered", ["acme", "a", "0", "uni-bremen", "uni_2", "a-5b", "x" * 63])
def test_a_slug_may_be(entered: str) -> None:
    checks.slug(entered)


@pytest.mark.parametrize(
    "entered", ["", "-acme", "_a", "Acme", "acme-5", "acme-005", "a-b-0", "acme-", "a b", "x" * 64]
)
def test_a_slug_may_not_be(entered: str) -> None:
    with pytest.raises(OperationError):
        checks.slug(entered)


@given(st.from_regex(checks._SLUG), st.from_regex(checks._SLUG), st.integers(0, 999))
def test_no_slug_is_the_name_of_another_ones_credential(one: str, other: str, sub: int) -> None:
    try:
        checks.slug(one)
        checks.slug(other)
    except OperationError:
        return
    assert one != credential_name(other, sub)


@pytest.mark.parametrize(
    ("entered", "url"),
    [
        ("https://n1.example.org/bigbluebutton/", "https://n1.example.org/bigbluebutton/"),
        ("https://n1.example.org/bigbluebutton", "https://n1.example.org/bigbluebutton/"),
        ("https://n1.example.org/bigbluebutton/api", "https://n1.example.org/bigbluebutton/"),
        ("https://n1.example.org/bigbluebutton/api/", "https://n1.example.org/bigbluebutton/"),
        (" http://127.0.0.1:8091/bigbluebutton// ", "http://127.0.0.1:8091/bigbluebutton/"),
        ("https://n1.example.org", "https://n1.example.org/bigbluebutton/"),
        ("https://n1.example.org/", "https://n1.example.org/bigbluebutton/"),
        ("https://[::1]:8443/bbb/", "https://[::1]:8443/bbb/"),
    ],
)
def test_the_url_of_a_node_is_brought_to_one_form(entered: str, url: str) -> None:
    assert checks.node_url(entered) == url


@pytest.mark.parametrize(
    "entered",
    [
        "",
        "n1.example.org/bigbluebutton/",
        "ftp://n1.example.org/bigbluebutton/",
        "file:///etc/passwd",
        "https:///bigbluebutton/",
        "https://n1.example.org/bigbluebutton/?a=1",
        "https://n1.example.org/bigbluebutton/#a",
        "https://user:word@n1.example.org/bigbluebutton/",
        "https://n1.example.org:port/",
        "https://n1.example.org:99999/",
        "https://n1.example.org/" + "x" * 600,
    ],
)
def test_the_url_of_a_node_may_not_be(entered: str) -> None:
    with pytest.raises(OperationError):
        checks.node_url(entered)


def test_the_url_of_an_endpoint_stays_as_it_was_entered() -> None:
    url = "https://app.example.org/hook?key=a%2Fb&x=1"
    assert checks.endpoint_url(f" {url}\n") == url
    for entered in ("app.example.org", "https://a.example/a b", "https://a.example/\x00", "\ud800"):
        with pytest.raises(OperationError):
            checks.endpoint_url(entered)


@pytest.mark.parametrize(
    "terms",
    [
        {"seats": 0},
        {"seats": 1_000_001},
        {"seats": None},
        {"seats": "20"},
        {"seats": True},
        {"default_duration_s": 59},
        {"enabled": 1},
        {"name": 5},
        {"name": "x" * 256},
        {"welcome_text": "a\x00b"},
        {"slug": "other"},
        {"id": 1},
    ],
)
def test_a_term_of_a_subscription_may_not_be(terms: dict[str, object]) -> None:
    with pytest.raises(OperationError, match=next(iter(terms))):
        checks.fields(terms, SubscriptionTerms)


def test_limits_may_be_taken_away() -> None:
    checks.fields(
        {"meetings_max": None, "meeting_seats_max": None, "duration_max_s": None, "enabled": False},
        SubscriptionTerms,
    )
    checks.fields({"keep_free": None, "evict_across_subscriptions": False}, PoolRules)


def test_a_mode_that_is_unknown_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(OperationError, match="spread or pack"):
        checks.fields({"mode": "random"}, PoolRules)


def test_hosts_are_brought_to_one_form_and_repeated_ones_dropped() -> None:
    hosts = ["BBB.example.org", "bbb.example.org.", "other.example.org"]
    assert checks.hosts(hosts) == ["bbb.example.org", "other.example.org"]
    for host in ("", "a b", "a,b", "https://a", "-a", "a:80"):
        with pytest.raises(OperationError):
            checks.hosts([host])
    with pytest.raises(OperationError, match="too many"):
        checks.hosts([f"host{number}.example.org" for number in range(100)])


@pytest.mark.parametrize("entered", ["", "short", "with blank in it", "ümlaut-secret", "x" * 256])
def test_a_secret_that_cannot_be_used_is_refused_without_being_shown(entered: str) -> None:
    with pytest.raises(OperationError) as caught:
        checks.secret(entered, characters_min=8)
    assert not entered or entered not in str(caught.value)


@pytest.mark.parametrize("entered", ["", "Node", ".n", "n 1", "x" * 64])
def test_the_name_of_a_node_may_not_be(entered: str) -> None:
    with pytest.raises(OperationError, match="the name of a node"):
        checks.name("node", entered)
