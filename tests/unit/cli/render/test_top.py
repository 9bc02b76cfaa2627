"""The live table: what is known with its unit, what is not known as such."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gpuslice.cli.render.top import top_view
from gpuslice.model.demand import ReplicaId
from gpuslice.model.geometry import Placement
from gpuslice.monitor.snapshot import ModelRow, SliceRow, Snapshot
from terminal import screen


def a_slice_row(**changes: Any) -> SliceRow:
    """Half of an A100, a quarter full and busy."""
    row = SliceRow(
        gpu_index=0,
        gpu_instance_id=1,
        profile="3g.40gb",
        placement=Placement(0, 4),
        uuid="MIG-1",
        replica=ReplicaId("chat", 0),
        used_mib=10048,
        total_mib=40192,
        sm_utilisation=0.5,
        requests_running=2,
        tokens_per_s=1234.6,
    )
    return replace(row, **changes)


def a_snapshot(*slices: SliceRow, **changes: Any) -> Snapshot:
    models = (ModelRow(model="chat", requests_running=2, requests_per_s=0.5, tokens_per_s=1234.6),)
    shown = Snapshot(at_s=1.0, slices=slices or (a_slice_row(),), models=models, simulated=False)
    return replace(shown, **changes)


def row_of(text: str, start: str) -> list[str]:
    return next(line.split() for line in text.splitlines() if line.split()[:2] == start.split())


def test_a_slice_shows_its_memory_as_bar_and_numbers_and_how_busy_it_is() -> None:
    row = row_of(screen(top_view(a_snapshot())), "0 3g.40gb@0:4")
    assert row[2] == "chat/0"
    assert row[4:] == ["10,048", "/", "40,192", "50%", "2", "1,235"]
    assert 0.2 <= row[3].count("█") / len(row[3]) <= 0.3
    assert set(row[3]) == {"█", "░"}


def test_a_full_slice_has_a_full_bar_and_one_over_its_memory_no_longer_one() -> None:
    full = row_of(screen(top_view(a_snapshot(a_slice_row(used_mib=40192)))), "0 3g.40gb@0:4")[3]
    over = row_of(screen(top_view(a_snapshot(a_slice_row(used_mib=99999)))), "0 3g.40gb@0:4")[3]
    assert set(full) == {"█"}
    assert over == full


def test_what_is_not_known_is_a_dash_and_never_zero() -> None:
    nothing = a_slice_row(
        replica=None, used_mib=None, sm_utilisation=None, requests_running=None, tokens_per_s=None
    )
    row = row_of(screen(top_view(a_snapshot(nothing))), "0 3g.40gb@0:4")
    assert row[2] == "–"
    assert row[4:] == ["–", "/", "40,192", "n/a", "–", "–"]
    unknown = ModelRow(model="chat", requests_running=0, requests_per_s=None, tokens_per_s=None)
    text = screen(top_view(a_snapshot(models=(unknown,))))
    assert text.splitlines()[-1].split() == ["chat", "0", "–", "–"]


def test_models_show_requests_and_tokens_per_second() -> None:
    text = screen(top_view(a_snapshot()))
    assert text.splitlines()[-1].split() == ["chat", "2", "0.50", "1,235"]


def test_simulated_gpus_are_labelled_in_every_picture() -> None:
    assert "SIMULATED GPU" in screen(top_view(a_snapshot(simulated=True)))
    assert "SIMULATED" not in screen(top_view(a_snapshot()))
