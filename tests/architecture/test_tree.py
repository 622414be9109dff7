"""Rules for the files of the project: where they lie, what stands in them, what must not."""

import re
from pathlib import Path

from tests.architecture import tree

#: Described in the README of the package above.
WITHOUT_README: set[Path] = set()
TOP = {*tree.PACKAGES, "tests", "pyproject.toml", "README.md"}
VAGUE = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}
#: Homes and workplaces of whoever wrote it; the product lives in /opt, /var and /etc.
MACHINE_PATH = re.compile(r"(?<![\w.$}-])/(?:root|home|Users|work|mnt/c)/\w")
REGISTRY = re.compile(
    r"(?i)https?://[^\s\"'<>]*(?:pypi|pythonhosted|npmjs|artifactory|nexus|devpi|/simple/?\b)"
    r"|--(?:extra-)?index-url|\bregistry="
)


def test_the_top_level_is_what_it_says() -> None:
    found = {path.name for path in tree.ROOT.iterdir() if not path.name.startswith(".")}
    assert found - TOP <= {"dist", "htmlcov"}, found - TOP
    assert found >= TOP


def test_every_package_has_a_readme() -> None:
    missing = {p for p in tree.packages() if not (tree.ROOT / p / "README.md").exists()}
    assert missing <= WITHOUT_README, missing - WITHOUT_README


def test_nothing_has_a_name_that_means_nothing() -> None:
    for module in tree.modules():
        assert not VAGUE & {module.stem, *module.parts[:-1]}, module


def test_no_file_for_deployment_listens_on_every_address() -> None:
    for path, text in tree.texts():
        if path.parts[0] == "deploy":
            assert "0.0.0.0" not in text, path


def test_no_file_knows_the_machine_that_it_was_written_on() -> None:
    here = Path("tests/architecture/test_tree.py")
    for path, text in tree.texts():
        if path != here:
            found = MACHINE_PATH.search(text)
            assert not found, f"{path}: {text[max(0, found.start() - 40) : found.end() + 40]}"


def test_no_file_names_a_package_registry() -> None:
    """Mirrors are a setting of the machine; locks carry hashes, not addresses."""
    here = Path("tests/architecture/test_tree.py")
    for path, text in tree.texts():
        if path != here:
            found = REGISTRY.search(text)
            assert not found, f"{path}: {text[max(0, found.start() - 40) : found.end() + 40]}"
    lock = (tree.ROOT / "tests" / "clients" / "package-lock.json").read_text()
    assert '"resolved"' not in lock
    assert '"integrity"' in lock
    for name in ("requirements.lock", "requirements-dev.lock"):
        lines = (tree.ROOT / "deploy" / name).read_text().splitlines()
        assert not [line for line in lines if line.startswith("-")]
        assert any("--hash=sha256:" in line for line in lines)
