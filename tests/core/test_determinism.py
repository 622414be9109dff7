"""The same log gives the same state: in any process, with any hash seed."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys

from scheduler.core import admission
from scheduler.core.books import Rules
from schemas.values import Mode
from tests.core import worlds

_NAMES = (
    *(["create"] * 5 + ["advance"] * 2 + ["book"] * 2 + ["confirm"] * 2),
    *("connected", "cancel", "extend", "end", "doom", "lose", "replace"),
)


def play(seed: int, length: int) -> str:
    """Play a seeded story and return a digest of every verdict and of the final state."""
    chance = random.Random(seed)
    rules = Rules(mode=chance.choice(list(Mode)), keep_free=1, large_seats=7)
    pool = worlds.make_pool(
        nodes=(20, 14, 9, 20), subscriptions=(40, 25), credentials={1: 18}, rules=rules
    )
    pool.put_credential(2, meetings_max=3)
    log = hashlib.sha256()
    for number in range(length):
        op = (
            chance.choice(_NAMES),
            chance.randrange(8),
            chance.randint(1, 12),
            chance.randint(1, 240),
        )
        command = worlds.make_command(pool, op, number)
        if command is not None:
            verdict = admission.decide(pool, command, pool.now_s)
            log.update(repr(verdict).encode())
            pool.apply(verdict)
        elif op[0] not in {"cancel", "extend", "replace"}:
            worlds.do_fact(pool, op)
    return log.hexdigest() + pool.state_hash()


def test_the_same_log_gives_the_same_state() -> None:
    assert play(3, 800) == play(3, 800)
    assert play(3, 800) != play(4, 800)


def test_the_hash_seed_of_the_process_does_not_matter() -> None:
    here = [play(seed, 400) for seed in range(6)]
    code = (
        "from tests.core.test_determinism import play;print([play(seed, 400) for seed in range(6)])"
    )
    for hash_seed in ("0", "1", "4242"):
        there = subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
        )
        assert there.stdout.strip() == str(here)


def test_the_order_of_setting_up_does_not_matter() -> None:
    pools = []
    for order in ((1, 2, 3), (3, 1, 2)):
        pool = worlds.make_pool(nodes=(), subscriptions=())
        for number in order:
            pool.put_subscription(number, seats=20 + number)
            pool.put_node(number, name=f"node-{number}", seats=20)
        for number in order:
            worlds.put(pool, f"m{number}", 5, subscription=number, node=number)
        pools.append(pool)
    assert pools[0].state_hash() == pools[1].state_hash()
