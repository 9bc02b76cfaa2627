"""The images of the Docker tests, made here: `docker import` of a root file system.

Nothing is downloaded. The interpreter, its libraries and the packages that the tests run on are
packed as they lie, into the places they have in the image that `deploy/image/Dockerfile` makes:
Python in ``/usr/local``, gpuslice among its packages, user 65532, no entrypoint. An image is named
after what is in it, so an engine that has it already is given nothing.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath
from typing import IO

import docker
from docker.errors import ImageNotFound

import gpuslice

_VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
_STDLIB = PurePosixPath("usr/local/lib") / _VERSION
_SITE = _STDLIB / "site-packages"

USER = "65532:65532"
PYTHON = "/usr/local/bin/python3"
TROUBLE = "/usr/local/lib/trouble.py"
TINY = "/usr/local/lib/tiny_server.py"
REPOSITORY = "gpuslice-test"
SETTINGS = (
    "ENV PATH=/usr/local/bin:/usr/bin:/bin",
    f"ENV PYTHONPATH=/{_SITE}",  # Debian's own Python does not look there by itself
    "ENV PYTHONUNBUFFERED=1",
    f"USER {USER}",
    "WORKDIR /",
)

# What `gpuslice.runtime.llama_cpp_server` and `gpuslice.gateway.launch` import.
_PACKAGES = ("xllamacpp", "smg", "setproctitle")
_LEFT_OUT = frozenset(
    {"test", "tests", "idlelib", "tkinter", "turtledemo", "lib2to3", "ensurepip", "pydoc_data"}
    | {"site-packages", "dist-packages"}
)
_LEFT_OUT_PREFIXES = ("config-", "_tkinter.", "_test", "_xxtest", "_ctypes_test")
_LOADER_LINE = re.compile(r"(?:\S+ => )?(/\S+) \(0x")
_ACCOUNTS = {
    "etc/passwd": (
        b"root:x:0:0::/root:/sbin/nologin\n"
        b"nobody:x:65534:65534::/nonexistent:/sbin/nologin\n"
        b"gpuslice:x:65532:65532::/nonexistent:/sbin/nologin\n"
    ),
    "etc/group": b"root:x:0:\nnogroup:x:65534:\ngpuslice:x:65532:\n",
}
# An ELF header of a program for AArch64 (e_machine 183): the kernel here refuses to run it.
_FOREIGN_PROGRAM = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xb7\x00\x01" + bytes(43)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What an image holds.

    Attributes:
        name: Its name within the repository.
        files: Where files of this machine go, by path in the image.
        contents: Further files, by path in the image.
        architecture: What the image says it is for, in Docker's words; "" for this machine's.
    """

    name: str
    files: Mapping[PurePosixPath, Path] = field(default_factory=dict)
    contents: Mapping[str, bytes] = field(default_factory=lambda: _ACCOUNTS)
    architecture: str = ""

    @property
    def reference(self) -> str:
        """Repository and tag; the tag tells apart whatever differs in content."""
        facts: list[object] = [SETTINGS, self.architecture, sorted(self.contents.items())]
        for inside, path in sorted(self.files.items()):
            if path.suffix != ".pyc":  # they come and go, and change nothing
                status = path.stat()
                facts.append((str(inside), status.st_size, status.st_mtime_ns, status.st_mode))
        return f"{REPOSITORY}/{self.name}:{hashlib.sha256(repr(facts).encode()).hexdigest()[:16]}"


def ensure_image(client: docker.DockerClient, recipe: Recipe) -> str:
    """Give an engine an image, unless it has it.

    Returns:
        The image's reference.
    """
    reference = recipe.reference
    try:
        client.images.get(reference)
    except ImageNotFound:
        with tempfile.TemporaryFile() as file:
            _pack(recipe, file)
            file.seek(0)
            _import(client, reference, file)
        if recipe.architecture:
            _relabel(client, reference, recipe.architecture)
    return reference


@cache
def serving_recipe() -> Recipe:
    """An image that runs gpuslice's llama.cpp server and its gateway."""
    files = {**_python(), **_tree(Path(gpuslice.__file__).parent, _SITE / "gpuslice")}
    for package in _PACKAGES:
        files |= _distribution(package)
    return Recipe(name="serving", files={**files, **_libraries(files.values())})


@cache
def trouble_recipe() -> Recipe:
    """A small image with Python, the programs of `docker_trouble.py` and the tiny server."""
    here = Path(__file__).parent
    programs = {
        PurePosixPath(TROUBLE[1:]): here / "docker_trouble.py",
        PurePosixPath(TINY[1:]): here / "end_to_end" / "tiny_server.py",
    }
    files = {**_python(), **programs}
    return Recipe(name="trouble", files={**files, **_libraries(files.values())})


