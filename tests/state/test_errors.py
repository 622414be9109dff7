"""What is wrong with a file is a sentence with its place, whatever the file is."""

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.state import parsing
from scheduler.state.checking import wanted
from scheduler.state.parsing import StateError
from scheduler.vault import Vault

VAULT = Vault(b"k" * 32)


def fault(content: str | bytes) -> str:
    """Return what is said about a file."""
    text = content.encode() if isinstance(content, str) else content
    with pytest.raises(StateError) as told:
        wanted(parsing.parse(text), VAULT)
    return str(told.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "this is no state file: it begins with `seatkeep: 1`"),
        ("[]", "this is no state file: it begins with `seatkeep: 1`"),
        ("just a text", "this is no state file: it begins with `seatkeep: 1`"),
        ("seatkeep: 2", "line 1: seatkeep: its format is 2; this program reads 1"),
        ("seatkeep: true", "line 1: seatkeep: its format is True; this program reads 1"),
        ("seatkeep: 1\nseatkeep: 1", "line 2: 'seatkeep' comes twice here; leave one of them"),
        ("a: 1\n---\nb: 2", "line 3: a second document begins here; leave one of them"),
        ("a: &x 1", "line 1: &x is an anchor; write out what it is for"),
        ("a: 1\nb: *x", "line 2: *x is an alias; write it out"),
        ("a: !!python/name:os.system x", "line 1: the tag tag:yaml.org,2002:python/name:os.system"),
        ("a: [1, 2", "line 2: this is no YAML: did not find expected ',' or ']'"),
        ("\ta: 1", "line 1: this is no YAML: found character that cannot start any token"),
        ("a: \x00", "this is no YAML: unacceptable character #x0000"),
        ("? [a]\n: b", "line 1: a name is missing before the colon"),
        ("- " * 1_000, "line 1: nested deeper than 16 levels"),
        ("[" * 100_000, "nested too deeply"),
        ("[" * 50 + "]" * 50, "this is nested deeper than 16 levels"),
        ('{"a": 1, "a": 2}', "'a' comes twice in one object; leave one of them"),
        ('{"a": NaN}', "NaN is no number that can be used here"),
        ('{"a":\n 1,}', "line 2: this is no JSON"),
        ('{"a": ' + "9" * 5_000 + "}", "a number too long"),
        (b"seatkeep: 1\nname: \xff", "line 2: this is no text in UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read(content: str | bytes, said: str) -> None:
    assert said in fault(content)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("nodes: [a]", "line 2: nodes: must be a mapping of names"),
        ("nodez: {}", "line 2: nodez: there is no such field"),
        ("nodes:\n  a: {url: 'http://a', seat: 5}", "line 3: nodes.a.seats: is missing"),
        ("nodes:\n  a: {url: 'http://a', seats: 5, z: 1}", "line 3: nodes.a.z: there is no such"),
        ("nodes:\n  a: {url: 'http://a', seats: '5'}", "nodes.a.seats: must be a whole number"),
        ("nodes:\n  a: {url: 'http://a', seats: 0}", "seats must be from 1 to 1000000, not 0"),
        ("nodes:\n  a: {url: 'a', seats: 5}", "nodes.a.url: a URL begins with http"),
        ("nodes:\n  A!: {url: 'http://a', seats: 5}", "line 3: nodes.A!: the name of a node is"),
        ("nodes: {a: {url: 'http://a', seats: 5, weight: 0}}", "weight must be from 1 to 1000"),
        ("nodes: {a: {url: 'http://a', seats: 5, tags: [a b]}}", "'a b' is not one word"),
        ("nodes: {a: {url: 'http://a', seats: 5, tags: x}}", "nodes.a.tags: must be a list"),
        ("nodes: {a: {url: 'http://a', seats: 5, pool: '?'}}", "nodes.a.pool: the name of a pool"),
        ("nodes: {a: {url: 'http://a', seats: 5, state: off}}", "state must be active, draining"),
        ("subscriptions: {acme-5: {seats: 1}}", "ends like the number of a credential"),
        ("subscriptions: {a: {seats: 1, enabled: yes}}", "enabled: must be true or false"),
        ("subscriptions: {a: {seats: 1, name: 5}}", "name: must be a text: put it in quotes"),
        ("subscriptions: {a: {seats: 1, rules: do it}}", "a.rules: line 1: a rule begins with"),
        ("subscriptions: {a: {seats: 1, language: fr}}", "language must be en or de"),
        ("subscriptions: {a: {seats: 1, refusal_texts: {en: {x: y}}}}", "refusal_texts: "),
        ("subscriptions: {a: {seats: 1, origins: [x]}}", "an origin is http:// or https://"),
        ("credentials: {a-005: {}}", "has no zeros before it: a-5"),
        ("credentials: {a-1000: {}}", "sub must be from 0 to 999, not 1000"),
        ("credentials: {a: {previous_secret: aaaaaaaa}}", "stands beside a secret: give both"),
        (
            "credentials: {a: {secret: aaaaaaaa, previous_until_at: 2030-01-01T00:00:00Z}}",
            "there is no previous secret to end",
        ),
        (
            "nodes: {a: {url: 'http://a', seats: 1, previous_until_at: 2030-01-01T00:00:00}}",
            "must say its zone",
        ),
        ("endpoints: [{subscription: a}]", "line 2: endpoints.0.url: is missing"),
        ("endpoints:\n- {subscription: a, url: x}", "line 3: endpoints.0.url: a URL begins"),
        ("endpoints: [{subscription: a, url: 'http://x', dialect: no}]", "dialect must be"),
        (
            "endpoints: [{subscription: a, url: 'http://x', dialect: signed, own_secret: false}]",
            "signed JSON has a secret of its own",
        ),
        (
            "endpoints: [{subscription: a, url: 'http://x', dialect: signed, secret: aaaaaaaa}]",
            "a secret for signed JSON is whsec_",
        ),
        (
            "endpoints: [{subscription: a, url: 'http://x', own_secret: false, secret: aaaaaaaa}]",
            "own_secret is false, but there is a secret",
        ),
        ("endpoints: [{subscription: a, url: 'http://x', external_id: ''}]", "is not empty"),
        ("encryption: {method: rot13}", "line 2: encryption.method: "),
    ],
)
def test_a_fault_is_named_with_its_place(part: str, said: str) -> None:
    assert said in fault(f"seatkeep: 1\n{part}")


