"""The table of calls in the README of the gateway is the table of the gateway."""

import re
from pathlib import Path

from gateway import incoming
from gateway.dispatch import Dispatch
from tests.gateway.world import World

README = Path(__file__).parents[2] / "gateway" / "README.md"
ROW = re.compile(r"\| ([A-Za-z/]+) \| ([A-Z, ]+) \| (own|node|both) \| ")


async def test_every_call_stands_in_the_table_with_its_methods(run: World) -> None:
    told = {name: methods for name, methods, _ in ROW.findall(README.read_text())}
    offered = {
        name: ", ".join(sorted(call.methods - {"HEAD"}))
        for name, call in Dispatch(run.parts).calls.items()
    }
    assert told == offered
    for call in Dispatch(run.parts).calls.values():
        assert ("HEAD" in call.methods) == (call.methods != incoming.POST)
