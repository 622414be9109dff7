"""Who may import whom: `gateway | workers` on `scheduler` on `schemas`, and a pure core."""

import subprocess
import sys
from pathlib import Path

from tests.architecture import tree

#: What would make a decision depend on anything but state and command.
IMPURE = {
    "asyncio", "concurrent", "datetime", "getpass", "io", "logging", "multiprocessing", "os",
    "pathlib", "random", "secrets", "select", "selectors", "signal", "socket", "sqlite3", "ssl",
    "subprocess", "sys", "tempfile", "threading", "time", "urllib", "uuid",
}  # fmt: skip


def test_the_contracts_of_the_import_linter_are_kept() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=tree.ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    assert "2 kept, 0 broken" in done.stdout


def test_the_whole_suite_runs_the_import_linter_as_well() -> None:
    script = (tree.ROOT / "deploy" / "test").read_text()
    assert '\n    check "import directions" "$VENV/bin/lint-imports"\n' in script


def test_the_core_imports_itself_the_values_and_what_is_pure() -> None:
    core = [module for module in tree.modules() if module.parts[:2] == ("scheduler", "core")]
    assert len(core) > 5
    for module in core:
        for name in tree.imports(module):
            top = name.partition(".")[0]
            if top in sys.stdlib_module_names:
                assert top not in IMPURE, f"{module} imports {name}"
            else:
                ours = name.startswith(("scheduler.core", "schemas.values"))
                assert ours, f"{module} imports {name}"


def test_nobody_imports_deploy_or_the_tests() -> None:
    """Except the command line, which starts the demo and the benchmarks."""
    for module in tree.modules():
        if module.parts[0] != "deploy" and module.parts[:2] != ("scheduler", "cli"):
            tops = {name.partition(".")[0] for name in tree.imports(module)}
            assert not tops & {"deploy", "tests"}, module
