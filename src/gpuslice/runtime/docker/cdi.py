"""Have the toolkit write its CDI specification anew, when slices have come or gone.

Separate because it runs NVIDIA's own program. A specification lists the devices there were when it
was written; the toolkit's service writes it at boot and when drivers are installed, not when slices
change (nvidia-container-toolkit #1828). An engine reads the files each time a container starts, so
writing them is enough.

Source: docs.nvidia.com, container toolkit, "Support for Container Device Interface".
"""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from gpuslice.runtime.docker.specifications import files_in
from gpuslice.runtime.installed import which

log = logging.getLogger(__name__)

PROGRAM = "nvidia-ctk"
USUAL_FILE = Path("/var/run/cdi/nvidia.yaml")
_TIMEOUT_S = 60.0


def refresh(folders: Iterable[Path]) -> str:
    """Write the specification anew where it lies, or where it usually does.

    Args:
        folders: Where the engine looks for specifications.

    Returns:
        Why it could not be done, in words; "" when it was. A container that needs a device which
        the specification does not have is refused by the engine later, so this is no error.
    """
    program = which(PROGRAM)
    if program is None:
        return f"{PROGRAM} is not installed"
    if os.geteuid() != 0:
        return "only root may write it"
    files = files_in(folders) or (USUAL_FILE,)
    return "; ".join(filter(None, (_generate(program, file) for file in files)))


def _generate(program: str, file: Path) -> str:
    command = [program, "cdi", "generate", f"--output={file}"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode:
        return done.stderr.strip().rpartition("\n")[2] or f"{PROGRAM} ended with {done.returncode}"
    log.info("wrote %s anew", file)
    return ""
