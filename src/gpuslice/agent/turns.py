"""Whose turn it is to start, where software shares one device among several servers: pure.

A model server takes stock of the free memory when it starts and then claims its part. Two that do
so at the same moment each see the other's as free or as taken, by chance, and one of them fails. So
servers that share a device start one after the other: the next when the one before it is ready.

Servers on slices have their memory to themselves and start side by side.

Source: vllm issues #9198, #10643, #18974.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from gpuslice.model.server import Launch


def take_turns(
    due: Sequence[Launch],
    wanted: Sequence[Launch],
    alive: Collection[str],
    ready: Collection[str],
) -> tuple[Launch, ...]:
    """Choose who starts now.

    Only those that are due take part, so a server that keeps ending, and waits for its next try,
    holds up nobody behind it.

    Args:
        due: Servers that do not run and may be started, in the order in which they take turns.
        wanted: Every process that should run.
        alive: Names of those that run.
        ready: Names of those that have answered.

    Returns:
        Those of them that start now: all on slices, and one for each shared device on which none
        is starting.
    """
    starting = {
        other.shared_gpu for other in wanted if other.name in alive and other.name not in ready
    }
    chosen = []
    for launch in due:
        if launch.shared_gpu and launch.shared_gpu in starting:
            continue
        starting.add(launch.shared_gpu)
        chosen.append(launch)
    return tuple(chosen)
