"""Which processes on this machine are ours, grouped into servers.

Separate from starting and stopping because it is the runtime's view of the truth: nothing is
remembered, every answer is read from ``/proc`` at that moment.

A server is all processes that carry one marker, plus those that share a session with them and have
lost it (a program may clear its environment). A session counts only if its leader is ours or gone:
so a marker that a person exported in a shell never makes that shell a server.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gpuslice.model.server import RunningServer
from gpuslice.runtime.markers import MACHINE, Marker, read_marker
from gpuslice.runtime.procfs import ProcessId, identify, list_pids, read_environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Every live process of one server.

    Attributes:
        marker: What they say about themselves.
        members: By pid; never empty.
    """

    marker: Marker
    members: tuple[ProcessId, ...]

    @property
    def leader(self) -> ProcessId:
        """The process we started, or the oldest that is left of its group."""
        leaders = [process for process in self.members if process.pid == process.session]
        return min(leaders or self.members, key=lambda process: (process.start_ticks, process.pid))

    @property
    def server(self) -> RunningServer:
        """The group as the rest of the house sees it."""
        leader = self.leader
        return self.marker.identity.running(
            pid=leader.pid,
            started_at=self.marker.started_at,
            headless=leader.pid != leader.session,
        )


def find_groups(root: Path) -> tuple[Group, ...]:
    """Find every server of a machine that has a live process, by name.

    Args:
        root: The machine's folder, as in the markers.
    """
    pids = list(list_pids())
    marked = _marked(pids, root)
    if not marked:
        return ()
    sessions = _by_session(pids)
    by_marker: dict[Marker, set[ProcessId]] = defaultdict(set)
    for process, marker in marked.items():
        by_marker[marker].add(process)
        by_marker[marker].update(_companions(process, sessions, marked))
    groups = [
        Group(marker=marker, members=tuple(sorted(members, key=lambda process: process.pid)))
        for marker, members in by_marker.items()
    ]
    return tuple(sorted(groups, key=lambda group: (group.marker.name, group.marker.started_at)))


def _marked(pids: Iterable[int], root: Path) -> dict[ProcessId, Marker]:
    found = {}
    for pid in pids:
        environment = read_environment(pid, having=MACHINE)
        marker = read_marker(environment, root) if environment else None
        process = identify(pid) if marker else None
        if marker and process:
            found[process] = marker
    return found


def _by_session(pids: Iterable[int]) -> dict[int, list[ProcessId]]:
    sessions: dict[int, list[ProcessId]] = defaultdict(list)
    for pid in pids:
        process = identify(pid)
        if process is not None:
            sessions[process.session].append(process)
    return sessions


def _companions(
    process: ProcessId,
    sessions: Mapping[int, list[ProcessId]],
    marked: Mapping[ProcessId, Marker],
) -> list[ProcessId]:
    members = sessions.get(process.session, [])
    leader = next((p for p in members if p.pid == process.session), None)
    if leader is not None and leader not in marked:
        return []
    return [member for member in members if member not in marked]
