"""Secrets in state files: left out, referred to, encrypted, plain."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from scheduler.checks import OperationError
from scheduler.directory import load_directory
from scheduler.manage import state as states
from scheduler.manage.context import Context
from scheduler.manage.state import Source
from scheduler.state import parsing, secrets, writing
from scheduler.state.parsing import StateError
from scheduler.vault import Vault
from schemas.management.state import Encryption
from tests.state.conftest import FULL, bring, dump, installation

PASSPHRASE = "correct horse battery"
SECRETS = re.compile("node-secret|acme-secret|beta-secret|own-secret|whsec_")
SMALL = """
seatkeep: 1
nodes: {{n1: {{url: "https://n1.example.org/", seats: 5, secret: {node}}}}}
subscriptions: {{acme: {{seats: 5}}}}
credentials: {{acme: {{secret: {credential}}}}}
"""


async def _texts(context: Context, **how: Any) -> tuple[str, str]:
    document = await states.document(context, **how)
    return writing.as_yaml(document), writing.as_json(document)


async def test_encrypted_with_the_key_they_come_back_where_they_were_made(
    context: Context,
) -> None:
    await bring(context, FULL)
    before = await dump(context)
    cipher = secrets.with_key(context.vault)
    text, _ = await _texts(context, cipher=cipher)
    assert not SECRETS.search(text)
    assert text.count("encrypted:") == 9
    # The same state is the same text: it can be kept under version control.
    assert (text, _) == await _texts(context, cipher=secrets.with_key(context.vault))
    changed = FULL.replace("acme-secret-0", "another-secret").replace("node-secret-1", "nnn-1")
    assert await bring(context, changed) == "0+ 2~ 0-"
    assert await bring(context, text, prune="all") == "0+ 2~ 0-"
    assert await dump(context) == before


async def test_another_installation_refuses_what_it_cannot_decrypt(
    context: Context, tmp_path: Path
) -> None:
    await bring(context, FULL)
    text, _ = await _texts(context, cipher=secrets.with_key(context.vault))
    other = await installation(tmp_path / "other", key=b"o" * 32)
    with pytest.raises(StateError, match="of another installation: export there with a passphrase"):
        await bring(other, text)
    lied = text.replace(context.vault.key_id, other.vault.key_id)
    with pytest.raises(StateError, match=r"line \d+: nodes.bbb1.secret: it cannot be decrypted"):
        await bring(other, lied)
    await other.database.close()


async def test_with_a_passphrase_they_move_to_another_installation(
    context: Context, tmp_path: Path
) -> None:
    await bring(context, FULL)
    text, as_json = await _texts(context, cipher=secrets.with_passphrase(PASSPHRASE))
    assert not SECRETS.search(text)
    other = await installation(tmp_path / "other", key=b"o" * 32)
    for wrong, said in ((None, "give that one"), ("wrong horse battery", "cannot be decrypted")):
        with pytest.raises(StateError, match=said):
            await states.bring(other, Source(parsing.parse(text.encode()), wrong))
    for content, changes in ((text, 13), (as_json, 0)):
        plan, made = await states.bring(other, Source(parsing.parse(content.encode()), PASSPHRASE))
        assert (len(plan.changes), made) == (changes, [])
    assert await dump(other) == await dump(context)
    await other.database.close()


def test_a_passphrase_is_long_and_its_figures_are_bounded() -> None:
    with pytest.raises(OperationError, match="at least 12 characters"):
        secrets.with_passphrase("too short")
    for n, r, p in ((2**30, 8, 1), (3, 8, 1), (65_536, 1_000, 1), (65_536, 8, 0), (0, 0, 0)):
        how = Encryption(method="scrypt", salt="AAAA", n=n, r=r, p=p)
        with pytest.raises(StateError, match="no figures of scrypt"):
            secrets.of_file(how, Vault(b"k" * 32), PASSPHRASE)
    how = Encryption(method="scrypt", salt="no base64!", n=65_536, r=8, p=1)
    with pytest.raises(StateError, match="salt"):
        secrets.of_file(how, Vault(b"k" * 32), PASSPHRASE)


def test_equal_secrets_look_different_at_different_places() -> None:
    cipher = secrets.with_key(Vault(b"k" * 32))
    one, two = (cipher.encrypt("the same", place) for place in ("node a secret", "node b secret"))
    assert one != two
    assert cipher.decrypt(one) == cipher.decrypt(two) == "the same"
    assert "k" * 8 not in repr(cipher)
    for damaged in ("", "AAAA", one[:-4] + "AAAA", "ä", one + "!"):
        with pytest.raises(OperationError, match="cannot be decrypted"):
            cipher.decrypt(damaged)


async def test_references_name_a_variable_for_each(
    context: Context, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    await bring(context, FULL)
    text, _ = await _texts(context, write=secrets.references())
    names = re.findall(r"env: (\S+)", text)
    assert len(names) == len(set(names)) == 9
    assert {"NODE_BBB1_SECRET", "CREDENTIAL_ACME_5_PREVIOUS_SECRET"} < set(names)
    # The settings refuse names of their own that they do not know.
    assert not [name for name in names if name.startswith("SEATKEEP_")]
    with pytest.raises(StateError) as told:
        await bring(context, text, directory=tmp_path)
    assert len(told.value.faults) == 9
    assert "the environment variable NODE_BBB1_SECRET is not set" in told.value.faults[0]
    before = await dump(context)
    exported = parsing.parse(before.encode()).value
    monkeypatch.setenv("NODE_BBB1_SECRET", "fresh-node-secret")
    for name in names:
        monkeypatch.setenv(name, os.environ.get(name, "secret-of-" + name))
    monkeypatch.setenv(next(n for n in names if "SIGNED" in n), exported["endpoints"][2]["secret"])
    assert await bring(context, text, directory=tmp_path) == "0+ 6~ 0-"
    directory = await load_directory(context.database, context.vault)
    assert {n.name: n.secret for n in directory.nodes.values()}["bbb1"] == "fresh-node-secret"


def test_names_that_differ_in_signs_only_get_different_variables() -> None:
    write = secrets.references()
    found = [write("", "node", name, "secret")["env"] for name in ("a-b", "a_b", "a.b")]
    assert found == ["NODE_A_B_SECRET", "NODE_A_B_SECRET_2", "NODE_A_B_SECRET_3"]


async def test_files_lie_beside_the_state_file(context: Context, tmp_path: Path) -> None:
    (tmp_path / "node").write_text("from-a-file\n")
    text = SMALL.format(node="{file: node}", credential="{file: no/such}")
    with pytest.raises(StateError, match=r"line 5: credentials.acme.secret: the file .*No such"):
        await bring(context, text, directory=tmp_path)
    text = SMALL.format(node="{file: node}", credential="plain-enough")
    assert await bring(context, text, directory=tmp_path) == "4+ 0~ 0-"
    directory = await load_directory(context.database, context.vault)
    assert directory.nodes[1].secret == "from-a-file"
    for content in (b"\xff\xfe", b"x" * 5_000):
        (tmp_path / "node").write_bytes(content)
        with pytest.raises(StateError, match=r"no text in UTF-8|too long for a secret"):
            await bring(context, text, directory=tmp_path)
    with pytest.raises(StateError, match="cannot be used"):
        await bring(context, SMALL.format(node='{file: "a\\0b"}', credential="x" * 8),
                    directory=tmp_path)  # fmt: skip


async def test_new_credentials_are_made_a_secret_which_is_shown_once(context: Context) -> None:
    text = FULL.replace("    secret: acme-secret-0\n", "").replace("{secret: beta-secret-0}", "{}")
    text = re.sub(r"  secret: whsec_\S+\n", "", text)
    source = Source(parsing.parse(text.encode()))
    plan, made = await states.bring(context, source)
    assert [(one.kind.value, one.name.split()[0]) for one in made] == [
        ("credential", "acme"),
        ("credential", "beta"),
        ("endpoint", "acme"),
    ]
    directory = await load_directory(context.database, context.vault)
    assert directory.credential_by_name["acme"].secrets == (made[0].secret,)
    assert made[2].secret.startswith("whsec_")
    assert not [one for one in made if one.secret in repr((plan, made, source))]
    assert (await states.bring(context, source))[1] == []


@pytest.mark.parametrize(
    ("node", "credential", "said"),
    [
        ("12345678", "abcdefgh", "line 3: nodes.n1.secret: a secret is a text"),
        ("ok", "short", "a secret is 8 to 255 printable characters"),
        ("ok", "{env: A, file: b}", "one of env, file and encrypted"),
        ("ok", "{}", "one of env, file and encrypted"),
        ("ok", "{encrypted: AAAA}", "does not say how it is encrypted"),
        ("ok", "{vault: a}", "there is no such field"),
        ("ok", "[a]", "a secret is a text"),
    ],
)
async def test_a_secret_that_is_none_is_named_by_its_place(
    context: Context, node: str, credential: str, said: str
) -> None:
    with pytest.raises(StateError, match=said) as told:
        await bring(context, SMALL.format(node=node, credential=credential))
    assert "short" not in str(told.value)
    assert "12345678" not in str(told.value)


async def test_a_stored_secret_of_another_key_is_not_exported_as_if_it_were_none(
    context: Context,
) -> None:
    await bring(context, FULL)
    other = Context(
        settings=context.settings,
        database=context.database,
        vault=Vault(b"o" * 32),
        directory=context.directory,
        nodes=context.nodes,
        bus=None,
        actor=context.actor,
    )
    with pytest.raises(OperationError, match="node bbb1, node bbb2, credential acme"):
        await states.document(other, cipher=secrets.with_key(other.vault))
    assert "bbb1" in (await states.document(other))["nodes"]
