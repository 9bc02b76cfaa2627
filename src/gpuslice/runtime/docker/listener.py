"""Does anybody listen where a Docker engine should? Asked before the SDK is even imported.

Separate from the connection, because the answer is wanted where there is no Docker at all, and
because the system says in one word what the SDK wraps into five exceptions: no such file, not
permitted, nobody there.
"""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

from gpuslice.errors import DockerUnavailableError
from gpuslice.runtime.docker.trouble import START_IT, unavailable

USUAL_SOCKET = Path("/var/run/docker.sock")
_UNIX = "unix://"
_TIMEOUT_S = 5.0


def on_this_machine(host: str) -> bool:
    """Tell whether an engine at an address (as in ``DOCKER_HOST``) sees the files that we see."""
    return not host or host.startswith(_UNIX)


def socket_of(host: str) -> Path:
    """Name the socket of an engine on this machine."""
    return Path(host.removeprefix(_UNIX)) if host else USUAL_SOCKET


def require_listener(host: str) -> None:
    """Make sure that somebody listens; one on another machine is left to be asked.

    Raises:
        DockerUnavailableError: Docker is not installed, does not run, or we may not ask it.
    """
    if not on_this_machine(host):
        return
    path = socket_of(host)
    try:
        with socket.socket(socket.AF_UNIX) as ours:
            ours.settimeout(_TIMEOUT_S)
            ours.connect(str(path))
    except FileNotFoundError as error:
        raise _nobody_at(path) from error
    except OSError as error:
        raise unavailable(str(error), host) from error


def _nobody_at(path: Path) -> DockerUnavailableError:
    if shutil.which("dockerd") or shutil.which("docker"):
        hint = f"{START_IT}; or say `runtime: process`"
        return DockerUnavailableError(f"No Docker engine listens on {path}.", hint=hint)
    hint = "install it (docs.docker.com/engine/install), or say `runtime: process`"
    return DockerUnavailableError("Docker is not installed on this machine.", hint=hint)
