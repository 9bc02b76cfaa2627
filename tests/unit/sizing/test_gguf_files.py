"""Which file of a repository is meant; the names are those that real repositories use."""

from __future__ import annotations

import pytest

from gpuslice.errors import SizingError
from gpuslice.sizing.gguf_files import choose, models_in, parts_of

BARTOWSKI = (
    "README.md",
    "Phi-3.1-mini-4k-instruct-IQ4_XS.gguf",
    "Phi-3.1-mini-4k-instruct-Q4_K_L.gguf",
    "Phi-3.1-mini-4k-instruct-Q4_K_M.gguf",
    "Phi-3.1-mini-4k-instruct-bf16.gguf",
    "Phi-3.1-mini-4k-instruct-f16.gguf",
    "Phi-3.1-mini-4k-instruct.imatrix",
)
UNSLOTH = (
    "Q4_K_M/Big-Q4_K_M-00001-of-00002.gguf",
    "Q4_K_M/Big-Q4_K_M-00002-of-00002.gguf",
    "UD-Q2_K_XL/Big-UD-Q2_K_XL-00001-of-00001.gguf",
    "imatrix_unsloth.gguf",
    "mmproj-BF16.gguf",
)


@pytest.mark.parametrize(
    ("names", "wanted", "chosen"),
    [
        (BARTOWSKI, "", "Phi-3.1-mini-4k-instruct-Q4_K_M.gguf"),
        (BARTOWSKI, "Q4_K_L", "Phi-3.1-mini-4k-instruct-Q4_K_L.gguf"),
        (BARTOWSKI, "iq4_xs", "Phi-3.1-mini-4k-instruct-IQ4_XS.gguf"),
        (BARTOWSKI, "F16", "Phi-3.1-mini-4k-instruct-f16.gguf"),
        (BARTOWSKI, "BF16", "Phi-3.1-mini-4k-instruct-bf16.gguf"),
        (UNSLOTH, "Q4_K_M", "Q4_K_M/Big-Q4_K_M-00001-of-00002.gguf"),
        (UNSLOTH, "UD-Q2_K_XL", "UD-Q2_K_XL/Big-UD-Q2_K_XL-00001-of-00001.gguf"),
        (("qwen2.5-0.5b-instruct-q4_0.gguf", "a-q8_0.gguf"), "", "qwen2.5-0.5b-instruct-q4_0.gguf"),
        (("smollm2-360m-instruct-q8_0.gguf",), "", "smollm2-360m-instruct-q8_0.gguf"),
        (("Q4_K_M.gguf",), "q4_k_m", "Q4_K_M.gguf"),
    ],
)
def test_file_is_chosen_as_llama_cpp_chooses(
    names: tuple[str, ...], wanted: str, chosen: str
) -> None:
    assert choose(names, wanted, "x") == chosen


@pytest.mark.parametrize("wanted", ["Q4_K", "Q9", "16", "mmproj"])
def test_what_is_not_there_is_told_with_what_is(wanted: str) -> None:
    with pytest.raises(SizingError, match=f"no .gguf model called {wanted}") as caught:
        choose(BARTOWSKI, wanted, "x")
    assert caught.value.details == models_in(BARTOWSKI)


def test_repository_without_a_model_is_told() -> None:
    with pytest.raises(SizingError, match=r"x holds no \.gguf model"):
        choose(("mmproj-F16.gguf", "README.md"), "", "x")


def test_parts_keep_their_folder() -> None:
    first = "Q4_K_M/Big-Q4_K_M-00001-of-00002.gguf"
    assert parts_of(first, UNSLOTH.__contains__) == UNSLOTH[:2]
    with pytest.raises(SizingError, match="1 of them are missing"):
        parts_of(first, {first}.__contains__)
