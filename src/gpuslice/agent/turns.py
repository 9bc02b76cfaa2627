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


def has_turn(
    launch: Launch, wanted: Sequence[Launch], alive: Collection[str], ready: Collection[str]
) -> bool:
    """Tell whether a server that does not run yet may start now.

    Args:
        launch: The server.
        wanted: Every process that should run, in the order in which they take their turns.
        alive: Names of those that run.
        ready: Names of those that have answered.
    """
    if not launch.shared_gpu:
        return True
    sharing = [other for other in wanted if other.shared_gpu == launch.shared_gpu]
    if any(other.name in alive and other.name not in ready for other in sharing):
        return False
    first = next(other for other in sharing if other.name not in alive)
    return first.name == launch.name
