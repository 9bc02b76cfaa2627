"""Which programs there are, and of which release: looked up, never run.

Separate because whoever refuses a change beforehand and whoever starts a process have to look in
the same places. A release is read from the metadata that pip wrote beside the program; asking the
program itself would import it, which takes vLLM twenty seconds.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path


def search_path(environ: Mapping[str, str] = os.environ) -> str:
    """Say where programs are looked for: in ``PATH``, then beside this interpreter."""
    return os.pathsep.join((environ.get("PATH") or os.defpath, str(Path(sys.executable).parent)))


def which(program: str) -> str | None:
    """Find a program by name or path; None where there is none that may be executed."""
    return shutil.which(program, path=search_path())


def installed_version(program: str, *, package: str) -> str:
    """Read the release of the Python package that a program belongs to.

    Args:
        program: Name or path of a program that pip installed.
        package: Name of its package.

    Returns:
        The version, or "" where it cannot be told: no such program, or one that pip did not
        install.
    """
    found = which(program)
    if found is None:
        return ""
    folders = [str(folder) for folder in _package_folders(Path(found))]
    distributions = importlib.metadata.distributions(name=package, path=folders)
    # Metadata that an interrupted installation left behind has no version.
    versions = (distribution.metadata["Version"] for distribution in distributions)
    return next((version for version in versions if version), "")


def _package_folders(program: Path) -> Iterator[Path]:
    """List where the packages of a program's environment lie, the environment it stands in first.

    A program may be a link from a folder of ``PATH`` into its environment.
    """
    for prefix in dict.fromkeys((program.parent.parent, program.resolve().parent.parent)):
        for library in ("lib", "lib64"):
            yield from sorted((prefix / library).glob("python3*/site-packages"))
            yield from sorted((prefix / library).glob("python3*/dist-packages"))
