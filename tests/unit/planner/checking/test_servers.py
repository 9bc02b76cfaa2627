"""What a plan says of each server follows from records, seats and the order of steps."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders import a_board_gpu, a_demand, an_observed, owned, with_slices
from gpuslice.model.demand import ReplicaId, Rules
from gpuslice.model.gpu import Gpu
from gpuslice.model.plan import Fate, Plan, ServerPlan
from plans_by_hand import Given, Seating, by_hand, planned

# Of five servers one stays, one moves, one stops, one has to leave its GPU, and one is new.
GPU = with_slices(a_board_gpu(), ("1g.10gb", 0), ("2g.20gb", 2), ("1g.10gb", 6))
DRAINED = with_slices(a_board_gpu(index=1), ("2g.20gb", 0))
FREE = a_board_gpu(index=2)
GIVEN = Given(
    observed=an_observed(GPU, DRAINED, FREE),
    demands=(a_demand("a", "1g.10gb"), a_demand("b", replicas=3)),
    owned=(
        owned(GPU.slices[0], "a"),
        owned(GPU.slices[1], "b", 0),
        owned(GPU.slices[2], "gone"),
        owned(DRAINED.slices[0], "b", 1),
    ),
    rules=Rules(drained=frozenset({"GPU-1"})),
)
GOOD = by_hand(
    GIVEN,
    {
        "a/0": GPU.slices[0],
        "b/0": planned(FREE, "2g.20gb", 0),
        "b/1": planned(FREE, "2g.20gb", 2),
        "b/2": planned(FREE, "2g.20gb", 4),
    },
)
NUMBERS = {str(server.replica): number for number, server in enumerate(GOOD.servers)}


def said(name: str, **changes: object) -> Plan:
    """The plan with something else said of one server."""
    servers = list(GOOD.servers)
    number = NUMBERS[name]
    servers[number] = replace(servers[number], **changes)  # type: ignore[arg-type] # names are checked at run time
    return replace(GOOD, servers=tuple(servers))


def test_the_plan_that_is_spoilt_below_is_good_and_has_every_fate() -> None:
    assert GIVEN.complaints(GOOD) == ()
    assert {str(server.replica): server.fate for server in GOOD.servers} == {
        "a/0": Fate.STAYS,
        "b/0": Fate.MOVES,
        "b/1": Fate.MOVES,
        "b/2": Fate.STARTS,
        "gone/0": Fate.STOPS,
    }


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("fate", Fate)
def test_a_wrong_fate_is_found(name: str, fate: Fate) -> None:
    true = GOOD.servers[NUMBERS[name]].fate
    told = any(
        f"the server of {name} {true}" in line for line in GIVEN.complaints(said(name, fate=fate))
    )
    assert told == (fate is not true)


@pytest.mark.parametrize("name", ["a/0", "b/0", "b/1", "gone/0"])
def test_an_origin_that_is_another_slice_or_none_is_found(name: str) -> None:
    true = GOOD.servers[NUMBERS[name]].origin
    for wrong in (None, *(s for s in (*GPU.slices, *DRAINED.slices) if s != true)):
        complaints = GIVEN.complaints(said(name, origin=wrong))
        assert any(line.startswith(f"the server of {name} ") for line in complaints)


def test_a_pause_that_is_none_is_found() -> None:
    complaints = GIVEN.complaints(said("b/0", pause=True))
    assert (
        "the server of b/0 moves from 2:2 of GPU-0, not: moves from 2:2 of GPU-0 with a pause"
        in complaints
    )


@pytest.mark.parametrize("name", NUMBERS)
def test_a_server_left_out_is_found(name: str) -> None:
    servers = tuple(server for server in GOOD.servers if str(server.replica) != name)
    complaints = GIVEN.complaints(replace(GOOD, servers=servers))
    assert f"the server of {name} is not listed" in complaints


def test_a_server_listed_twice_is_found() -> None:
    spoilt = replace(GOOD, servers=(GOOD.servers[0], *GOOD.servers))
    assert "the server of a/0 is listed twice" in GIVEN.complaints(spoilt)


def test_a_server_of_nobody_is_found() -> None:
    nobody = ServerPlan(replica=ReplicaId("z", 0), fate=Fate.STOPS)
    spoilt = replace(GOOD, servers=(*GOOD.servers, nobody))
    assert GIVEN.complaints(spoilt) == (
        "the server of z/0 is listed, but neither runs nor will run",
    )


def test_the_record_of_a_slice_that_is_gone_makes_no_server() -> None:
    records = (*GIVEN.owned, owned(with_slices(FREE, ("2g.20gb", 0)).slices[0], "b", 2))
    assert replace(GIVEN, owned=records).complaints(GOOD) == ()


def two_gpus() -> tuple[Gpu, Gpu]:
    return with_slices(a_board_gpu(), ("1g.10gb", 0), ("1g.10gb", 1)), a_board_gpu(index=1)


def pauses(given: Given, seating: Seating, *expected: str) -> bool:
    """Whether the plan is good when exactly those pause."""
    return given.complaints(by_hand(given, seating, pausing=expected)) == ()


def test_who_moves_into_the_room_of_its_own_slice_pauses() -> None:
    gpu = with_slices(a_board_gpu("a30"), ("4g.24gb", 0))
    given = Given(
        observed=an_observed(gpu),
        demands=(a_demand("a", "2g.12gb", 2),),
        owned=(owned(gpu.slices[0], "a"),),
    )
    seating: Seating = {"a/0": planned(gpu, "2g.12gb", 0), "a/1": planned(gpu, "2g.12gb", 2)}
    assert pauses(given, seating, "a/0")
    assert not pauses(given, seating)
    assert not pauses(given, seating, "a/0", "a/1")


def test_who_moves_where_there_is_room_does_not_pause() -> None:
    gpu, other = two_gpus()
    given = Given(
        observed=an_observed(gpu, other),
        demands=(a_demand("a", "1g.10gb"),),
        owned=(owned(gpu.slices[0], "a"), owned(gpu.slices[1])),
    )
    for new in (planned(other, "1g.10gb", 0), gpu.slices[1]):
        assert pauses(given, {"a/0": new})
        assert not pauses(given, {"a/0": new}, "a/0")


def test_who_takes_over_a_slice_waits_for_its_tenant_to_leave() -> None:
    # b leaves for a slice that needs the room of a's old one, and a takes over b's.
    gpu = with_slices(a_board_gpu("a30"), ("2g.12gb", 0), ("1g.6gb", 2))
    given = Given(
        observed=an_observed(gpu),
        demands=(a_demand("a", "1g.6gb"), a_demand("b", "2g.12gb")),
        owned=(owned(gpu.slices[0], "a"), owned(gpu.slices[1], "b")),
    )
    seating: Seating = {"a/0": gpu.slices[1], "b/0": planned(gpu, "2g.12gb", 0)}
    assert pauses(given, seating, "a/0")
    assert not pauses(given, seating)
    assert not pauses(given, seating, "b/0")


def test_one_of_a_ring_of_moves_pauses_and_that_is_the_first() -> None:
    gpu, _ = two_gpus()
    given = Given(
        observed=an_observed(gpu),
        demands=(a_demand("a", "1g.10gb"), a_demand("b", "1g.10gb")),
        owned=(owned(gpu.slices[0], "b"), owned(gpu.slices[1], "a")),
    )
    swapped: Seating = {"a/0": gpu.slices[0], "b/0": gpu.slices[1]}
    assert pauses(given, swapped, "a/0")
    assert not pauses(given, swapped)
    assert not pauses(given, swapped, "b/0")
