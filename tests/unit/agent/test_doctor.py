"""Each thing that matters is looked at and answered with a remedy."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from builders import a_board_gpu, an_observed, with_slices
from gpuslice.agent import doctor
from gpuslice.agent.doctor import Finding, Verdict, examine
from gpuslice.driver.nvml import NvmlDriver
from gpuslice.errors import NoDriverError
from gpuslice.model.gpu import MigMode, Observed
from gpuslice.model.machine import Machine
from machines import a_machine

REAL = Machine(root=Path("/nowhere/host"))


@pytest.fixture(autouse=True)
def _no_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """No docker and no vllm, whatever this machine has."""
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")


def on(findings: Sequence[Finding], subject: str) -> list[Finding]:
    return [finding for finding in findings if finding.subject == subject]


def examine_real(observed: Observed, monkeypatch: pytest.MonkeyPatch) -> tuple[Finding, ...]:
    """Examine the real machine, were these its GPUs."""

    class Reader:
        def survey(self) -> Observed:
            return observed

    monkeypatch.setattr(doctor, "open_driver", lambda _machine: Reader())
    monkeypatch.setattr(doctor, "_computes_on_gpu", lambda: True)
    return examine(REAL)


def test_a_simulated_a100_can_do_it(tmp_path: Path) -> None:
    findings = examine(a_machine(tmp_path))
    assert not [finding for finding in findings if finding.verdict is Verdict.BAD]
    (gpu,) = on(findings, "GPU 0")
    assert "NVIDIA A100-SXM4-80GB, 81,920 MiB, MIG off" in gpu.text
    assert on(findings, "driver")[0].text.startswith("NVIDIA driver ")
    assert on(findings, "permission")[0].verdict is Verdict.GOOD


def test_a_machine_whose_gpus_have_no_mig_is_told_which_products_do(tmp_path: Path) -> None:
    findings = examine(a_machine(tmp_path, "l4"))
    (mig,) = on(findings, "MIG")
    assert mig.verdict is Verdict.BAD
    assert "A100" in mig.remedy
    assert on(findings, "GPU 0")[0].verdict is Verdict.NOTE


def test_a_missing_driver_hides_none_of_the_other_findings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_driver(_machine: Machine) -> NvmlDriver:
        raise NoDriverError("There is no driver.", hint="Install it.")

    monkeypatch.setattr(doctor, "open_driver", no_driver)
    monkeypatch.setattr(doctor, "_computes_on_gpu", lambda: True)

    findings = examine(REAL)

    assert on(findings, "driver") == [
        Finding(
            subject="driver",
            verdict=Verdict.BAD,
            text="There is no driver.",
            remedy="Install it.",
        )
    ]
    subjects = {finding.subject for finding in findings}
    assert {"permission", "vLLM", "llama.cpp", "Docker", "port"} <= subjects


def test_a_driver_without_gpus_is_to_be_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    findings = examine_real(an_observed(), monkeypatch)
    assert on(findings, "GPUs")[0].verdict is Verdict.BAD
    assert on(findings, "MIG") == []


def test_a_mode_change_that_waits_for_a_reset_is_to_be_mended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpu = replace(a_board_gpu(), mig=MigMode(current=False, pending=True))
    findings = on(examine_real(an_observed(gpu), monkeypatch), "GPU 0")
    bad = [finding for finding in findings if finding.verdict is Verdict.BAD]
    assert [finding.remedy for finding in bad] == [
        "nvidia-smi -i 0 --gpu-reset, or restart the machine"
    ]


def test_persistence_and_half_made_slices_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = with_slices(a_board_gpu(), ("2g.20gb", 0), half_made=(0,))
    gpu = replace(gpu, persistence_mode=False)
    findings = on(examine_real(an_observed(gpu), monkeypatch), "GPU 0")
    assert [finding.remedy for finding in findings if finding.verdict is Verdict.NOTE] == [
        "nvidia-smi -i 0 -pm 1",
        "nvidia-smi mig -i 0 -dgi -gi 1",
    ]


@pytest.mark.parametrize(("uid", "verdict"), [(0, Verdict.GOOD), (1000, Verdict.BAD)])
def test_changing_a_real_card_takes_root(
    monkeypatch: pytest.MonkeyPatch, uid: int, verdict: Verdict
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    (finding,) = on(examine_real(an_observed(a_board_gpu()), monkeypatch), "permission")
    assert finding.verdict is verdict
    assert ("sudo" in finding.remedy) == (uid != 0)


def test_what_is_not_installed_is_noted_with_how_to_get_it(tmp_path: Path) -> None:
    findings = examine(a_machine(tmp_path))
    assert on(findings, "vLLM")[0].remedy.startswith("pip install vllm")
    (docker,) = on(findings, "Docker")
    assert docker.text == (
        "Docker is not installed on this machine; servers run as processes without it"
    )
    assert "install it" in docker.remedy


def test_a_taken_gateway_port_is_noted_with_who_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr(doctor, "DEFAULT_GATEWAY_PORT", taken.getsockname()[1])
        (finding,) = on(examine(a_machine(tmp_path)), "port")
    assert finding.verdict is Verdict.NOTE
    assert f"pid {os.getpid()}" in finding.text


def test_an_engine_that_cannot_serve_on_a_slice_is_noted_with_the_release_that_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "venv" / "bin" / "vllm"
    metadata = tmp_path / "venv/lib/python3.12/site-packages/vllm-0.20.1.dist-info/METADATA"
    for file, text in ((program, "#!/bin/false\n"), (metadata, "Version: 0.20.1\n")):
        file.parent.mkdir(parents=True)
        file.write_text(text)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    (finding,) = on(examine(a_machine(tmp_path / "home")), "vLLM")
    assert finding.verdict is Verdict.NOTE
    assert finding.text.startswith("0.20.1 cannot serve on a slice")
    assert finding.remedy == "pip install 'vllm>=0.24.0'"
