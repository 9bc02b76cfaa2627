"""Logs of servers that did not come up, as people have published them, become one sentence each."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuslice.engines.diagnosis import diagnose, since_start

GOLDEN = Path(__file__).parents[2] / "golden" / "engine_logs"
CASES = sorted(folder.name for folder in GOLDEN.iterdir())
START = "2026-11-24T13:00:00+00:00 gpuslice starts vllm serve Qwen/Qwen3-4B"
FAILURE = "torch.OutOfMemoryError: CUDA out of memory."


def log_of(case: str) -> list[str]:
    source, *lines = (GOLDEN / case / "log.txt").read_text().splitlines()
    assert source.startswith("# Source: ")
    return lines


@pytest.mark.parametrize("case", CASES)
def test_log_is_told_as_reviewed(case: str, update_golden: bool) -> None:
    found = diagnose(log_of(case))
    text = f"{found.cause}\n{found.remedy}\n" if found else "-\n"
    file = GOLDEN / case / "expected.txt"
    if update_golden:
        file.write_text(text)
    assert text == file.read_text(), "run pytest with --update-golden and review the difference"


def test_a_healthy_log_gives_no_diagnosis() -> None:
    assert diagnose(["INFO: Application startup complete."]) is None
    assert diagnose([]) is None


def test_what_an_earlier_start_wrote_does_not_count() -> None:
    assert diagnose([START, FAILURE, START, "INFO: loading"]) is None
    assert diagnose([START, "INFO: loading", START, FAILURE]) is not None
    assert since_start([FAILURE]) == [FAILURE]


def test_what_stands_in_a_command_line_is_no_failure() -> None:
    assert diagnose([f"{START} --system-prompt '{FAILURE}'"]) is None


def test_the_cause_counts_and_not_what_follows_from_it() -> None:
    uuid = log_of("vllm-uuid-taken-for-a-number")
    assert diagnose([*uuid, FAILURE]) == diagnose(uuid)


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        (
            (
                "gpuslice: killed, for it needed more than its limit of 1,024 MiB of the machine's "
                "memory"
            ),
            "more than its limit of 1,024 MiB",
        ),
        (
            "[FATAL tini (7)] exec vllm failed: No such file or directory",
            "no program vllm that runs on this machine",
        ),
        ("RuntimeError: No CUDA GPUs are available", "it found no GPU"),
        ("vllm: error: unrecognized arguments: --maxlen 5", "an argument it was given: --maxlen 5"),
        ("error: invalid argument: --fitt", "an argument it was given: --fitt"),
        (
            "OSError: We couldn't connect to 'https://huggingface.co' to load the files",
            "the model hub cannot be reached",
        ),
        ("llama_model_load: error: unknown model architecture: 'nova'", "the architecture nova"),
        ("OSError: [Errno 24] Too many open files", "enough files"),
        ("/bin/sh: 1: /usr/local/cuda/bin/nvcc: not found", "no CUDA compiler"),
        ("OSError: [Errno 122] Disk quota exceeded", "is full"),
        ("ncclInvalidUsage: Duplicate GPU detected : rank 1 and rank 0", "which NCCL refuses"),
        ("CUDA error: all CUDA-capable devices are busy or unavailable", "does not let it in"),
        (
            "CUDA error: no kernel image is available for execution on the device",
            "no code for this GPU's compute capability",
        ),
    ],
)
def test_other_usual_failures_are_known_by_their_line(line: str, cause: str) -> None:
    found = diagnose(["INFO: loading", line, "Killed"])
    assert found is not None
    assert cause in found.cause


@given(st.lists(st.text(max_size=200), max_size=20))
def test_any_text_is_read_without_trouble(lines: list[str]) -> None:
    diagnose(lines)


def test_braces_of_a_log_are_text() -> None:
    found = diagnose(["x: error: unrecognized arguments: {uuid} {0}"])
    assert found is not None
    assert found.cause.endswith("{uuid} {0}")


def test_a_log_of_endless_lines_is_read_all_the_same() -> None:
    line = "max seq len (1), (1 GiB KV cache is needed" + "KV cache memory (1 GiB)" * 10_000
    assert diagnose([line] * 100) is not None
