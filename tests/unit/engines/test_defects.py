"""Releases that cannot run on a slice are known by their number, however it is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuslice.engines.api import Place
from gpuslice.engines.catalogue import ENGINE_NAMES
from gpuslice.engines.defects import DEFECTS, defect_of
from gpuslice.engines.diagnosis import diagnose


@pytest.mark.parametrize(
    "version", ["0.5.2", "0.20.1", "0.23", "0.23.9.post1", "v0.20.0", "0.23.1rc2.dev7+g12ab.cu130"]
)
def test_vllm_that_reads_uuids_as_numbers_is_known(version: str) -> None:
    found = defect_of("vllm", version, Place.PROCESS)
    assert found is not None
    assert found.fixed_in == "0.24.0"


@pytest.mark.parametrize("version", ["0.24", "0.24.0", "0.24.0rc1", "0.32.0+cu130", "1", "10.0.1"])
def test_later_releases_pass(version: str) -> None:
    assert defect_of("vllm", version, Place.PROCESS) is None


@pytest.mark.parametrize("version", ["", "unknown", "dev", "."])
def test_a_release_that_cannot_be_told_is_not_refused(version: str) -> None:
    assert defect_of("vllm", version, Place.PROCESS) is None


def test_a_container_shows_its_slice_in_another_way() -> None:
    assert defect_of("vllm", "0.20.1", Place.CONTAINER) is None
    assert defect_of("sglang", "0.4.9", Place.CONTAINER) is not None
    assert defect_of("sglang", "0.4.9", Place.PROCESS) is None


def test_each_defect_is_of_an_engine_there_is_and_says_where_it_was_reported() -> None:
    for defect in DEFECTS:
        assert defect.engine in ENGINE_NAMES
        assert "#" in defect.source
        assert defect_of(defect.engine, defect.fixed_in, defect.place) is None


def test_the_documented_table_is_this_one() -> None:
    text = (Path(__file__).parents[3] / "docs" / "engines.md").read_text()
    rows = [line.lower() for line in text.splitlines() if line.startswith("|") and "before" in line]
    for row, defect in zip(rows, DEFECTS, strict=True):
        assert row.startswith(f"| {defect.engine} | {defect.place} | before {defect.fixed_in} |")


def test_a_log_that_tells_of_a_defect_names_the_release_that_mends_it() -> None:
    found = diagnose(["ValueError: invalid literal for int() with base 10: 'MIG-377e0049'"])
    defect = defect_of("vllm", "0.20.1", Place.PROCESS)
    assert found is not None
    assert defect is not None
    assert f"vLLM {defect.fixed_in} or later" in found.remedy
