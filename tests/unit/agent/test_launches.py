"""Which servers should run, from what is recorded and what exists."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders import (
    a_board_gpu,
    a_desired,
    a_desired_model,
    a_record,
    a_slice,
    an_observed,
    owned,
    with_slices,
)
from gpuslice.agent.launches import (
    Host,
    cpu_threads,
    missing_slices,
    server_launches,
)
from gpuslice.model.desired import Record
from gpuslice.model.geometry import Placement

HOST = Host(python="/opt/python", cpu_count=16)
GPU = with_slices(a_board_gpu(), ("2g.20gb", 0), ("1g.10gb", 2), ("3g.40gb", 4))
LEFT, MIDDLE, RIGHT = GPU.slices
OBSERVED = an_observed(GPU)


def names(record: Record) -> list[str]:
    return [str(launch.replica) for launch in server_launches(record, OBSERVED, HOST)]


def test_every_owned_slice_with_a_replica_gets_its_server_by_replica() -> None:
    record = a_record(owned(RIGHT, "chat", 1), owned(LEFT, "chat", 0), owned(MIDDLE))
    launches = server_launches(record, OBSERVED, HOST)
    assert [(str(one.replica), one.slice_uuid, one.port) for one in launches] == [
        ("chat/0", LEFT.uuid, 20002),
        ("chat/1", RIGHT.uuid, 20001),
    ]
    assert launches[0].command == ("my-server", "20002", "chat")
    assert {one.stack for one in launches} == {"assistants"}


def test_memory_and_uuid_are_those_of_the_slice_that_is_there() -> None:
    model = a_desired_model(command=("serve", "{memory_mib}", "{uuid}"))
    record = a_record(owned(LEFT, "chat"), desired=a_desired(model))
    (launch,) = server_launches(record, OBSERVED, HOST)
    assert launch.command == ("serve", str(LEFT.memory_mib), LEFT.uuid)
    assert ("CUDA_VISIBLE_DEVICES", LEFT.uuid) in launch.environment


def test_without_a_stack_nothing_should_run() -> None:
    record = a_record(owned(LEFT, "chat"), desired=None)
    assert names(record) == []
    assert missing_slices(record, OBSERVED) == ()


def test_slices_of_another_stack_of_ours_get_no_server() -> None:
    other = replace(owned(RIGHT, "chat", 1), stack="other")
    record = a_record(owned(LEFT, "chat"), other)
    assert names(record) == ["chat/0"]
    assert missing_slices(a_record(replace(other, slice=a_slice().key)), OBSERVED) == ()


def test_a_slice_that_has_gone_gets_no_server_and_is_named() -> None:
    gone = owned(replace(LEFT, gpu_instance_id=99), "chat")
    record = a_record(gone, owned(RIGHT, "chat", 1))
    assert names(record) == ["chat/1"]
    assert missing_slices(record, OBSERVED) == (gone,)


def test_a_half_made_slice_counts_as_gone() -> None:
    half = with_slices(a_board_gpu(), ("2g.20gb", 0), half_made=(0,))
    record = a_record(owned(half.slices[0], "chat"))
    assert server_launches(record, an_observed(half), HOST) == ()
    assert missing_slices(record, an_observed(half)) == record.owned


def test_a_slice_without_a_port_or_of_a_model_no_longer_wanted_gets_no_server() -> None:
    assert names(a_record(owned(LEFT, "chat"), ports=())) == []
    assert names(a_record(owned(LEFT, "old"))) == []


@pytest.mark.parametrize(
    ("size", "cpus", "threads"), [(8, 16, 16), (4, 16, 8), (2, 16, 4), (1, 16, 2), (1, 4, 1)]
)
def test_a_cpu_engine_gets_the_share_of_the_processors_that_its_slice_has(
    size: int, cpus: int, threads: int
) -> None:
    assert cpu_threads(a_slice(placement=Placement(0, size)), GPU, cpus) == threads


def test_the_share_of_the_processors_reaches_the_engine() -> None:
    model = a_desired_model(engine="llama.cpp", source="/models/m.gguf", command=())
    record = a_record(owned(LEFT, "chat"), desired=a_desired(model))
    (launch,) = server_launches(record, OBSERVED, HOST)
    assert launch.command[0] == "/opt/python"
    at = launch.command.index("--threads")
    assert launch.command[at + 1] == "4"
