"""The files and folders that a stack names as models: which are paths, and are they there.

Separate from loading, because it looks at the file system, and a plan for another machine has no
reason to.
"""

from __future__ import annotations

import re
from pathlib import Path

from gpuslice.errors import ModelNotFoundError
from gpuslice.stack.loaded import LoadedStack
from gpuslice.stack.problem import Problem, shortened, visible

_HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?(:\w[\w.-]*)?", re.ASCII)
_PATH_STARTS = ("/", "./", "../", "~")


def check_sources(loaded: LoadedStack) -> None:
    """Check that every model that is a path exists; hub names pass.

    Raises:
        ModelNotFoundError: ``details`` has each missing one with its line.
    """
    missing = []
    for name, entry in loaded.stack.models.items():
        if entry.model is not None and (wrong := _wrong(entry.model, loaded.folder)):
            path = ("models", name, "model")
            missing.append(Problem(mark=loaded.document.mark(path), path=path, text=wrong))
    if missing:
        lines = tuple(problem.render(str(loaded.path)) for problem in missing)
        count = "a model that does" if len(lines) == 1 else f"{len(lines)} models that do"
        hint = "correct the path (it starts at the stack file's folder), or fetch the model"
        raise ModelNotFoundError(f"{loaded.path} names {count} not exist", hint=hint, details=lines)


def resolve_source(model: str, folder: Path) -> str:
    """Turn what the file says into what an engine takes.

    Args:
        model: Hub name, folder or ``.gguf`` file, as written.
        folder: The stack file's folder, where relative paths start.

    Returns:
        An absolute path, or the hub name as it is.
    """
    path = _located(model, folder)
    return str(path) if _is_path(model, path) else model


def _wrong(model: str, folder: Path) -> str:
    """Say why a model's source cannot be used, or ""."""
    path = _located(model, folder)
    if not _is_path(model, path):
        return ""
    try:
        return _wrong_kind(model, path)
    except OSError as error:  # a name that is too long, a folder that may not be entered
        return f"'{shortened(model)}' cannot be looked at: {error.strerror}"


def _wrong_kind(model: str, path: Path) -> str:
    """Say that a path is not there or leads to something else than a model, or ""."""
    if not path.exists():
        return f"'{shortened(model)}' is not there (looked for {visible(str(path))})"
    if model.lower().endswith(".gguf"):
        if path.is_dir():
            return f"'{shortened(model)}' is a folder, not a .gguf file"
        return "" if path.is_file() else f"'{shortened(model)}' is a pipe or a device, not a file"
    return "" if path.is_dir() else f"'{shortened(model)}' is neither a folder nor a .gguf file"


def _located(model: str, folder: Path) -> Path:
    try:
        written = Path(model).expanduser()
    except RuntimeError:  # "~somebody" who is no user of this machine
        written = Path(model)
    return (folder / written).absolute()


def _is_path(model: str, located: Path) -> bool:
    """Tell a path from a hub name; a folder that exists wins over a hub name spelt the same."""
    if model.startswith(_PATH_STARTS) or model in {".", ".."} or model.lower().endswith(".gguf"):
        return True
    return not _HUB_NAME.fullmatch(model) or _is_folder(located)


def _is_folder(path: Path) -> bool:
    """Tell whether there is such a folder; what cannot be looked at is none."""
    try:
        return path.is_dir()
    except OSError:
        return False
