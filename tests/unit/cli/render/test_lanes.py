"""Thousands of GPUs become few lanes, and no lane says more than is true of all its GPUs."""

from __future__ import annotations

from builders import a_board_gpu, a_desired, a_record, an_observed, owned, with_slices
from gpuslice.agent.proposal import Proposal
from gpuslice.cli.render.lanes import MANY_GPUS, MOST_LANES, in_words, lanes_of
from gpuslice.cli.render.picture import Fate
from gpuslice.model.demand import Demand
from gpuslice.model.gpu import Gpu
from gpuslice.model.plan import Owned
from gpuslice.planner.plan import plan
from proposals import chats
from terminal import screen


def a_proposal(gpus: list[Gpu], demands: tuple[Demand, ...], *ours: Owned) -> Proposal:
    observed = an_observed(*gpus)
    return Proposal(
        desired=a_desired(),
        demands=demands,
        record=a_record(*ours),
        observed=observed,
        plan=plan(observed, demands, ours),
    )


def test_up_to_eight_gpus_each_has_its_lane() -> None:
    lanes = lanes_of(a_proposal([a_board_gpu(index=n) for n in range(MANY_GPUS)], chats(2)))
    assert len(lanes.shown) == MANY_GPUS
    assert not lanes.grouped


def test_more_gpus_are_grouped_by_product_and_layout() -> None:
    gpus = [a_board_gpu("a100-80gb" if n % 2 else "a30", index=n) for n in range(10)]
    lanes = lanes_of(a_proposal(gpus, chats(2)))
    assert [(lane.heading, lane.detail) for lane in lanes.shown] == [
        ("5 × NVIDIA A30  MIG on", "no slices  (GPU 0, 2, 4, 6, 8)"),
        ("1 × NVIDIA A100-SXM4-80GB  MIG on", "2 come  (GPU 1)"),
        ("4 × NVIDIA A100-SXM4-80GB  MIG on", "no slices  (GPU 3, 5, 7, 9)"),
    ]


def test_a_group_counts_what_stays_comes_goes_and_is_not_ours() -> None:
    gpus = [with_slices(a_board_gpu(index=n), ("3g.40gb", 0), ("1g.10gb", 4)) for n in range(9)]
    gpus = [with_slices(gpu, ("1g.10gb", 6)) for gpu in gpus]
    stays = [owned(gpu.slices[0], "chat", n) for n, gpu in enumerate(gpus)]
    goes = [owned(gpu.slices[1], "old", n) for n, gpu in enumerate(gpus)]
    (lane,) = lanes_of(a_proposal(gpus, chats(9), *stays, *goes)).shown
    assert lane.detail == "9 stay, 9 go, 9 of somebody else  (GPU 0–8)"
    assert [(c.label, c.fate) for c in lane.after] == [
        ("chat 3g.40gb", Fate.STAYS),
        ("1g.10gb", Fate.FOREIGN),
    ]


def test_a_place_that_comes_on_some_and_stays_on_others_has_its_own_sign() -> None:
    empty = [a_board_gpu(index=n) for n in range(9)]
    gpus = [with_slices(gpu, ("7g.80gb", 0)) if gpu.index < 3 else gpu for gpu in empty]
    ours = [owned(gpu.slices[0], "chat", n) for n, gpu in enumerate(gpus[:3])]
    (lane,) = lanes_of(a_proposal(gpus, chats(9, "7g.80gb"), *ours)).shown
    assert lane.detail == "3 stay, 6 come  (GPU 0–8)"
    assert [cell.fate for cell in lane.after] == [Fate.MIXED]


def test_a_place_names_a_model_only_when_it_is_the_same_everywhere() -> None:
    demands = (*chats(9, "7g.80gb"), *chats(9, "7g.80gb", model="coder"))
    (lane,) = lanes_of(a_proposal([a_board_gpu(index=n) for n in range(18)], demands)).shown
    assert [cell.label for cell in lane.after] == ["7g.80gb"]


def test_layouts_beyond_the_readable_are_counted_with_their_gpus() -> None:
    layouts = [
        [("1g.10gb", start) for start in range(7) if bits >> start & 1] for bits in range(1, 31)
    ]
    gpus = [with_slices(a_board_gpu(index=n), *places) for n, places in enumerate(layouts)]
    lanes = lanes_of(a_proposal(gpus, ()))
    assert len(lanes.shown) == MOST_LANES
    assert lanes.left_out == f"and {len(gpus) - MOST_LANES} more layouts on 6 GPUs"


def test_indexes_are_written_as_ranges_and_not_without_end() -> None:
    assert in_words([3, 1, 2, 7]) == "1–3, 7"
    assert in_words(range(0, 40, 2)) == "0, 2, 4, 6, 8, 10 and 14 more"


def test_a_large_plan_shows_who_finds_no_slice() -> None:
    from gpuslice.cli.render.plan import plan_view

    shown = screen(plan_view(a_proposal([a_board_gpu(index=n) for n in range(9)], chats(20))))
    row = next(line.split() for line in shown.splitlines() if "no slice" in line)
    assert row[-3:] == ["no", "slice", "2"]