@pytest.mark.parametrize(
    ("window", "said"),
    [
        ("{start_at: 2030-01-01T00:00:30Z, end_at: 2030-01-01T01:00:00Z}", "on the minute"),
        ("{start_at: 2030-01-01T01:00:00Z, end_at: 2030-01-01T01:00:00Z}", "ends after its start"),
        ("{start_at: soon, end_at: 2030-01-01T01:00:00Z}", "maintenance.0.start_at"),
    ],
)
def test_a_window_is_named_with_its_place(window: str, said: str) -> None:
    node = "  a:\n    url: http://a\n    seats: 1\n    maintenance:"
    text = f"seatkeep: 1\nnodes:\n{node}\n    - {window}"
    assert fault(text).startswith("line 7: nodes.a.maintenance.0")
    assert said in fault(text)


def test_all_faults_are_told_at_once_but_not_too_many() -> None:
    nodes = "\n".join(f"  n{i}: {{url: 'http://n{i}', seats: 0}}" for i in range(50))
    lines = fault(f"seatkeep: 1\nnodes:\n{nodes}").splitlines()
    assert lines[0].startswith("line 3: nodes.n0.seats: ")
    assert (len(lines), lines[-1]) == (21, "… and 30 more")


def test_a_file_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "TEXT_BYTES_MAX", 100)
    assert "divide it" in fault("x" * 101)
    monkeypatch.setattr(parsing, "PARTS_MAX", 10)
    assert "10 parts" in fault("- 1\n" * 20)


_KEYS = st.sampled_from(
    (
        *("pools", "nodes", "subscriptions", "credentials", "endpoints", "encryption", "method"),
        *("url", "seats", "secret", "env", "plain", "encrypted", "subscription", "maintenance"),
        *("acme", "acme-5", "tags", "rules", "previous_secret", "refusal_texts", "x y", ""),
    )
)
_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(_KEYS, _ANY, max_size=5))
def test_no_document_is_answered_otherwise_than_with_sentences(document: dict[str, object]) -> None:
    text = json.dumps({"seatkeep": 1, **document}).encode()
    with contextlib.suppress(StateError):
        wanted(parsing.parse(text), VAULT)


@settings(max_examples=150, deadline=None)
@given(
    st.text(st.sampled_from("ab:-[]{}&*!|>#%@`'\"\n \t,?~1."), max_size=40) | st.binary(max_size=30)
)
def test_no_text_is_answered_otherwise_than_with_sentences(text: str | bytes) -> None:
    with contextlib.suppress(StateError):
        parsing.parse(text.encode() if isinstance(text, str) else text)
