"""Files that a command is asked to write, such as a picture or a plan.

Separate because every such file is written the same way, and a disk that is full or a folder that
is missing has to be told as any other error. Unlike files of ours, the place is the user's choice:
it may be a link, a pipe or ``/dev/stdout``.
"""

from __future__ import annotations

from pathlib import Path

from gpuslice.errors import FileNotWrittenError
from gpuslice.private_files import write_private


def write_file(path: Path, text: str, *, private: bool = False) -> None:
    """Write a file, replacing one that is there.

    Args:
        path: The file.
        text: What to write.
        private: Make it readable by its owner only (mode 0600), also where it was there before,
            and replace it whole: half a plan is never left.

    Raises:
        FileNotWrittenError: The system refused.
    """
    try:
        if private and (path.is_file() or not path.exists()):
            _check_folder(path)
            write_private(path.resolve(), text.encode())
        else:
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FileNotWrittenError(
            f"{path} cannot be written: {error.strerror}", hint="name a file in a folder you own"
        ) from error


def _check_folder(path: Path) -> None:
    """Leave it to the user to make folders: a wrong name is more likely than a missing folder."""
    path.resolve().parent.stat()
