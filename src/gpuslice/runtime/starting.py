"""Starting one process: its environment, its log, its session, and what can go wrong.

Separate from the runtime's other half because here, and only here, a foreign program is executed.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from gpuslice.errors import EngineMissingError, RuntimeFailure
from gpuslice.model.server import Launch
from gpuslice.runtime.installed import search_path
from gpuslice.stack.problem import visible

# What a server may know of the world it was started in. Secrets come only this way: they are
# never part of a launch, so never on a command line, in a plan or in a log.
_INHERITED = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "XDG_CACHE_HOME"),
        *("HF_HOME", "HF_HUB_CACHE", "HF_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE"),
        *("LD_LIBRARY_PATH", "CUDA_HOME", "VIRTUAL_ENV", "PYTHONPATH"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
    }
)
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy", "ftp_proxy")

_INSTALL = {
    "vllm": "pip install vllm, or give the model `engine: command`",
    "sglang": "pip install sglang, or give the model `engine: command`",
}


def inherited_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Choose what a server inherits: paths, locale, proxies, the model hub's own settings.

    Programs installed beside this interpreter are found too, behind everything in ``PATH``.
    """
    chosen = {name: value for name, value in environ.items() if _is_inherited(name)}
    chosen["PATH"] = search_path(environ)
    return chosen


def spawn(
    launch: Launch, *, environment: Mapping[str, str], log: int, folder: Path, now: float
) -> int:
    """Execute a launch in a session of its own.

    Args:
        launch: What to execute.
        environment: All its variables.
        log: Descriptor that takes its output; stays open here.
        folder: Where it runs. A folder of ours, because ``python -m`` imports from there first.
        now: Unix time for the log's first line, seconds.

    Returns:
        The pid; the caller reaps it, if it lives that long.

    Raises:
        EngineMissingError: There is no such program, or it may not be executed.
        RuntimeFailure: The system refused.
    """
    os.write(log, _first_line(launch, now))
    try:
        child = subprocess.Popen(
            launch.command,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    except (FileNotFoundError, PermissionError) as error:
        raise _missing(launch, error) from error
    except (OSError, ValueError) as error:
        raise RuntimeFailure(f"{launch.name} cannot be started: {error}") from error
    # The server is meant to outlive us, so Popen must not warn, or wait, when it is let go.
    child.returncode = 0
    return child.pid


def _is_inherited(name: str) -> bool:
    return name in _INHERITED or name.startswith("LC_") or name.lower() in _PROXIES


def _first_line(launch: Launch, now: float) -> bytes:
    moment = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
    # Visible, so that an argument of several lines forges none of the log.
    return f"{moment} gpuslice starts {visible(shlex.join(launch.command))}\n".encode()


def _missing(launch: Launch, error: OSError) -> EngineMissingError:
    program = launch.command[0]
    why = "is not installed" if isinstance(error, FileNotFoundError) else "may not be executed"
    return EngineMissingError(
        f"{launch.name} needs the program {program!r}, which {why}",
        hint=_INSTALL.get(program, f"install {program}, or write its full path"),
    )
