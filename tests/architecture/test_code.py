"""Rules for the code of the product, read from its syntax trees."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.architecture import tree

LINES_MAX = 450
DOCSTRING_LINES_MAX = 8
FUNCTION_LINES_MAX = 70
#: Names of what must be compared in constant time.
SEALED = re.compile(r"(?i)checksum|digest|signature|hmac")
#: Their output is for people or programs at the other end of a pipe.
PRINTERS = ("scheduler/cli/", "deploy/bench/", "deploy/simulator/", "deploy/demo.py")


def _found(rule: Callable[[Path], Iterator[str]], package: str = "") -> list[str]:
    """Return what a rule finds in all modules, or in those of one package."""
    return [
        f"{module}: {found}"
        for module in tree.modules()
        if package in ("", module.parts[0])
        for found in rule(module)
    ]


def test_a_module_says_what_it_owns() -> None:
    def rule(module: Path) -> Iterator[str]:
        said = ast.get_docstring(tree.parsed(module))
        if not said:
            yield "no docstring"
        elif len(said.splitlines()) > DOCSTRING_LINES_MAX:
            yield "the docstring is an essay"

    assert not _found(rule)


def test_a_module_can_be_read_in_one_go() -> None:
    def rule(module: Path) -> Iterator[str]:
        lines = (tree.ROOT / module).read_text().count("\n")
        if lines > LINES_MAX:
            yield f"{lines} lines"

    assert not _found(rule)


def test_a_function_fits_on_a_screen() -> None:
    def rule(module: Path) -> Iterator[str]:
        for node in ast.walk(tree.parsed(module)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                # A migration is a list, not code to follow.
                if lines > FUNCTION_LINES_MAX and "migrations" not in module.parts:
                    yield f"{node.name} has {lines} lines"

    assert not _found(rule)


def test_what_is_signed_is_compared_in_constant_time() -> None:
    """`==` ends at the first letter that differs, which can be measured from outside."""

    def rule(module: Path) -> Iterator[str]:
        for node in ast.walk(tree.parsed(module)):
            if not isinstance(node, ast.Compare):
                continue
            sides = [node.left, *node.comparators]
            # `name == "checksum"` compares a name, not a secret text.
            plain = any(isinstance(side, ast.Constant) for side in sides)
            equal = any(isinstance(sign, ast.Eq | ast.NotEq) for sign in node.ops)
            if equal and not plain and any(SEALED.search(_name(side)) for side in sides):
                yield f"line {node.lineno}: {ast.unparse(node)}"

    assert not _found(rule)
    users = [m for m in tree.modules() if "hmac.compare_digest(" in (tree.ROOT / m).read_text()]
    assert Path("schemas/checksum.py") in users


def test_nothing_prints_but_what_is_there_to_print() -> None:
    def rule(module: Path) -> Iterator[str]:
        calls = (node for node in ast.walk(tree.parsed(module)) if isinstance(node, ast.Call))
        for call in calls:
            if _name(call) == "print" and not str(module).startswith(PRINTERS):
                yield f"line {call.lineno} prints: use the log"

    assert not _found(rule)


def test_no_fault_is_swallowed() -> None:
    """A handler for everything logs, keeps, or passes on what it caught."""

    def rule(module: Path) -> Iterator[str]:
        for node in ast.walk(tree.parsed(module)):
            if not isinstance(node, ast.ExceptHandler):
                continue
            kinds = ast.unparse(node.type) if node.type is not None else "everything"
            if re.search(r"\b(everything|Exception|BaseException)\b", kinds):
                body = ast.unparse(ast.Module(node.body, []))
                if not re.search(r"\braise\b|\.exception\(|set_exception\(|exc_info", body):
                    yield f"line {node.lineno} swallows {kinds}"

    assert not _found(rule)


def test_the_gateway_never_reads_a_decoded_query() -> None:
    """Checksums cover the bytes as they came; `query_string` and `query` are decoded."""

    def rule(module: Path) -> Iterator[str]:
        for node in ast.walk(tree.parsed(module)):
            if isinstance(node, ast.Attribute):
                of = ast.unparse(node.value)
                query = node.attr == "query" and of in {"request", "request.rel_url", "request.url"}
                if query or node.attr == "query_string":
                    yield f"line {node.lineno}: {ast.unparse(node)}"

    assert not _found(rule, "gateway")


def _name(node: ast.expr) -> str:
    match node:
        case ast.Name():
            return node.id
        case ast.Attribute():
            return node.attr
        case ast.Call():
            return _name(node.func)
        case ast.Subscript():
            return ast.unparse(node.slice)
    return ""
