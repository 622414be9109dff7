"""What was exported comes back as it was, and changes nothing where it came from."""

from scheduler.manage.context import Context
from tests.state.conftest import FULL, bring, dump


async def test_the_export_of_an_import_imports_to_nothing(context: Context) -> None:
    assert await bring(context, FULL) == "13+ 0~ 0-"
    exported = await dump(context)
    assert await bring(context, exported, prune="all") == "0+ 0~ 0-"
    assert await dump(context) == exported