def foreign_recipe() -> Recipe:
    """An image for another architecture: it says so, and its program does not run here."""
    python = f"usr/local/bin/{_VERSION}"
    return Recipe(
        name="foreign",
        contents={**_ACCOUNTS, python: _FOREIGN_PROGRAM},
        architecture="arm64",
    )


def _python() -> dict[PurePosixPath, Path]:
    interpreter = Path(sys.executable).resolve()
    stdlib = Path(sysconfig.get_path("stdlib"))
    return {PurePosixPath("usr/local/bin") / _VERSION: interpreter, **_tree(stdlib, _STDLIB)}


def _tree(root: Path, inside: PurePosixPath) -> dict[PurePosixPath, Path]:
    return {inside / path.relative_to(root).as_posix(): path for path in _walk(root)}


def _walk(root: Path) -> Iterator[Path]:
    for folder, inner, names in os.walk(root):
        inner[:] = [name for name in inner if _is_wanted(name)]
        yield from (Path(folder, name) for name in names if _is_wanted(name))


def _is_wanted(name: str) -> bool:
    optimised = name.endswith((".opt-1.pyc", ".opt-2.pyc"))
    return name not in _LEFT_OUT and not name.startswith(_LEFT_OUT_PREFIXES) and not optimised


def _distribution(name: str) -> dict[PurePosixPath, Path]:
    """A package's files as its installer recorded them, less its commands."""
    recorded = importlib.metadata.files(name)
    assert recorded, f"package {name} is not installed: set the project up again (make test does)"
    located = {
        _SITE / file: Path(str(file.locate())) for file in recorded if ".." not in file.parts
    }
    return {inside: path for inside, path in located.items() if path.exists()}


def _libraries(files: Iterable[Path]) -> dict[PurePosixPath, Path]:
    """What the loader adds to programs and extensions, beside what lies among them already."""
    loaded = [path for path in files if ".so" in path.suffixes or path.name == _VERSION]
    known = {path.resolve() for path in loaded}
    command = ("ldd", *map(str, loaded))
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = [Path(path) for path in _LOADER_LINE.findall(said)]
    return {_library_place(path): path.resolve() for path in found if path.resolve() not in known}


def _library_place(path: Path) -> PurePosixPath:
    if path.name.startswith("ld-linux"):  # its place is written into every program
        return PurePosixPath(str(path)[1:])
    return PurePosixPath("lib") / str(sysconfig.get_config_var("MULTIARCH")) / path.name


def _pack(recipe: Recipe, file: IO[bytes]) -> None:
    places = [*recipe.files, *map(PurePosixPath, recipe.contents)]
    folders = {folder for place in places for folder in place.parents} - {PurePosixPath()}
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for folder in sorted(folders):
            tar.addfile(_entry(str(folder), tarfile.DIRTYPE, mode=0o755))
        tar.addfile(_entry("tmp", tarfile.DIRTYPE, mode=0o1777))
        link = _entry(PYTHON[1:], tarfile.SYMTYPE)
        link.linkname = _VERSION
        tar.addfile(link)
        for inside, path in recipe.files.items():
            tar.add(path, arcname=str(inside), recursive=False, filter=_readable_by_all)
        for name, data in recipe.contents.items():
            _add(tar, name, data, mode=0o755)


def _add(tar: tarfile.TarFile, name: str, data: bytes, *, mode: int = 0o644) -> None:
    entry = _entry(name, tarfile.REGTYPE, mode=mode)
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))


def _entry(name: str, kind: bytes, *, mode: int = 0o777) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type = kind
    entry.mode = mode
    return entry


def _readable_by_all(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mode |= 0o444
    return entry


def _import(client: docker.DockerClient, reference: str, file: IO[bytes]) -> None:
    repository, _, tag = reference.partition(":")
    said = client.api.import_image(src=file, repository=repository, tag=tag, changes=list(SETTINGS))
    assert '"error"' not in said, said


def _relabel(client: docker.DockerClient, reference: str, architecture: str) -> None:
    """Let an image say another architecture, which `docker import` cannot."""
    saved = io.BytesIO(b"".join(client.images.get(reference).save(named=True)))
    edited = io.BytesIO()
    with tarfile.open(fileobj=saved) as old, tarfile.open(fileobj=edited, mode="w") as new:
        parts = {name: old.extractfile(name) for name in old.getnames()}
        read = {name: part.read() for name, part in parts.items() if part is not None}
        (manifest,) = json.loads(read["manifest.json"])
        configuration = {**json.loads(read[manifest["Config"]]), "architecture": architecture}
        _add(new, "config.json", json.dumps(configuration).encode())
        _add(new, "manifest.json", json.dumps([{**manifest, "Config": "config.json"}]).encode())
        for layer in manifest["Layers"]:
            _add(new, layer, read[layer])
    client.images.remove(reference)
    client.images.load(edited.getvalue())
