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
from gpuslice.sizing.tensors import Tensor

_FILE = re.compile(r"pytorch_model(-\d{5}-of-(?P<count>\d{5}))?\.bin")
NOTE = "pytorch_model.bin tells no tensors: the weights are taken to be as large as their files"


def pickled_tensors(sizes: Mapping[str, int], source: str) -> tuple[Tensor, ...]:
    """Let each file of weights stand for its tensors; () where there is none.

    Args:
        sizes: What every file of a model takes, bytes, by its name.
        source: Where they are, for messages.

    Raises:
        SizingError: Some of the files are missing.
    """
    found = {name: match for name in sorted(sizes) if (match := _FILE.fullmatch(name))}
    counts = {int(match["count"]) for match in found.values() if match["count"]}
    if counts and len(found) < max(counts):
        text = f"{source} holds {len(found)} of {max(counts)} files of weights"
        raise SizingError(text, hint="fetch the model again; the download did not finish")
    return tuple(
        Tensor(name=name, kind="PyTorch file", shape=(sizes[name] // 2,), bytes=sizes[name])
        for name in found
    )
