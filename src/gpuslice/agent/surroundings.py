"""What containers find of the machine around them: files of their model, the hub's cache, memory.

Separate because it looks at the machine, once, when a stack comes up; what it finds is written down
with the stack, so that a later look gives no other container.

A container of ours has no capabilities, so even its root reads only what its user may read. Where
everybody may, it runs as the user its image is made for; else as the owner of the files.

Links are followed: the folders of the hub's cache hold nothing but links into a folder beside them.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from gpuslice.model.desired import DesiredDocker
from gpuslice.model.server import HandIn
from gpuslice.runtime.docker.hub import hub_cache, hub_models, hub_token

_PART = re.compile(r"-\d{5}-of-\d{5}\.gguf$")
# An absolute path inside an argument: --lora-modules=a=/adapters/a, or {"model": "/models/draft"}.
_PATHS = re.compile(r"/[^\s\"',:=\[\]{}]+")
_MOST_ENTRIES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFiles:
    """What the container of a model sees.

    Attributes:
        reads: Files and folders, by path; none inside another.
        user: ``uid:gid`` it has to run as, "" where any user will do.
    """

    reads: tuple[str, ...] = ()
    user: str = ""


def settled(docker: DesiredDocker) -> DesiredDocker:
    """Complete what a stack's containers have in common by what the machine is like now.

    How much memory a server needs beside its slice nobody can tell beforehand. So where nobody
    says, a container may take nine tenths of the machine's, that one in trouble never takes the
    machine with it; on a simulated GPU it may take the memory of its slice, which that memory is.
    """
    return replace(
        docker,
        cache=str(hub_cache()),
        hub=hub_models(),
        token=bool(hub_token()),
        memory_mib=0 if docker.hand_in is HandIn.NONE else machine_mib() * 9 // 10,
    )


def machine_mib() -> int:
    """Memory of this machine, MiB."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // (1024 * 1024)


def files_of(source: str, args: Iterable[str], cache: str) -> ModelFiles:
    """Say what the container of a model has to see, and as whom.

    Args:
        source: Hub name, or absolute path of a folder or file; "" where there is none.
        args: The user's arguments, in which adapters and draft models may be named by path.
        cache: Folder in which the hub's library keeps models.
    """
    named = (path for arg in args for path in _PATHS.findall(arg))
    wanted = [source, *named] if source.startswith("/") else list(named)
    reads = _outermost(found for path in wanted for found in _with_links(Path(path)))
    if source and not source.startswith("/"):
        return ModelFiles(reads=reads, user=_writer_of(Path(cache)))
    return ModelFiles(reads=reads, user=_reader_of(reads))


def _with_links(path: Path) -> Iterator[Path]:
    """List a path and the folders that links in it lead to; nothing where it does not exist."""
    if not path.exists():
        return
    whole = path.parent if path.is_file() and _PART.search(path.name) else path
    yield whole
    for entry in _inside(whole):
        if entry.is_symlink() and entry.exists():
            target = entry.resolve()
            if not target.is_relative_to(whole.resolve()):
                yield target.parent


def _outermost(paths: Iterable[Path]) -> tuple[str, ...]:
    """Leave out what lies inside another, and mentions of the machine's own folders."""
    every = set(paths)
    kept = (path for path in every if not any(other in every for other in path.parents))
    return tuple(sorted(str(path) for path in kept if len(path.parts) > 2))


def _reader_of(reads: Iterable[str]) -> str:
    for path in map(Path, reads):
        for entry in (path, *_inside(path)):
            found = _stat(entry)
            if found is not None and not _everybody_reads(found):
                return f"{found.st_uid}:{found.st_gid}"
    return ""


def _writer_of(cache: Path) -> str:
    """Say who may write a folder, or would own it when it is made.

    Group 0, because images that are made for any user let that group write their own folders.
    """
    found = _stat(cache)
    return f"{found.st_uid if found else os.geteuid()}:0"


def _inside(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        return
    for number, entry in enumerate(path.rglob("*")):
        if number >= _MOST_ENTRIES:
            return
        yield entry


def _everybody_reads(found: os.stat_result) -> bool:
    needed = stat.S_IROTH | (stat.S_IXOTH if stat.S_ISDIR(found.st_mode) else 0)
    return found.st_mode & needed == needed


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
