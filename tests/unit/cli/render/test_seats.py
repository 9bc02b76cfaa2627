"""Who gets which slice, and what a model needs, in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpuslice.cli.render.seats import needs_text, seats_summary, seats_table
from gpuslice.model.demand import Demand, NamedProfile, Rate, Target
from gpuslice.model.plan import Fate
from proposals import a_planned, a_proposal, a_server, chats, on_new_slices
from terminal import screen

SMALL, LARGE = NamedProfile(profile="1g.10gb"), NamedProfile(profile="2g.20gb")
ON_A30 = tuple(NamedProfile(profile=p, board="NVIDIA A30") for p in ("1g.6gb", "2g.12gb"))
ON_H200 = NamedProfile(profile="1g.18gb", board="NVIDIA H200")


@pytest.mark.parametrize(
    ("demand", "said"),
    [
        ({"profiles": (SMALL,), "reason": "asked for by name"}, "1g.10gb, asked for by name"),
        (
            {"profiles": (SMALL, LARGE), "reason": "asked for by name"},
            "1g.10gb or 2g.20gb, asked for by name",
        ),
        (
            {"profiles": (ON_A30[0], ON_H200, ON_A30[1]), "reason": "asked for by name"},
            "1g.6gb or 2g.12gb on NVIDIA A30; 1g.18gb on NVIDIA H200, asked for by name",
        ),
        ({"memory_mib": 18432, "reason": "as `memory:` says"}, "18,432 MiB: as `memory:` says"),
        (
            {"memory_mib": 18432, "compute_slices": 2, "reason": "as `memory:` says"},
            "18,432 MiB and 2 compute slices: as `memory:` says",
        ),
        (
            {
                "target": Target(
                    milli_per_s=900_000,
                    rates=(
                        Rate(named=SMALL, milli_per_s=120_500),
                        Rate(named=ON_H200, milli_per_s=1_260_000),
                    ),
                )
            },
            "900 tokens/s; 1g.10gb gives 120.5, 1g.18gb on NVIDIA H200 gives 1,260",
        ),
        (
            {
                "target": Target(
                    milli_per_s=900_000,
                    rates=(Rate(named=SMALL, milli_per_s=120_000, least_percent=70),),
                )
            },
            "900 tokens/s, by estimate",
        ),
        (
            {
                "profiles": (LARGE,),
                "reason": "asked for by name",
                "priority": 10,
                "pinned": True,
                "most_per_gpu": 1,
                "near": ("a",),
                "away": ("b", "c"),
            },
            (
                "2g.20gb, asked for by name; priority 10, pinned, at most 1 on a GPU, near a, "
                "away from b, c"
            ),
        ),
    ],
)
def test_a_need_is_told_with_all_its_conditions(demand: dict[str, object], said: str) -> None:
    made = Demand(model="chat", replicas=1, **demand)  # type: ignore[arg-type] # any field
    assert needs_text(made) == said


def test_each_replica_has_its_slice_and_what_becomes_of_its_server() -> None:
    plan = on_new_slices(a_planned(), a_planned(start=4))
    origin = None
    moved = replace(plan, servers=(plan.servers[0], a_server(Fate.MOVES, origin, replica=1)))
    shown = screen(seats_table(a_proposal(moved, demands=chats(2)))).splitlines()
    assert [line.split()[-1] for line in shown] == ["server", "starts", "moves"]


def test_many_replicas_are_added_up_by_profile_and_fate() -> None:
    plan = on_new_slices(*(a_planned(gpu=n) for n in range(9)))
    servers = (*plan.servers[:7], *(a_server(Fate.MOVES, replica=n) for n in (7, 8)))
    shown = screen(seats_summary(a_proposal(replace(plan, servers=servers), demands=chats(9))))
    head, row = (line.split() for line in shown.splitlines())
    assert head[-3:] == ["replicas", "start", "move"]
    assert row[-3:] == ["9", "7", "2"]
