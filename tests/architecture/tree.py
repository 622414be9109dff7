"""The source tree as the rules see it: files, syntax trees, and nothing that is executed.

Owns the list of what belongs to the product and of what is left out. Used by the tests beside it.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("scheduler", "gateway", "workers", "schemas", "deploy")
#: Made by tools, or by other people.
_FOREIGN = frozenset(("__pycache__", "node_modules", "dist"))
_TEXT_BYTES_MAX = 2_000_000


@cache
def modules() -> tuple[Path, ...]:
    """Return the modules of the product, relative to the root."""
    return tuple(
        path.relative_to(ROOT) for name in PACKAGES for path in sorted((ROOT / name).rglob("*.py"))
    )


@cache
def parsed(module: Path) -> ast.Module:
    return ast.parse((ROOT / module).read_text(encoding="utf-8"))


@cache
def packages() -> tuple[Path, ...]:
    """Return the packages of the product, relative to the root."""
    return tuple(module.parent for module in modules() if module.name == "__init__.py")


def texts() -> Iterator[tuple[Path, str]]:
    """Yield every text file of the project and its content; caches and data stay out."""
    for path in sorted(ROOT.rglob("*")):
        inside = path.relative_to(ROOT)
        hidden = inside.parts[0].startswith(".") and inside.parts[0] != ".ci"
        if hidden or _FOREIGN & set(inside.parts) or not path.is_file():
            continue
        content = path.read_bytes()
        if len(content) <= _TEXT_BYTES_MAX and b"\0" not in content:
            yield inside, content.decode("utf-8", "replace")


def imports(module: Path) -> set[str]:
    """Return the full names that a module imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found
