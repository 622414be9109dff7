"""An example for every command, shown at the end of its help.

Owns the examples, so that they are all of one kind and the suite can hold each against the command
that it is for. Whoever adds a command adds its example here.
"""

from collections.abc import Iterator
from typing import Final

import typer

#: By command, what follows it.
EXAMPLES: Final = {
    "asset list": "acme",
    "asset put": "acme logo logo.png",
    "asset remove": "acme logo",
    "audit": "--subscription acme --since 2027-01-01",
    "bench bus": "--seconds 3",
    "bench calendar": "--seconds 3",
    "bench core": "--seconds 3",
    "bench deliveries": "--seconds 3",
    "bench http": "--seconds 3 --delay-ms 20",
    "bench ledger": "--seconds 3",
    "bench restart": "--meetings 10000",
    "booking add": "acme physics --seats 30 --start 2027-01-11T08:00:00Z --duration 90",
    "booking cancel": "0192f0c1d2e34f56a7b8c9d0e1f2a3b4",
    "booking list": "--subscription acme",
    "booking move": "0192f0c1d2e34f56a7b8c9d0e1f2a3b4 --start 2027-01-11T10:00:00Z",
    "booking show": "0192f0c1d2e34f56a7b8c9d0e1f2a3b4",
    "capacity": "subscription --name acme",
    "credential add": "acme --sub 5 --label Moodle",
    "credential list": "--subscription acme",
    "credential remove": "acme-5",
    "credential revoke": "acme-5",
    "credential rotate": "acme-5 --overlap-hours 24",
    "credential set": "acme-5 --default-seats 15 --max-minutes 180",
    "credential show": "acme-5",
    "credential try": "acme-5 create 'name=Physics&meetingID=physics&maxParticipants=30'",
    "delivery discard": "--endpoint 3 --state parked",
    "delivery drop": "--endpoint 3 --state parked",
    "delivery list": "--subscription acme --state parked",
    "delivery park": "--endpoint 3 --kind userLeft",
    "delivery replay": "--endpoint 3 --since 2h",
    "delivery show": "0192f0c1d2e34f56a7b8c9d0e1f2a3b4",
    "delivery targets": "",
    "endpoint add": "acme https://app.example.org/events --dialect signed --label billing",
    "endpoint disable": "3",
    "endpoint enable": "3",
    "endpoint list": "--subscription acme",
    "endpoint ping": "3",
    "endpoint remove": "3",
    "endpoint rotate": "3 --hours 24",
    "endpoint set": "3 --kinds meetingCreated,meetingEnded",
    "endpoint show": "3",
    "event list": "",
    "event show": "meetingEnded",
    "event verify": "https://app.example.org/events --endpoint 3 --body received.json",
    "gateway": "--port 8090",
    "hook list": "--subscription acme",
    "hook remove": "0192f0c1-d2e3-4f56-a7b8-c9d0e1f2a3b4",
    "job cancel": "0192f0c1d2e34f56a7b8c9d0e1f2a3b4",
    "job list": "--state running",
    "job show": "0192f0c1d2e34f56a7b8c9d0e1f2a3b4",
    "meeting end": "0192f0c1d2e34f56a7b8c9d0e1f2a3b4",
    "meeting extend": "0192f0c1d2e34f56a7b8c9d0e1f2a3b4 --by 30",
    "meeting list": "--subscription acme",
    "meeting move": "0192f0c1d2e34f56a7b8c9d0e1f2a3b4 --node bbb2",
    "meeting show": "0192f0c1d2e34f56a7b8c9d0e1f2a3b4",
    "migrate": "",
    "node activate": "bbb1",
    "node add": "bbb1 --url https://bbb1.example.org/bigbluebutton/ --secret - --seats 200",
    "node disable": "bbb1",
    "node drain": "bbb1 --wait",
    "node list": "--state draining",
    "node maintenance add": "bbb1 --from 2027-01-11T22:00:00Z --minutes 120 --note kernel",
    "node maintenance list": "bbb1",
    "node maintenance remove": "bbb1 4",
    "node maintenance show": "bbb1 4",
    "node panic": "bbb1",
    "node remove": "bbb1",
    "node rotate": "bbb1 --make",
    "node set": "bbb1 --seats 250",
    "node show": "bbb1",
    "node state": "bbb1 draining",
    "node test": "bbb1",
    "pool add": "eu --mode pack",
    "pool list": "",
    "pool remove": "eu",
    "pool set": "eu --keep-free 2",
    "pool show": "eu",
    "reservations": "--subscription acme",
    "simulator": "--count 3 --port 8081",
    "state convert b3lb": "b3lb.json --seats-per-node 200",
    "state convert bbblb": "bbblb.json --seats-per-node 200",
    "state convert csv": "servers.csv --kind nodes --seats-per-node 200",
    "state convert scalelite": "servers.yaml --seats-per-node 200",
    "state export": "state.yaml",
    "state import": "state.yaml --dry-run",
    "state schema": "",
    "subscription add": "acme --seats 100 --name 'Acme Ltd'",
    "subscription limits": "acme",
    "subscription list": "",
    "subscription remove": "acme",
    "subscription set": "acme --seats 200",
    "subscription show": "acme",
    "token add": "--scope owner --subscription acme --days 90",
    "token list": "",
    "token revoke": "4",
    "up": "--demo",
    "usage": "acme --csv",
    "whatif": "acme 30",
    "worker": "",
}


def attach(app: typer.Typer) -> None:
    """Put each example under the help of its command, unless the help has one of its own."""
    for name, command in _commands(app, ()):
        said = command.help or (command.callback.__doc__ if command.callback else "") or ""
        if name in EXAMPLES and "Example" not in said:
            command.epilog = f"Example: {f'seatkeep {name} {EXAMPLES[name]}'.rstrip()}"


def _commands(
    app: typer.Typer, path: tuple[str, ...]
) -> Iterator[tuple[str, typer.models.CommandInfo]]:
    for command in app.registered_commands:
        name = command.name or getattr(command.callback, "__name__", "").replace("_", "-")
        yield " ".join((*path, name)), command
    for group in app.registered_groups:
        inner = group.typer_instance
        if inner is not None:
            name = group.name or inner.info.name
            yield from _commands(inner, (*path, str(name)) if name else path)
