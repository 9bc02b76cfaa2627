"""Files that a command is asked to write, such as a picture or a plan.

Separate because every such file is written the same way, and a disk that is full or a folder that
is missing has to be told as any other error.
"""

from __future__ import annotations

import os
from pathlib import Path

from gpuslice.errors import FileNotWrittenError


def write_file(path: Path, text: str, *, private: bool = False) -> None:
    """Write a file, replacing one that is there.

    Args:
        path: The file.
        text: What to write.
        private: Make it readable by its owner only (mode 0600), also where it was there before.

    Raises:
        FileNotWrittenError: The system refused.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600 if private else 0o666)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            if private:
                os.fchmod(descriptor, 0o600)
            file.write(text)
    except OSError as error:
        raise FileNotWrittenError(
            f"{path} cannot be written: {error.strerror}", hint="name a file in a folder you own"
        ) from error
