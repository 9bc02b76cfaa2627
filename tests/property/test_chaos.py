"""A bounded part of ``make chaos``: the points where a change is most likely to be cut in half.

A share of each kind, on each family and in most scenarios, that takes some seconds. What is
enumerated and what has to hold is told in ``docs/reliability.md``.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.chaos.points import Kind, Point, Run, points
from benchmarks.chaos.scenarios import FAMILIES, SCENARIOS
from benchmarks.chaos.stage import Wings
from benchmarks.chaos.suite import attempt, batches
from benchmarks.chaos.trial import try_point, undisturbed

from gpuslice.driver.nvml import NvmlDriver
from gpuslice.model.gpu import Slice
from gpuslice.simulator.codes import Code
from gpuslice.simulator.faults import Fail, Fault

SHARES = [
    ("a100", "mixed", "write", 2),
    ("a30", "mixed", "error", 801),
    ("h100", "first-slice", "kill", 31),
    ("b200", "defragmenting", "late", 13),
    ("rtx-pro", "mode-off", "reboot", 37),
    ("h200", "teardown", "client", 9),
    ("a30", "across-gpus", "lost", 311),
    ("h100", "defragmenting", "undoing", 97),
]


@pytest.mark.parametrize(("family", "scenario", "kind", "every"), SHARES)
def test_whatever_goes_wrong_a_change_ends_at_its_start_its_goal_or_a_told_remainder(
    family: str, scenario: str, kind: str, every: int
) -> None:
    tried = 0
    for batch in batches((family,), (scenario,), frozenset({Kind(kind)}), every=every):
        count, broken = attempt(batch)
        tried += count
        assert not broken, "\n".join(map(str, broken))
    assert tried >= 3


@pytest.mark.parametrize(
    ("family", "scenario"),
    [*(("a30", name) for name in SCENARIOS), *((family, "mixed") for family in FAMILIES)],
)
def test_every_scenario_is_carried_out_when_nothing_goes_wrong(
    family: str, scenario: str, tmp_path: Path
) -> None:
    with Wings(family, scenario, tmp_path).stage() as stage:
        plain = undisturbed(stage)
    assert plain.goal != plain.start
    assert plain.run.writes >= 6, "a journal opened, every step twice, record, journal ended"


def test_every_call_is_tried_with_every_error_once_for_a_while_and_for_ever() -> None:
    run = Run(calls=("nvmlDeviceGetCount", "nvmlDeviceSetMigMode"), writes=1, held=((0, None),))
    found = list(points(run))
    errors = [p for p in found if p.kind is Kind.ERROR and p.number == 2]
    effects = [p.fault.effect for p in errors if p.fault]
    of_the_last = {effect.code for effect in effects if isinstance(effect, Fail)}
    assert {Code.UNKNOWN, Code.GPU_IS_LOST, Code.NO_PERMISSION, Code.TIMEOUT} <= of_the_last
    assert len(errors) == 3 * len(of_the_last)
    assert {p.fault.times for p in errors if p.fault} == {1, 3, None}
    kinds = {kind: sum(p.kind is kind for p in found) for kind in Kind}
    assert kinds[Kind.KILL] == kinds[Kind.REBOOT] == kinds[Kind.LOST] == 2
    assert kinds[Kind.WRITE] == 2
    assert len({str(p) for p in found}) == len(found), "each can be told from the others"


def test_a_change_that_lies_about_being_undone_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wings = Wings("a30", "mixed", tmp_path)
    with wings.stage() as stage:
        plain = undisturbed(stage)
    monkeypatch.setattr("gpuslice.apply.undo.due", lambda *_: ())
    fault = Fault(effect=Fail(Code.UNKNOWN), call="nvmlGpuInstanceDestroy")
    with wings.stage() as stage:
        lines = try_point(stage, Point(kind=Kind.ERROR, number=1, fault=fault), plain)
    assert any("called undone and is not" in line for line in lines)


def test_a_foreign_slice_that_is_made_anew_counts_as_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wings = Wings("a30", "mixed", tmp_path)
    with wings.stage() as stage:
        plain = undisturbed(stage)
        (theirs,) = stage.scene.foreign
    destroy = NvmlDriver.destroy_slice

    def careless(driver: NvmlDriver, slice_: Slice) -> None:
        destroy(driver, slice_)
        destroy(driver, theirs)

    monkeypatch.setattr(NvmlDriver, "destroy_slice", careless)
    with wings.stage() as stage:
        lines = try_point(stage, Point(kind=Kind.ERROR, number=1), plain)
    assert any("touched a foreign slice" in line for line in lines)
