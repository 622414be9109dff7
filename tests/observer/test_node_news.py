"""What the observer tells of a node besides its meetings: version, faults, the secret it takes."""

from dataclasses import replace

import pytest

from tests.observer.field import SECRET, Field

NEW = "the-secret-of-tomorrow"


async def test_the_version_is_told_with_the_health_and_asked_for_rarely(nodes_field: Field) -> None:
    await nodes_field.control(1, "POST", "reinstall", version="3.0.1")
    async with nodes_field.observing():
        await nodes_field.until(lambda: len(nodes_field.of_kind("nodeSeen", 1)) == 2)
        [health] = nodes_field.of_kind("nodeHealth", 1)
        assert (health["up"], health["version"], health["misses"]) == (True, "3.0.1", 0)
        assert health["answered_ms"] <= health["at_ms"]
        asked = (await nodes_field.control(1, "GET", "calls?call=index"))["calls"]
        assert len(asked) == 1
        # Somebody upgrades it, so it is away for a while.
        await nodes_field.control(1, "POST", "faults", mode="refuse")
        await nodes_field.until(lambda: not nodes_field.of_kind("nodeHealth", 1)[-1]["up"])
        await nodes_field.control(1, "POST", "reinstall", version="3.0.2")
        await nodes_field.control(1, "POST", "faults", mode="ok")
        await nodes_field.until(
            lambda: nodes_field.of_kind("nodeHealth", 1)[-1].get("version") == "3.0.2"
        )


@pytest.mark.parametrize(
    ("mode", "fault"),
    [
        ("refuse", "broken"),
        ("garbage", "notBbb"),
        ("error500", "status"),
        ("failed", "failed"),
        ("hang", "timeout"),
    ],
)
async def test_the_check_that_failed_is_named(nodes_field: Field, mode: str, fault: str) -> None:
    await nodes_field.control(1, "POST", "faults", mode=mode)
    async with nodes_field.observing(node_timeout_s=0.3):
        await nodes_field.until(lambda: bool(nodes_field.of_kind("nodeHealth", 1)))
    health = nodes_field.of_kind("nodeHealth", 1)[0]
    assert (health["up"], health["fault"]) == (False, fault)
    assert health["misses"] >= 2
    assert "answered_ms" not in health, "it never did"


async def test_a_wrong_secret_is_named(nodes_field: Field) -> None:
    await nodes_field.control(1, "POST", "reinstall", secret=NEW)
    async with nodes_field.observing():
        await nodes_field.until(lambda: bool(nodes_field.of_kind("nodeHealth", 1)))
    [health] = nodes_field.of_kind("nodeHealth", 1)
    assert (health["up"], health["fault"]) == (False, "secret")


async def test_it_is_told_which_secret_a_node_takes_while_it_is_changed(
    nodes_field: Field,
) -> None:
    watch = nodes_field.watch
    plain = watch.current.nodes[1]
    # The provider has rotated here; the node has not been told yet.
    watch.set([replace(plain, secret=SECRET, other_secret=NEW, previous_in_use=True)])
    async with nodes_field.observing():
        await nodes_field.until(lambda: bool(nodes_field.of_kind("nodeHealth", 1)))
        assert nodes_field.of_kind("nodeHealth", 1)[-1]["previous_in_use"]
        await nodes_field.control(1, "POST", "reinstall", secret=NEW)
        await nodes_field.until(
            lambda: nodes_field.of_kind("nodeHealth", 1)[-1]["previous_in_use"] is False
        )
        assert all(health["up"] for health in nodes_field.of_kind("nodeHealth", 1))
        # The directory follows, and nothing more is to be told.
        watch.set([replace(plain, secret=NEW, other_secret=SECRET)])
        told = len(nodes_field.of_kind("nodeHealth", 1))
        seen = len((await nodes_field.control(1, "GET", "calls?call=getMeetings"))["calls"])

        async def calls() -> int:
            return len((await nodes_field.control(1, "GET", "calls?call=getMeetings"))["calls"])

        while await calls() < seen + 4:
            pass
        assert len(nodes_field.of_kind("nodeHealth", 1)) == told
        assert nodes_field.of_kind("nodeHealth", 1)[-1]["previous_in_use"] is False
