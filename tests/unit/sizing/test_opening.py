from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gpuslice.errors import SizingError
from gpuslice.sizing.gguf import read_gguf
from gpuslice.sizing.safetensors import read_config


@pytest.mark.parametrize(
    ("read", "file"), [(read_gguf, "x.gguf"), (lambda p: read_config(p.parent), "config.json")]
)
def test_a_pipe_in_place_of_a_model_is_not_waited_for(
    tmp_path: Path, read: Callable[[Path], object], file: str
) -> None:
    os.mkfifo(tmp_path / file)
    with pytest.raises(SizingError):
        read(tmp_path / file)
