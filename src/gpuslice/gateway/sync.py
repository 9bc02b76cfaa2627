"""What has to be told to the gateway so that it knows the servers there are: pure.

Separate from the client so that it can be decided, and tested, without a gateway.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from gpuslice.gateway.client import Worker


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerChanges:
    """The difference between what the gateway knows and what it should know.

    Attributes:
        add: URLs to add, sorted.
        remove: Ids of workers to remove, sorted.
    """

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


def worker_changes(registered: Iterable[Worker], wanted_urls: Collection[str]) -> WorkerChanges:
    """Compare the gateway's workers with the servers there are.

    A worker that is merely not healthy stays: smg takes it out of rotation and back by itself.

    Args:
        registered: What the gateway knows.
        wanted_urls: Where our servers answer.
    """
    known: set[str] = set()
    remove = []
    for worker in registered:
        if worker.url not in wanted_urls or worker.url in known:
            remove.append(worker.id)
        known.add(worker.url)
    return WorkerChanges(add=tuple(sorted(set(wanted_urls) - known)), remove=tuple(sorted(remove)))
