"""A RabbitMQ server of one's own on 127.0.0.1.

Owns a data directory, three ports (AMQP, distribution, epmd), a cookie and the processes on them.
Must never touch a broker it did not start or listen on anything but loopback. Called by the
fixtures in `tests/conftest.py` and by fault tests that need a broker to kill or to freeze.
"""

import os
import secrets
import signal
import socket
import subprocess
import time
from pathlib import Path

from tests.services import programs, rooms
from tests.services.ports import free_port

#: The program itself, not the wrapper in /usr/sbin, which insists on its own account.
SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"
EPMD = "/usr/bin/epmd"
ERL_CALL = "/usr/bin/erl_call"
START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 30.0
COMMAND_TIMEOUT_S = 30.0
#: What erl_call says before it has reached the broker.
UNCONNECTED = "failed to connect to node"
ANSWER_TIMEOUT_S = 1.0


class RabbitMQ:
    """A broker in `directory`: `start()`, `stop()`, `kill()`, and `start()` again on the same data.

    `version_root` is a directory with another Debian release and its RabbitMQ (deploy/test makes
    one); the broker then runs inside it. All methods block; a test on an event loop calls them
    through `asyncio.to_thread`.
    """

    def __init__(self, directory: Path, version_root: Path | None = None) -> None:
        if version_root is not None and not Path(f"{version_root}{SERVER}").exists():
            raise programs.ServerMissingError(
                f"{version_root} holds no RabbitMQ: run deploy/test, which unpacks one there"
            )
        if version_root is None and not Path(SERVER).exists():
            raise programs.ServerMissingError(
                "RabbitMQ is not installed: run deploy/test, which installs it, install the "
                "package 'rabbitmq-server', or set SEATKEEP_TEST_AMQP_URL"
            )
        self.directory = directory
        self.port = free_port()
        self.node = f"seatkeep-{self.port}@localhost"
        self._distribution_port = free_port()
        self._epmd_port = free_port()
        self._cookie = secrets.token_hex(20)
        self._server = programs.Program("RabbitMQ", log_path=directory / "rabbitmq.log")
        self._epmd = programs.Program("epmd", log_path=directory / "epmd.log")
        self._frozen: list[int] = []
        self._room = rooms.room(directory, version_root)

    @property
    def running(self) -> bool:
        return self._server.running

    @property
    def url(self) -> str:
        """AMQP URL of the default virtual host."""
        return self.url_of("/")

    def url_of(self, vhost: str) -> str:
        """Return the AMQP URL of a virtual host."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/{vhost.replace('/', '%2F')}"

    def start(self) -> None:
        """Start the broker, on the same data and port as before; return when AMQP answers."""
        self._prepare()
        environment = self._environment()
        if not self._epmd.running:
            epmd = [EPMD, "-port", str(self._epmd_port), "-address", "127.0.0.1"]
            self._epmd.start(
                self._room.inside(epmd), environment=environment, directory=self.directory
            )
            self._epmd.wait_until(lambda: _listens(self._epmd_port), timeout_s=START_TIMEOUT_S)
        self._server.start(
            self._room.inside([SERVER]), environment=environment, directory=self.directory
        )
        self._server.wait_until(self._answers, timeout_s=START_TIMEOUT_S)

    def stop(self) -> None:
        """Stop in an orderly way, the name service of this broker included."""
        self.thaw()
        # The start script would answer a SIGTERM with a slow rabbitmqctl; the Erlang machine
        # itself stops the broker as properly.
        for pid in self._server.descendants("beam.smp"):
            os.kill(pid, signal.SIGTERM)
        self._server.end(stop=signal.SIGCONT, timeout_s=STOP_TIMEOUT_S)
        self._epmd.kill()

    def kill(self) -> None:
        """SIGKILL the broker, as a power cut would end it. Clients see the connection go."""
        self._frozen.clear()
        self._server.kill()

    def freeze(self) -> None:
        """Stop the broker's clock (SIGSTOP): connections stay open and nothing answers."""
        for pid in self._server.descendants("beam.smp"):
            os.kill(pid, signal.SIGSTOP)
            self._frozen.append(pid)

    def thaw(self) -> None:
        """Let a frozen broker go on."""
        while self._frozen:
            os.kill(self._frozen.pop(), signal.SIGCONT)

    def create_vhost(self, name: str) -> str:
        """Create a virtual host that `guest` may use and return its AMQP URL (about 50 ms)."""
        self.evaluate(
            f'ok = rabbit_vhost:add(<<"{name}">>, <<"tests">>), '
            f'ok = rabbit_auth_backend_internal:set_permissions(<<"guest">>, <<"{name}">>, '
            '<<".*">>, <<".*">>, <<".*">>, <<"tests">>).'
        )
        self.settle()
        return self.url_of(name)

    def settle(self) -> None:
        """Make the broker write what was declared to disk now.

        It keeps fresh declarations in memory for a second or so, and a `kill()` before that loses
        a durable queue although its declaration was confirmed. A test that is about messages, not
        about this fault, settles before it kills.
        """
        written = self.evaluate("mnesia:sync_log().")
        if written != "ok":
            raise programs.ServerFailedError(f"RabbitMQ did not write its declarations: {written}")

    def delete_vhost(self, name: str) -> None:
        """Delete a virtual host with everything in it; its connections are closed."""
        self.evaluate(f'rabbit_vhost:delete(<<"{name}">>, <<"tests">>).')

    def set_memory_limit(self, fraction: float) -> None:
        """Set the memory high watermark, as a share of the machine; near 0 raises the alarm."""
        self.evaluate(f"vm_memory_monitor:set_vm_memory_high_watermark({fraction:f}).")

    def evaluate(self, expression: str) -> str:
        """Evaluate Erlang code (it ends with a full stop) in the broker and return the result.

        `rabbitmqctl` would take two seconds per call; this takes some ten milliseconds.
        """
        command = [
            ERL_CALL,
            *("-c", self._cookie),
            *("-address", f"127.0.0.1:{self._distribution_port}"),
            "-e",
        ]
        deadline_s = time.monotonic() + COMMAND_TIMEOUT_S
        while True:
            done = subprocess.run(
                self._room.inside(command),
                check=False,
                input=f"{expression}\n",
                env={**programs.inherited_environment(), **self._environment()},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=COMMAND_TIMEOUT_S,
            )
            # Nothing was evaluated then: a broker without breath is slow to shake hands.
            if UNCONNECTED not in done.stdout or time.monotonic() > deadline_s:
                break
            time.sleep(0.2)
        if done.returncode != 0 or not done.stdout.startswith("{ok,"):
            raise programs.ServerFailedError(f"RabbitMQ refused {expression}\n{done.stdout}")
        return done.stdout.removeprefix("{ok,").strip().removesuffix("}").strip()

    def _prepare(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        data = self._room.data
        if (data / "rabbitmq.conf").exists():
            return
        data.mkdir(parents=True, exist_ok=True)
        cookie = data / ".erlang.cookie"
        cookie.write_text(self._cookie)
        cookie.chmod(0o400)
        (data / "plugins").write_text("[].\n")
        (data / "rabbitmq.conf").write_text(
            f"listeners.tcp.local = 127.0.0.1:{self.port}\n"
            "log.console = true\n"
            "log.console.level = info\n"
            "log.file = false\n"
            # A shared machine's fill level must not raise the alarm under the tests.
            "disk_free_limit.absolute = 50MB\n"
        )

    def _environment(self) -> dict[str, str]:
        seen = self._room.data_inside
        return {
            "HOME": str(seen),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none"
            ),
            "RABBITMQ_CONFIG_FILE": str(seen / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(seen / "no-environment-file"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(seen / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(seen / "data"),
            "RABBITMQ_LOG_BASE": str(seen / "log"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(seen / "config"),
            "RABBITMQ_FEATURE_FLAGS_FILE": str(seen / "feature_flags"),
            "RABBITMQ_PID_FILE": str(seen / "rabbitmq.pid"),
        }

    def _answers(self) -> bool:
        """Tell whether the broker greets an AMQP client, which it does only after its boot."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), ANSWER_TIMEOUT_S) as client:
                client.sendall(b"AMQP\x00\x00\x09\x01")
                # A method frame (1) on channel 0: connection.start
                return client.recv(3) == b"\x01\x00\x00"
        except OSError:
            return False


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), ANSWER_TIMEOUT_S):
            return True
    except OSError:
        return False
