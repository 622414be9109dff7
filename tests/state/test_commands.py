"""`seatkeep state …` as a person uses it: output, exit codes, files."""

import json
import stat
from pathlib import Path

import pytest

from scheduler.state import parsing
from tests.commands import Result, run_inside
from tests.state.conftest import FULL


class Place:
    """A data directory with a state file beside it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "state.yaml"

    def run(self, *arguments: str, entered: str | None = None, **environment: str) -> Result:
        given = {"SEATKEEP_DATA_DIR": str(self.directory / "data"), "COLUMNS": "120", **environment}
        result = run_inside(
            *arguments, directory=self.directory, environment=given, entered=entered
        )
        assert "Traceback" not in result.errors + result.output
        return result

    def state(self, *arguments: str, **more: str) -> Result:
        return self.run("state", *arguments, **more)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    made.file.write_text(FULL)
    assert made.run("migrate").exit_code == 0
    return made


def test_the_exit_code_says_whether_something_changed(place: Place) -> None:
    detailed = ("import", str(place.file), "--detailed-exitcode")
    dry = place.state(*detailed, "--dry-run")
    assert (dry.exit_code, dry.errors) == (3, "")
    lines = dry.output.splitlines()
    assert lines[0].split() == ["CHANGE", "KIND", "NAME"]
    assert lines[3].split() == ["add", "node", "bbb1"]
    assert lines[-1] == "13 would be added"
    assert place.state("import", str(place.file)).output.endswith("\n13 added\n")
    again = place.state(*detailed)
    assert (again.exit_code, again.output) == (0, "nothing to change\n")


def test_a_change_is_shown_by_field_and_no_secret_is(place: Place) -> None:
    place.state("import", str(place.file))
    text = FULL.replace("seats: 200", "seats: 300").replace("node-secret-1", "node-secret-9")
    text = text.replace("tags: [gpu, large]", "tags: []").replace(
        "  beta: {secret: beta-secret-0}", ""
    )
    done = place.state("import", "-", "--prune=credentials", entered=text)
    rows = [line.split() for line in done.output.splitlines()]
    assert rows[:5] == [
        ["CHANGE", "KIND", "NAME", "FIELD", "BEFORE", "AFTER"],
        ["change", "node", "bbb1", "seats", "200", "300"],
        ["tags", "gpu,", "large", "-"],
        ["secret", "***", "***"],
        ["remove", "credential", "beta"],
    ]
    assert rows[-1] == ["1", "changed,", "1", "removed"]


def test_json_is_for_programs(place: Place) -> None:
    text = FULL.replace("    secret: acme-secret-0\n", "")
    done = place.state("import", "-", "--json", entered=text)
    shown = json.loads(done.output)
    assert (shown["added"], shown["changed"], shown["removed"], shown["dry_run"]) == (
        13,
        0,
        0,
        False,
    )
    [made] = shown["made_secrets"]
    assert (made["kind"], made["name"], len(made["secret"])) == ("credential", "acme", 40)
    added = {(c["kind"], c["name"]): c["fields"] for c in shown["changes"]}
    fields = {f["field"]: f["after"] for f in added["node", "bbb2"]}
    assert (fields["secret"], fields["previous_secret"], fields["seats"]) == ("***", "***", 100)


def test_secrets_that_were_made_are_shown_to_people(place: Place) -> None:
    text = "seatkeep: 1\nsubscriptions: {acme: {seats: 5}}\ncredentials: {acme: {}}\n"
    done = place.state("import", "-", entered=text)
    assert "Secrets that were made, shown this once:" in done.output
    secret = done.output.split()[-1]
    plain = place.state("export", "--secrets", "plain")
    assert f"secret: {secret}\n" in plain.output
    assert "can be read by whoever reads it" in plain.errors
    assert secret not in place.state("export").output


@pytest.mark.parametrize("name", ["out.json", "out"])
def test_an_export_is_a_file_of_its_owner(place: Place, name: str) -> None:
    place.state("import", str(place.file))
    path = place.directory / name
    done = place.state("export", str(path), "--secrets", "encrypted")
    counts = "2 pools, 2 nodes, 2 subscriptions, 3 credentials, 4 endpoints"
    assert (done.exit_code, done.output) == (0, f"{path} was written: {counts}\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().startswith("{" if name.endswith("json") else "seatkeep: 1")
    assert place.state("import", str(path), "--prune=all").output == "nothing to change\n"
    assert [p.name for p in place.directory.iterdir() if p.name.startswith(".out")] == []


def test_a_passphrase_moves_secrets_to_another_installation(place: Place, tmp_path: Path) -> None:
    place.state("import", str(place.file))
    passphrase = place.directory / "phrase"
    passphrase.write_text("correct horse battery\n")
    how = ("--secrets", "encrypted", "--passphrase-file", str(passphrase))
    exported = place.state("export", *how).output
    other = Place(tmp_path / "other")
    other.directory.mkdir()
    other.run("migrate")
    lacking = other.state("import", "-", entered=exported)
    assert lacking.exit_code == 2
    said = "the input: its secrets were encrypted with a passphrase: give that one\n"
    assert lacking.errors == f"seatkeep: {said}"
    given = {"STATE_PASSPHRASE": "correct horse battery"}
    assert other.state("import", "-", entered=exported, **given).output.endswith("\n13 added\n")
    plain = ("export", "--secrets", "plain")
    assert other.state(*plain).output == place.state(*plain).output
    wrong = place.state("export", "--passphrase-file", str(passphrase))
    assert (wrong.exit_code, wrong.errors) == (
        2,
        "seatkeep: a passphrase goes with --secrets encrypted\n",
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("import", "no-such-file"), "no-such-file: No such file or directory; name a file"),
        (("import", "."), ".: Is a directory; name a file"),
        (("import", "state.yaml", "--prune=nodez"), "there is no kind 'nodez'; there are pools"),
        (("import", "state.yaml", "--passphrase-file=x"), "x: there is no passphrase to be read"),
        (("import", "broken.yaml"), "broken.yaml: line 2: nodes.a.url: is missing"),
        (("export", "no/such/place"), "no/such/place: No such file or directory; name a file"),
        (("convert", "b3lb", "state.yaml"), "state.yaml: this is no dump"),
        (("convert", "bbblb", "broken.yaml"), "broken.yaml: servers is not what was expected here"),
        (("convert", "csv", "broken.yaml", "--kind=nodes"), "there is no column 'seatkeep: 1'"),
        (("convert", "scalelite", "table"), "table: there is no list of `servers` in it"),
    ],
)
def test_what_goes_wrong_is_a_sentence(
    place: Place, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(place.directory)
    broken = "seatkeep: 1\nnodes: {a: {seats: 1}}\nservers: [1]\n"
    (place.directory / "broken.yaml").write_text(broken)
    (place.directory / "table").write_text("a text")
    failed = place.state(*arguments)
    assert failed.exit_code == (1 if arguments[0] == "export" else 2)
    assert failed.output == ""
    assert said in failed.errors
    assert all(line.startswith("seatkeep: ") for line in failed.errors.splitlines()[:1])


def test_the_schema_is_printed(place: Place) -> None:
    schema = json.loads(place.state("schema").output)
    assert schema["$schema"].endswith("2020-12/schema")
    assert schema["$defs"]["NodeState"]["required"] == ["url", "seats"]


def test_the_example_in_the_readme_is_a_state(place: Place) -> None:
    readme = Path(parsing.__file__).with_name("README.md").read_text()
    example = readme.partition("```yaml\n")[2].partition("```")[0]
    done = place.state("import", "-", entered=example, BBB1_SECRET="canary-of-the-readme")
    assert done.output.count("add ") == 6, done
