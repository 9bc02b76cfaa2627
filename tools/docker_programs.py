"""The programs of a Docker engine: found on this machine, or installed from Debian's packages.

Separate from `tools.docker_engine`, which runs them, because this is the one part that changes the
machine beyond a private folder: Debian's package ``docker.io`` is installed where a program is
missing, the machine is a Debian, and we are root. No service of it is started.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "docker.io"
_NAMES = ("dockerd", "containerd", "runc")
_APT = ("apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=120")
_APT_LIMIT_S = 600
_SYSTEM_FOLDERS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_POLICY = Path("/usr/sbin/policy-rc.d")
_START_NOTHING = "#!/bin/sh\nexit 101\n"  # Debian policy, 9.3.3.1: "action not allowed"


class NoEngineError(Exception):
    """No Docker engine can run here; the message says why, and what would help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """Where the programs lie."""

    dockerd: str
    containerd: str


def ensure_programs() -> Programs:
    """Find the programs of an engine; install them if that is possible.

    Raises:
        NoEngineError: We are not root, or a program is missing and cannot be installed.
    """
    if os.geteuid() != 0:
        raise NoEngineError(
            "only root can start a Docker engine; "
            "name a running one in GPUSLICE_TEST_DOCKER_HOST (unix:///var/run/docker.sock)"
        )
    missing = _missing()
    if missing:
        _install(missing)
        missing = _missing()
    if missing:
        raise NoEngineError(f"package {PACKAGE} is installed, but {', '.join(missing)} is not")
    found = {name: _find(name) for name in ("dockerd", "containerd")}
    return Programs(dockerd=str(found["dockerd"]), containerd=str(found["containerd"]))


def search_path() -> str:
    """PATH for the programs: what we were given, and where Debian puts what only root runs."""
    return os.pathsep.join((os.environ.get("PATH", ""), _SYSTEM_FOLDERS))


def _find(name: str) -> str | None:
    return shutil.which(name, path=search_path())


def _missing() -> list[str]:
    return [name for name in _NAMES if _find(name) is None]


def _install(missing: list[str]) -> None:
    what = f"{', '.join(missing)} not found"
    if not Path("/etc/debian_version").exists() or _find("apt-get") is None:
        raise NoEngineError(f"{what}; install Docker Engine, and its programs will be found")
    print(f"{what}: installing Debian's package {PACKAGE} …", file=sys.stderr, flush=True)
    with _services_stay_down():
        if _apt("install", "--no-install-recommends", PACKAGE) is not None:
            # The usual reason is a machine that has no lists of packages, or old ones.
            _apt("update")
            failure = _apt("install", "--no-install-recommends", PACKAGE)
            if failure is not None:
                raise NoEngineError(f"{what}, and apt-get could not install {PACKAGE}: {failure}")


def _apt(*arguments: str) -> str | None:
    """Run apt-get; return its last line when it fails."""
    try:
        done = subprocess.run(
            (*_APT, *arguments),
            env={**os.environ, "PATH": search_path(), "DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_APT_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no end after {_APT_LIMIT_S} s"
    if done.returncode == 0:
        return None
    return ((done.stderr.strip() or done.stdout.strip()).splitlines() or ["no message"])[-1]


@contextmanager
def _services_stay_down() -> Iterator[None]:
    """Forbid packages to start their services, unless somebody else has settled that already."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text(_START_NOTHING)
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)
