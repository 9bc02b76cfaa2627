"""Weights in PyTorch's own files (``pytorch_model.bin``), of which only the size can be told.

Separate, because such a file has no header: what it holds is told by a program for Python's pickle,
which gpuslice does not run. A file of it holds its tensors and little else, so its size is what the
weights take, as they are stored; engines still load such files where a model has no safetensors.

Source: vLLM, ``--load-format auto``; pytorch, "Serialization semantics".
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gpuslice.errors import SizingError
from gpuslice.sizing.opening import LFS_HINT
from gpuslice.sizing.tensors import Tensor

_FILE = re.compile(r"pytorch_model(-\d{5}-of-(?P<count>\d{5}))?\.bin")
_SMALLEST = 1024  # what git-lfs leaves is some 130 bytes
NOTE = "pytorch_model.bin tells no tensors: the weights are taken to be as large as their files"


def pickled_tensors(sizes: Mapping[str, int], source: str) -> tuple[Tensor, ...]:
    """Let each file of weights stand for its tensors; () where there is none.

    Args:
        sizes: What every file of a model takes, bytes, by its name.
        source: Where they are, for messages.

    Raises:
        SizingError: Some of the files are missing, or only stand for others.
    """
    found = {name: match for name in sorted(sizes) if (match := _FILE.fullmatch(name))}
    counts = {int(match["count"]) for match in found.values() if match["count"]}
    if counts and len(found) < max(counts):
        text = f"{source} holds {len(found)} of {max(counts)} files of weights"
        raise SizingError(text, hint="fetch the model again; the download did not finish")
    if small := next((name for name in found if sizes[name] < _SMALLEST), None):
        text = f"{source}/{small} is too small for weights; git-lfs has to fetch what it stands for"
        raise SizingError(text, hint=LFS_HINT)
    return tuple(
        Tensor(name=name, kind="PyTorch file", shape=(sizes[name] // 2,), bytes=sizes[name])
        for name in found
    )
