"""Where a server program runs: on this machine, or inside the tree of another Debian release.

Owns the way into such a tree (private mounts and chroot) and the two names of a data directory,
outside and inside. Must never leave a mount behind: mounts live in a namespace that ends with the
program. Called by `rabbitmq`.
"""

import os
import shutil
import subprocess
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.services import programs

PROBE_TIMEOUT_S = 10.0
#: Where a program inside a tree sees its data directory, if it can be mounted there.
MOUNT_POINT = Path("/mnt")
#: $1 is the tree, $2 the data directory, the rest the command.
ENTER = """
set -e
root=$1 data=$2
shift 2
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --bind "$data" "$root/mnt"
exec chroot "$root" "$@"
"""


@dataclass(frozen=True)
class Room:
    """A place to run programs; `data` is the data directory, `data_inside` its name in there."""

    data: Path
    data_inside: Path
    entrance: tuple[str, ...] = ()

    def inside(self, command: Sequence[str]) -> list[str]:
        """Return the command that runs `command` in this room, as the same process."""
        return [*self.entrance, *command]


def room(directory: Path, root: Path | None) -> Room:
    """Return the room for data in `directory`, inside the tree `root` if one is given.

    Where private mounts are not allowed (root in most containers), the data directory lies inside
    the tree until this process ends, since nothing else is visible from there.
    """
    if root is None:
        return Room(directory, directory)
    private_mounts = _private_mounts()
    if private_mounts:
        entrance = (*private_mounts, "sh", "-c", ENTER, "enter", str(root), str(directory))
        return Room(directory, MOUNT_POINT, entrance)
    data_inside = Path("/srv") / f"{os.getpid()}-{directory.name}"
    data = root / data_inside.relative_to("/")
    made = Room(data, data_inside, ("chroot", str(root)))
    weakref.finalize(made, shutil.rmtree, data, ignore_errors=True)
    return made


@cache
def _private_mounts() -> tuple[str, ...]:
    """Return the command prefix that gives a program mounts of its own, empty if it must not."""
    prefix = ["unshare", "--mount", "--propagation", "private"]
    if os.geteuid() != 0:
        prefix += ["--user", "--map-root-user"]
    here = str(Path(__file__).parent)
    probe = [*prefix, "sh", "-c", 'mount --bind "$1" "$1"', "probe", here]
    done = subprocess.run(probe, check=False, capture_output=True, timeout=PROBE_TIMEOUT_S)
    if done.returncode == 0:
        return tuple(prefix)
    if os.geteuid() == 0:
        return ()
    raise programs.ServerMissingError(
        "RabbitMQ 4 runs inside a tree of its own: allow unprivileged user namespaces "
        "(kernel.unprivileged_userns_clone=1) or run the tests as root"
    )
