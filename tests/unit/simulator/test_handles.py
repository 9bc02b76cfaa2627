"""Handles: equal for equal things, and dead for good once forgotten."""

from __future__ import annotations

import dataclasses

from gpuslice.simulator.handles import HandleTable, Kind, Meaning

GPU = Meaning(kind=Kind.GPU, gpu_uuid="GPU-a", epoch=0)


def test_equal_meanings_have_equal_handles() -> None:
    table = HandleTable()

    assert table.give(GPU) == table.give(dataclasses.replace(GPU))
    assert table.meaning(table.give(GPU)) == GPU


def test_an_object_of_another_epoch_or_serial_has_another_handle() -> None:
    table = HandleTable()
    others = [dataclasses.replace(GPU, epoch=1), dataclasses.replace(GPU, serial=1)]

    assert len({table.give(one) for one in (GPU, *others)}) == 3


def test_a_forgotten_handle_is_never_given_again() -> None:
    table = HandleTable()
    old = table.give(GPU)

    table.forget()

    assert table.give(GPU) != old
    assert table.meaning(old) is None
    assert table.meaning(0) is None
