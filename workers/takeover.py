"""Taking a pool over: raise the epoch, load the ledger, stand where the predecessor stood.

Owns how a shard comes into memory. Called by the placement loop when it becomes the active worker,
at start-up and after every doubt about what is durable.
"""

import gc
import os
import socket

from scheduler import wording
from scheduler.core import books, model
from scheduler.directory_records import Directory
from scheduler.ledger.interface import Ledger
from scheduler.settings import Settings
from workers.shard import Shard


class PoolMissingError(OSError):
    """The pool of this worker is not in the directory; add its nodes, then start the worker."""


async def take_over(
    settings: Settings, ledger: Ledger, directory: Directory, pool_name: str, *, now_ms: int
) -> tuple[Shard, int]:
    """Return the pool as the ledger has it, and the epoch that is the license to write.

    Raises `PoolMissingError`, and what the ledger raises when the store does not answer.
    """
    pool = directory.pool_by_name.get(pool_name)
    if pool is None:
        raise PoolMissingError(f"pool {pool_name!r} is not in the directory")
    epoch = await ledger.take_over(pool.id, f"{socket.gethostname()}:{os.getpid()}")
    loaded = await ledger.load(pool.id, epoch)
    shard = Shard(
        pool.id,
        model.Pool(books.Rules(), now_ms // 1000),
        create_deadline_ms=int(settings.create_deadline_s * 1000),
        booking_notice_s=settings.booking_notice_s,
    )
    shard.join_lease_ms = int(settings.join_lease_s * 1000)
    shard.zone = wording.zone_of(settings.time_zone)
    shard.down = {
        node.id
        for node in directory.nodes.values()
        if node.pool_id == pool.id and node.health == "down"
    }
    shard.follow(directory)
    shard.restore(loaded.meetings, loaded.attendees)
    # What was loaded lives long: keep the collector from walking it again and again.
    gc.collect()
    gc.freeze()
    return shard, epoch
