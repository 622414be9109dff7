"""The random texts of a node: passwords, tokens, user ids, voice bridges.

Owns their alphabets and lengths. They are no secrets worth guarding: the simulator guards nothing.
Used by `state` and by the calls that answer with such texts.
"""

import random
from collections.abc import Container
from typing import Final

_ALNUM: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_LOWER: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
_BRIDGE_TRIES: Final = 10


class Drawing:
    """A source of random texts; seeded by tests that want to see the same ones again."""

    def __init__(self, randomness: random.Random | None = None) -> None:
        self._random = randomness or random.Random()

    def password(self) -> str:
        """Return eight letters and digits."""
        return "".join(self._random.choices(_ALNUM, k=8))

    def lower(self, length: int) -> str:
        """Return that many lower-case letters and digits."""
        return "".join(self._random.choices(_LOWER, k=length))

    def bridge(self, taken: Container[str]) -> str:
        """Return five digits that are not taken; nine when free ones are hard to find."""
        for _ in range(_BRIDGE_TRIES):
            bridge = str(self._random.randrange(10_000, 100_000))
            if bridge not in taken:
                return bridge
        return str(self._random.randrange(100_000_000, 1_000_000_000))
