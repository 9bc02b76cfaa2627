"""A folder of this machine that holds a model: which of its files are the weights.

Separate from the reader of one file, because folders come in several states: complete, half
fetched, with weights in PyTorch's own files, or full of ``.gguf`` files of which one is meant.
"""

from __future__ import annotations

from pathlib import Path

from gpuslice.errors import SizingError
from gpuslice.sizing.gguf_files import models_in
from gpuslice.sizing.pickles import NOTE, pickled_tensors
from gpuslice.sizing.safetensors import read_config, read_tensors
from gpuslice.sizing.tensors import StoredModel


def read_folder(folder: Path) -> StoredModel:
    """Read a model's config.json and what can be told of its weights.

    Raises:
        SizingError: There is no such folder, or it holds no model, half of one, or a broken one.
    """
    if not folder.is_dir():
        raise SizingError(f"there is no folder {folder}", hint="check the path")
    try:
        sizes = {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}
    except OSError as error:
        text = f"{folder} cannot be looked at: {error.strerror}"
        raise SizingError(text, hint="check who may read it") from error
    if any(name.endswith((".safetensors", ".safetensors.index.json")) for name in sizes):
        tensors = read_tensors(folder)
        return StoredModel(config=read_config(folder), tensors=tensors)
    if pickled := pickled_tensors(sizes, str(folder)):
        return StoredModel(config=read_config(folder), tensors=pickled, notes=(NOTE,))
    if models := models_in(sizes):
        text = f"{folder} holds .gguf files, and a .gguf model is one file (or its first part)"
        raise SizingError(text, hint=f"give {folder / models[0]}", details=models)
    tensors = read_tensors(folder)  # says what is wrong
    return StoredModel(config=read_config(folder), tensors=tensors)
