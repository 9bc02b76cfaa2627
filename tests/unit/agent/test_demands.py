"""From the words of a stack file to what the planner is asked."""

from __future__ import annotations

from pathlib import Path

from builders import a_board_gpu, an_observed
from gpuslice.agent.demands import demands_of, unknown_products
from gpuslice.model.demand import Demand, NamedProfile, Rate, Target
from gpuslice.model.gpu import Observed
from gpuslice.stack.load import load_stack
from gpuslice.stack.loaded import LoadedStack
from machines import write_stack

A100, A30 = "NVIDIA A100-SXM4-80GB", "NVIDIA A30"
MACHINE = an_observed(a_board_gpu(), a_board_gpu("a30", index=1))


def a_stack(folder: Path, *models: str) -> LoadedStack:
    return load_stack(write_stack(folder, *models))


def the_demand(folder: Path, keys: str, observed: Observed = MACHINE) -> Demand:
    """What a model called chat with those keys becomes."""
    loaded = a_stack(folder, f"chat: {{engine: command, command: [serve], {keys}}}", *OTHERS)
    return demands_of(loaded, observed)[0]


OTHERS = ("coder: {model: a/b, slice: 1g.10gb}", "drafts: {model: a/b, slice: 1g.10gb}")


def profiles(demand: Demand) -> list[tuple[str, str]]:
    return [(named.profile, named.board) for named in demand.profiles]


def test_a_profile_is_meant_on_every_board(tmp_path: Path) -> None:
    demand = the_demand(tmp_path, "slice: 2g.20gb, replicas: 3")
    assert demand == Demand(
        model="chat",
        replicas=3,
        profiles=(NamedProfile(profile="2g.20gb"),),
        reason="asked for by name",
    )


def test_of_several_profiles_any_will_do(tmp_path: Path) -> None:
    assert profiles(the_demand(tmp_path, "slice: [1g.10gb, 2g.20gb]")) == [
        ("1g.10gb", ""),
        ("2g.20gb", ""),
    ]


def test_products_are_found_whatever_their_case_and_with_or_without_nvidia(tmp_path: Path) -> None:
    demand = the_demand(tmp_path, "slice: {a100-sxm4-80gb: [1g.10gb, 2g.20gb], NVIDIA A30: 1g.6gb}")
    assert profiles(demand) == [("1g.10gb", A100), ("2g.20gb", A100), ("1g.6gb", A30)]


def test_a_product_that_is_not_here_keeps_its_name_and_takes_nothing_away(tmp_path: Path) -> None:
    keys = "slice: {NVIDIA H200: 1g.18gb, A30: 1g.6gb}"
    demand = the_demand(tmp_path, keys)
    assert profiles(demand) == [("1g.18gb", "NVIDIA H200"), ("1g.6gb", A30)]


def test_least_memory_and_least_compute_stand_side_by_side(tmp_path: Path) -> None:
    demand = the_demand(tmp_path, "memory: 18GiB, compute: 2")
    assert (demand.memory_mib, demand.compute_slices, demand.profiles) == (18432, 2, ())


def test_a_target_has_whole_thousandths_and_at_most_64_slices(tmp_path: Path) -> None:
    keys = "target: {requests_per_s: 12.5}, throughput: {1g.10gb: 1.2505, A30: {1g.6gb: 1}}"
    demand = the_demand(tmp_path, keys)
    assert demand.replicas == 64
    assert demand.target == Target(
        milli_per_s=12_500,
        rates=(
            Rate(named=NamedProfile(profile="1g.10gb"), milli_per_s=1251),
            Rate(named=NamedProfile(profile="1g.6gb", board=A30), milli_per_s=1000),
        ),
        unit="requests",
    )


def test_every_condition_reaches_the_planner(tmp_path: Path) -> None:
    keys = (
        "slice: 1g.10gb, priority: 7, move_cost: 0, pinned: true, spread: 2, near: coder, "
        "away: [drafts, drafts]"
    )
    demand = the_demand(tmp_path, keys)
    assert (demand.priority, demand.move_cost, demand.pinned, demand.most_per_gpu) == (
        7,
        0,
        True,
        2,
    )
    assert (demand.near, demand.away) == (("coder",), ("drafts",))


def test_a_product_that_nobody_has_heard_of_is_told(tmp_path: Path) -> None:
    loaded = a_stack(
        tmp_path,
        "chat: {model: a/b, slice: {NVIDIA H20O: 1g.18gb, NVIDIA A30: 1g.6gb, h200: 1g.18gb}}",
        "any: {model: a/b, target: {tokens_per_s: 1}, throughput: {Mine: {1g.6gb: 1}}}",
    )
    first, second = unknown_products(loaded, MACHINE)
    assert first.startswith("chat: no GPU here and no known board is called 'NVIDIA H20O'; did you")
    assert second == "any: no GPU here and no known board is called 'Mine'"
