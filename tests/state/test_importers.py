"""Lists of other balancers: what becomes of them, and that their customers' clients go on."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from scheduler.state import writing
from scheduler.state.checking import wanted
from scheduler.state.importers import b3lb, bbblb, converted, scalelite, tables
from scheduler.state.importers.converted import Converted, Seats
from scheduler.state.parsing import StateError, parse
from scheduler.vault import Vault
from tests.commands import run_inside
from tests.gateway import world
from tests.gateway.world import NODE_SECRET

SAMPLES = Path(__file__).parent / "samples"


def sample(name: str) -> str:
    return (SAMPLES / name).read_text()


@pytest.fixture
def into() -> Converted:
    return Converted(Seats(200, 100))


def _is_a_state(made: Converted) -> None:
    text = writing.as_yaml(made.document(), "a heading")
    assert wanted(parse(text.encode()), Vault(b"k" * 32)).items


def test_scalelite_servers_as_it_writes_them_itself(into: Converted) -> None:
    scalelite.servers(sample("scalelite-servers.yml"), into)
    assert into.nodes == {
        "bbb1.example.org": {
            "url": "https://bbb1.example.org/bigbluebutton/",
            "secret": "node-secret-never-shown",
            "seats": 200,
        },
        # Its id is its host, it is not enabled, and its load counts twice.
        "bbb2.example.org": {
            "url": "https://bbb2.example.org/bigbluebutton/",
            "secret": "node-secret-two",
            "seats": 200,
            "state": "draining",
            "weight": 50,
            "tags": ["gpu"],
        },
    }
    _is_a_state(into)


def test_scalelite_servers_as_text(into: Converted) -> None:
    scalelite.servers(sample("scalelite-servers.txt"), into)
    found = [(n.get("state"), n.get("weight")) for n in into.nodes.values()]
    assert found == [(None, 200), ("draining", None), ("disabled", None)]
    assert into.report == []


def test_scalelite_servers_as_json_of_its_api(into: Converted) -> None:
    server = {"id": "x", "url": "http://10.0.0.1/bigbluebutton/api", "secret": "s", "tag": ""}
    server |= {"state": "enabled", "load_multiplier": "4.0"}
    scalelite.servers(json.dumps([server]), into)
    assert into.nodes["10.0.0.1"]["weight"] == 25


def test_scalelite_servers_that_cannot_be_nodes_are_told(into: Converted) -> None:
    scalelite.servers(sample("scalelite-add-all.yml"), into)
    assert list(into.nodes) == ["bbb1.example.org", "bbb2.example.org"]
    assert "bbb2.example.org/bigbluebutton/ comes twice" in into.report[0]
    assert "the node ftp://bbb3.example.org/ is left out" in into.report[1]


def test_scalelite_tenants_keep_two_secrets_and_their_settings(into: Converted) -> None:
    settings = sample("scalelite-settings.txt")
    scalelite.tenants(sample("scalelite-tenants.txt"), into, settings=settings)
    assert into.credentials == {
        "acme": {"secret": "acme-old-secret", "previous_secret": "acme-older-secret"},
        "school_1": {"secret": "school-secret-of-old"},
        "tiny": {},
    }
    assert into.subscriptions["acme"]["rules"] == (
        "create override record=false\njoin default userdata-bbb_auto_join_audio=true"
    )
    said = "\n".join(into.report)
    for part in (
        "the rule `create override name=always this` of acme is left out",
        "acme had 3 secrets",
        "'School-1' is called school_1 here",
        "a secret of tiny is left out",
        "tiny comes without a secret",
        "settings of a tenant nobody",
    ):
        assert part in said
    assert "oldest" not in said
    _is_a_state(into)


@pytest.mark.parametrize(
    "text",
    [
        '[{"id": "1", "name": "acme", "secrets": "acme-old-secret:acme-older-secret"}]',
        "tenants:\n  acme: acme-old-secret:acme-older-secret\n",
        "tenants:\n- {name: acme, secrets: 'acme-old-secret:acme-older-secret'}\n",
    ],
)
def test_scalelite_tenants_as_lists(into: Converted, text: str) -> None:
    scalelite.tenants(text, into)
    assert into.credentials["acme"]["previous_secret"] == "acme-older-secret"


def test_b3lb_groups_become_tags_and_limits_stay(into: Converted) -> None:
    b3lb.dump(sample("b3lb.json"), into)
    assert {name: node.get("tags") for name, node in into.nodes.items()} == {
        # Everybody's group has all nodes, so it needs no tag.
        "bbb1.bbb.example.org": None,
        "bbb2.bbb.example.org": ["very-important"],
    }
    acme, beta = into.subscriptions["acme"], into.subscriptions["beta"]
    assert (acme["seats"], acme["meetings_max"], acme["node_tags"]) == (120, 7, ["very-important"])
    assert acme["rules"].splitlines() == [
        "create default muteOnStart=true",
        "join override userdata-bbb_client_title=Acme Rooms",
        "create block logoutURL",
    ]
    assert (beta["seats"], beta["rules"]) == (100, "create override record=false")
    moodle = into.credentials["acme-5"]
    assert (moodle["label"], moodle["seats"], moodle["meetings_max"]) == ("Moodle", 30, 2)
    assert into.credentials["acme"]["previous_secret"].startswith("ZYXW")
    said = "\n".join(into.report)
    for part in ("role=VIEWER", "BETA had no limit", "upload them again", "`token add`"):
        assert part in said
    _is_a_state(into)


def test_bbblb_overrides_become_rules(into: Converted) -> None:
    bbblb.export(sample("bbblb.json"), into)
    assert into.subscriptions["acme"]["rules"].splitlines() == [
        "join override userdata-bbb_listen_only_mode=true",
        "create cap duration=120",
        "create append disabledFeatures=chat",
        "create default welcome=Hello",
        "create block moderatorOnlyMessage",
    ]
    assert into.credentials["acme"] == {"secret": "acme-old-secret", "hosts": ["bbb.acme.example"]}
    assert into.subscriptions["closed"]["enabled"] is False
    assert into.nodes["bbb2.example.org"]["state"] == "draining"
    said = "\n".join(into.report)
    assert "maxParticipants=many" in said
    assert "the realm of closed is left out" in said
    _is_a_state(into)


def test_bbblb_exports_of_former_versions(into: Converted) -> None:
    bbblb.export(sample("bbblb-v0.json"), into)
    rules = "create override record=false\ncreate default muteOnStart=true"
    assert into.subscriptions["acme"]["rules"] == rules
    assert into.credentials["acme"]["hosts"] == ["acme.example"]


def test_tables_of_nodes_and_subscriptions(into: Converted) -> None:
    tables.nodes(sample("nodes.csv"), into)
    tables.subscriptions(sample("subscriptions.csv"), into)
    assert (into.nodes["big"]["seats"], into.nodes["big"]["tags"]) == (400, ["gpu", "large"])
    assert set(into.nodes) == {"big", "bbb3.example.org"}
    assert into.report[1] == "line 3 was left out"
    assert into.subscriptions["acme"] == {
        "seats": 80,
        "name": "Acme, Ltd",
        "enabled": True,
        "default_duration_s": 5400,
    }
    assert into.credentials["acme-5"] == {"secret": "acme-old-secret-5"}
    assert into.subscriptions["beta"]["enabled"] is False
    _is_a_state(into)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("url,secret,colour\n", "line 1: there is no column 'colour'; there are meeting_seats_max"),
        ("url\n", "line 1: the column secret is missing"),
        ("url,secret,url\n", "line 1: the column url comes twice"),
        ("url,secret,seats\nhttp://a,s,many\n", "line 2: seats is a whole number, not 'many'"),
        ("url,secret\nhttp://a,\n", "line 2: secret is empty"),
        ('url,secret\n"http://a\n', "line 2: secret is empty"),
    ],
)
def test_a_table_is_told_by_its_lines(into: Converted, text: str, said: str) -> None:
    with pytest.raises(StateError, match=said):
        tables.nodes(text, into)


@pytest.mark.parametrize(
    ("factor", "weight"),
    [(1, None), ("2.0", 50), (0.5, 200), (1_000, 1), (0.01, 1_000), (0, None), ("x", None),
     (-1, None), ("inf", None), ("nan", None), (None, None)],
)  # fmt: skip
def test_a_load_multiplier_becomes_a_weight(factor: object, weight: int | None) -> None:
    assert converted.weight(factor) == weight


@pytest.mark.parametrize(
    ("named", "slug"),
    [("ACME", "acme"), ("School-1", "school_1"), ("a b/ä", "a_b_"), ("-x-", "x_"),
     ("!", "customer"), ("x" * 80, "x" * 63), ("5", "5")],
)  # fmt: skip
def test_a_name_becomes_a_slug_that_we_can_have(into: Converted, named: str, slug: str) -> None:
    assert into.subscription(named) == slug
    assert into.subscription(named) != slug


# --- into an installation that runs


CONVERSIONS: dict[str, tuple[list[str], str, str, str]] = {
    # Arguments, the customer's name, an old secret, the same customer's other one.
    "scalelite": (["scalelite-servers.yml", "scalelite-tenants.txt"], "acme", "acme-old-secret",
                  "acme-older-secret"),
    "b3lb": (["b3lb.json"], "beta", "cbcdefghijklmnopqrstuvwxyz0123456789ABCDEF", ""),
    "bbblb": (["bbblb.json"], "acme", "acme-old-secret", ""),
}  # fmt: skip


@pytest.mark.parametrize("balancer", CONVERSIONS)
async def test_a_customer_of_another_balancer_goes_on_with_its_old_secret(
    balancer: str, tmp_path: Path
) -> None:
    files, customer, secret, older = CONVERSIONS[balancer]
    data = {"SEATKEEP_DATA_DIR": str(tmp_path / "data")}

    def run(*arguments: str, entered: str | None = None) -> str:
        done = run_inside(*arguments, directory=tmp_path, environment=data, entered=entered)
        assert done.exit_code == 0, done
        return done.output

    paths = [str(SAMPLES / name) for name in files]
    document = parse(run("state", "convert", balancer, *paths).encode()).value
    async with world.running(tmp_path / "data", nodes=len(document["nodes"])) as there:
        _let_simulated_nodes_be(document, there)
        text = writing.as_yaml(document)
        prune = "--prune=nodes,subscriptions,credentials"
        said = await asyncio.to_thread(run, "state", "import", "-", prune, entered=text)
        assert "other" in said
        await there.directory.refresh()
        prefix = f"/b3lb/t/{customer}/bbb/api"
        made = await there.call(
            "create",
            {"name": "Room", "meetingID": "room-of-old", "duration": "500"},
            secret=secret,
            prefix=prefix,
        )
        assert made.ok, made.text
        info = await there.call(
            "getMeetingInfo", {"meetingID": "room-of-old"}, secret=older or secret, prefix=prefix
        )
        assert info["meetingID"] == "room-of-old"
        wrong = await there.call("getMeetings", secret=world.SECRET, prefix=prefix)
        assert wrong.key == "checksumError"
        # What is in use now stays.
        empty = "seatkeep: 1\nsubscriptions: {}\n"
        refused = await asyncio.to_thread(
            run_inside, "state", "import", "-", "--prune=subscriptions",
            directory=tmp_path, environment=data, entered=empty,
        )  # fmt: skip
        assert refused.exit_code == 1
        assert f"subscription {customer} (live meetings and bookings: 1)" in refused.errors


def _let_simulated_nodes_be(document: dict[str, Any], there: world.World) -> None:
    """Give the converted nodes the addresses of simulated ones, active all."""
    for node, simulated in zip(document["nodes"].values(), there.nodes, strict=True):
        node |= {"url": simulated.base_url, "secret": NODE_SECRET, "state": "active"}
