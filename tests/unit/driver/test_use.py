from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gpuslice.driver.calls import Device, NvmlCalls, open_device
from gpuslice.driver.use import GpmMeter, read_use
from simulated_gpus import SimulatedGpus, simulated_gpus


class Hopper:
    """An H100 with one slice, whose counters answer what the test says. Owned by its test."""

    def __init__(self, directory: Path) -> None:
        self.machine: SimulatedGpus = simulated_gpus(directory, "h100-80gb")
        self.instance_id = self.machine.driver.create_slice(
            self.machine.planned("2g.20gb", 0)
        ).gpu_instance_id
        self.now_s = 0.0
        self.percent = 40.0
        self.metric_code = 0
        self.samples = 0
        self.nvml = NvmlCalls(self.machine.nvml)
        self.device: Device = open_device(self.nvml, self.machine.gpu.uuid)
        self.meter = GpmMeter(self.nvml, clock=lambda: self.now_s)
        for name in ("Alloc", "Free"):
            self._count(f"nvmlGpmSample{name}", 1 if name == "Alloc" else -1)
        self.machine.nvml.replace("nvmlGpmMetricsGet", self._metrics)

    def _count(self, name: str, step: int) -> None:
        original = getattr(self.machine.nvml.original, name)

        def counting(*arguments: Any) -> Any:
            self.samples += step
            return original(*arguments)

        self.machine.nvml.replace(name, counting)

    def _metrics(self, request: Any) -> Any:
        assert request.version == 1
        assert request.numMetrics == 1
        assert request.metrics[0].metricId == self.machine.nvml.NVML_GPM_METRIC_SM_UTIL
        request.metrics[0].nvmlReturn = self.metric_code
        request.metrics[0].value = self.percent
        return request

    def read(self, *, after_s: float) -> float | None:
        self.now_s += after_s
        return self.meter.read(self.device, self.instance_id)


@pytest.fixture
def hopper(tmp_path: Path) -> Hopper:
    return Hopper(tmp_path)


def test_the_first_reading_has_nothing_to_compare_with(hopper: Hopper) -> None:
    assert hopper.read(after_s=0) is None


def test_the_second_reading_is_a_share(hopper: Hopper) -> None:
    hopper.read(after_s=0)
    assert hopper.read(after_s=1) == pytest.approx(0.4)


@pytest.mark.parametrize(("percent", "share"), [(130.0, 1.0), (-3.0, 0.0), (float("nan"), None)])
def test_a_share_is_between_nothing_and_all(
    hopper: Hopper, percent: float, share: float | None
) -> None:
    hopper.read(after_s=0)
    hopper.percent = percent
    assert hopper.read(after_s=1) == share


def test_samples_too_close_together_are_not_compared(hopper: Hopper) -> None:
    hopper.read(after_s=0)
    hopper.read(after_s=1)
    hopper.percent = 90.0
    assert hopper.read(after_s=0.05) == pytest.approx(0.4)
    assert hopper.read(after_s=0.05) == pytest.approx(0.9)


def test_a_metric_the_gpu_does_not_give_is_unknown(hopper: Hopper) -> None:
    hopper.read(after_s=0)
    hopper.metric_code = hopper.machine.nvml.NVML_ERROR_NOT_SUPPORTED
    assert hopper.read(after_s=1) is None


def test_only_one_sample_per_slice_is_ever_held(hopper: Hopper) -> None:
    for _ in range(4):
        hopper.read(after_s=1)
    assert hopper.samples == 1
    hopper.meter.forget(hopper.device.uuid)
    assert hopper.samples == 0


def test_a_sample_that_cannot_be_taken_is_freed_and_forgets_the_last(hopper: Hopper) -> None:
    hopper.read(after_s=0)
    hopper.machine.nvml.fail("nvmlGpmMigSampleGet", hopper.machine.nvml.NVML_ERROR_NOT_FOUND)
    assert hopper.read(after_s=1) is None
    assert hopper.samples == 0


def test_after_a_change_of_slices_old_counters_are_not_compared_with(hopper: Hopper) -> None:
    hopper.read(after_s=0)
    hopper.meter.forget(hopper.device.uuid)
    assert hopper.read(after_s=1) is None


@pytest.mark.parametrize("through", ["slices", "mode"])
def test_the_driver_never_compares_across_a_change_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, through: str
) -> None:
    monkeypatch.setattr("gpuslice.driver.use.LEAST_INTERVAL_S", 0.0)
    machine = simulated_gpus(tmp_path, "h100-80gb")
    planned = machine.planned("2g.20gb", 0)
    made = machine.driver.create_slice(planned)
    machine.driver.read_use(made.gpu_uuid)
    compared: list[object] = []
    machine.nvml.replace("nvmlGpmMetricsGet", compared.append)
    if through == "slices":
        machine.driver.destroy_slice(made)
    else:
        simulated_gpus(tmp_path, "h100-80gb").driver.destroy_slice(made)
        machine.driver.set_mig_mode(made.gpu_uuid, enabled=False)
        machine.driver.set_mig_mode(made.gpu_uuid, enabled=True)
    again = machine.driver.create_slice(planned)
    assert again.uuid == made.uuid, "only the driver can know that it is another slice"
    assert machine.driver.read_use(made.gpu_uuid)[again.gpu_instance_id].sm_utilisation is None
    assert compared == []


def test_use_has_the_share_beside_the_memory(hopper: Hopper) -> None:
    read_use(hopper.nvml, hopper.device, hopper.meter)
    hopper.now_s += 1
    use = read_use(hopper.nvml, hopper.device, hopper.meter)[hopper.instance_id]
    assert use.sm_utilisation == pytest.approx(0.4)
    assert use.total_mib == 20096


def test_ampere_has_no_share(tmp_path: Path) -> None:
    machine = simulated_gpus(tmp_path)
    made = machine.driver.create_slice(machine.planned("2g.20gb", 0))
    for _ in range(2):
        use = machine.driver.read_use(made.gpu_uuid)
        assert use[made.gpu_instance_id].sm_utilisation is None


def test_an_index_without_a_mig_device_does_not_end_the_scan(tmp_path: Path) -> None:
    machine = simulated_gpus(tmp_path)
    made = machine.driver.create_slice(machine.planned("2g.20gb", 0))
    original = machine.nvml.original.nvmlDeviceGetMigDeviceHandleByIndex

    def with_a_hole(device: Any, index: int) -> Any:
        if index == 0:
            machine.nvml.refuse(machine.nvml.NVML_ERROR_NOT_FOUND)
        return original(device, index - 1)

    machine.nvml.replace("nvmlDeviceGetMigDeviceHandleByIndex", with_a_hole)
    assert list(machine.driver.read_use(made.gpu_uuid)) == [made.gpu_instance_id]
