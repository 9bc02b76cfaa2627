"""The benchmark of the planner is worth something only if it is fair, legal and repeatable."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from benchmarks.planner import parvagpu
from benchmarks.planner.bounds import bound, fewest_moves
from benchmarks.planner.churned import drained, large_request
from benchmarks.planner.claims import standing
from benchmarks.planner.covers import Kind, cheapest_cover
from benchmarks.planner.families import Family, families
from benchmarks.planner.fleets import BOARD, empty_gpu, instance_of, named, seeded
from benchmarks.planner.fresh import fixed_profiles
from benchmarks.planner.instance import Chosen, Instance, asked, running
from benchmarks.planner.measure import PLANNER, Result, answer, complaint_about, measure, methods
from benchmarks.planner.online import Size
from benchmarks.planner.online_rows import online_rows
from benchmarks.planner.plans import Answer, as_plan
from benchmarks.planner.plot import draw
from benchmarks.planner.rivals import RIVALS
from benchmarks.planner.rows import Trial, rows
from benchmarks.planner.segments import cut, in_services
from benchmarks.planner.services import parva_case, parva_scaled
from benchmarks.planner.table import BEGIN, DOCUMENT, END, describe_run, render, write
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuslice.model.demand import Demand, NamedProfile, Rate, ReplicaId, Target

EACH_FAMILY = pytest.mark.parametrize("family", families(), ids=lambda family: family.name)
MEASURED = {1: 10.0, 2: 22.0, 3: 36.0, 4: 46.0, 7: 70.0}
"""What one slice of each size does in the data made up here: 3 yields most for its size."""


def smallest(family: Family) -> int:
    """A size for tests: few enough replicas, GPUs or services for every method."""
    return min(*family.sizes, 5 if family.group == "F2" else 8)


def trial(instance: Instance) -> Trial:
    limit = bound(instance)
    return Trial(
        name=instance.family,
        group=instance.family,
        results=tuple(measure(name, instance, limit) for name in methods(instance)),
        yardstick_s=0.01,
        priced=instance.rules.prices is not None,
    )


def service(wanted: float, model: str = "service") -> Demand:
    rates = tuple(
        Rate(named=NamedProfile(profile=parvagpu.PROFILES[size]), milli_per_s=round(1000 * rate))
        for size, rate in MEASURED.items()
    )
    return Demand(
        model=model, replicas=99, target=Target(milli_per_s=round(1000 * wanted), rates=rates)
    )


def services(*wanted: float, gpus: int = 9) -> Instance:
    rng = seeded("services", wanted)
    machine = [empty_gpu(BOARD, index, rng) for index in range(gpus)]
    demands = [service(rate, f"service-{number}") for number, rate in enumerate(wanted)]
    return instance_of("F3", "made up", 0, machine, demands, rng)


@pytest.fixture
def parva_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the form of ParvaGPU's data, with two models and six equal cases."""
    (tmp_path / "prof_data").mkdir()
    (tmp_path / "SLO").mkdir()
    for model in ("ant", "bee"):
        lines = [f"{size},1,2,{rate / 2},0.010" for size, rate in MEASURED.items()]
        lines += [f"{size},9,2,{rate},0.300" for size, rate in MEASURED.items()]
        text = "\n".join(["Mig instance,Batch size,Workload Number,Throughput,Latency", *lines])
        (tmp_path / "prof_data" / f"{model}.csv").write_text(text)
    (tmp_path / "SLO" / "SLO_latency.csv").write_text("100.9,N/A\n" * 4 + "100,1000\n" * 2)
    (tmp_path / "SLO" / "SLO_req_rate.csv").write_text("50,N/A\n" * 4 + "50,60\n" * 2)
    monkeypatch.setenv(parvagpu.VARIABLE, str(tmp_path))
    return tmp_path


@EACH_FAMILY
def test_equal_seeds_draw_equal_instances_and_others_do_not(family: Family) -> None:
    drawn = family.draw(smallest(family), 1)

    assert drawn == family.draw(smallest(family), 1)
    assert family.name.startswith(("F3", "F4")) or drawn != family.draw(smallest(family), 2)


@EACH_FAMILY
def test_plans_pass_the_checker_respect_the_bounds_and_none_stands_better_than_the_planners(
    family: Family,
) -> None:
    tried = trial(family.draw(smallest(family), 0))

    for result in tried.results:
        assert not result.complaint, result.method
        assert result.accepted <= result.at_most, result.method
        assert result.above is None or result.above >= 0, result.method
        assert not tried.better(result), result.method
        if result.cost == tried.own.cost and result.accepted == tried.own.accepted:
            assert tried.own.moved_bound is None or result.moved >= tried.own.moved_bound


def test_a_plan_that_puts_a_replica_on_a_drained_gpu_is_not_legal() -> None:
    instance = drained(0.25, 8, 0)
    slice_ = running(instance)[instance.arrivals[0]]
    position = [gpu.uuid for gpu in instance.observed.gpus].index(slice_.gpu_uuid)
    back = Chosen(
        replica=instance.arrivals[0],
        gpu=position,
        profile=slice_.profile,
        placement=slice_.placement,
    )

    assert not complaint_about(instance, as_plan(instance, Answer(chosen=[])))
    assert complaint_about(instance, as_plan(instance, Answer(chosen=[back])))


def test_the_least_number_of_moves_serves_a_large_request_that_no_rule_can_serve() -> None:
    instance = large_request(4, 4, 0)
    limit = bound(instance)
    needed = fewest_moves(instance)

    assert needed == instance.rules.most_moves == 2
    assert measure("first fit", instance, limit).accepted == 0
    assert measure("sorted best fit", instance, limit).accepted == 0
    assert measure("assignment", instance, limit).moves >= needed
    ours = measure(PLANNER, instance, limit)
    assert (ours.accepted, ours.moves) == (1, needed)


def test_a_target_is_cut_into_its_best_slices_and_the_smallest_that_covers_the_rest() -> None:
    gpu = empty_gpu(BOARD, 0, seeded())

    def sizes(wanted: float) -> list[int]:
        return [segment.compute_slices for segment in cut(service(wanted), gpu)]

    assert sizes(36 + 36 + 9) == [3, 3, 1]
    assert sizes(36 + 15) == [3, 2]
    assert sizes(36 + 36) == [3, 3]  # a whole multiple still has a rest, that of one slice
    assert sizes(5) == [1]


def test_a_service_that_is_not_complete_gets_nothing() -> None:
    instance = services(36 + 36, 5)
    at = empty_gpu(BOARD, 0, seeded()).geometry
    assert at is not None
    three, one = at.named("3g.40gb"), at.named("1g.10gb")
    assert three is not None
    assert one is not None
    chosen = [
        Chosen(
            replica=ReplicaId(f"service-{number}|x|y", 0),
            gpu=number,
            profile=profile.name,
            placement=profile.placements[0],
        )
        for number, profile in enumerate((three, one))
    ]

    kept = in_services(instance, chosen)

    assert [choice.replica for choice in kept] == [ReplicaId("service-1", 0)]


def test_parvagpu_never_puts_two_slices_of_three_on_one_gpu_and_breaks_sparse_ones_up() -> None:
    together = {
        tuple(sorted(part.profile for part in gpu_plan.create))
        for wanted in ([36] * 4, [36 + 22, 36 + 46, 46], [70, 70, 36])
        for made, _ in [answer("ParvaGPU", services(*map(float, wanted)))]
        for gpu_plan in made.gpus
    }

    assert not any(names.count("3g.40gb") > 1 for names in together)
    assert ("3g.40gb",) not in together


@settings(deadline=None, derandomize=True, max_examples=80)
@given(
    kinds=st.lists(
        st.tuples(st.integers(1, 30), st.integers(0, 20)), min_size=1, max_size=3, unique=True
    ),
    wanted=st.integers(1, 60),
)
def test_the_cheapest_cover_is_the_cheapest(kinds: list[tuple[int, int]], wanted: int) -> None:
    found = cheapest_cover([Kind(rate, float(price)) for rate, price in kinds], wanted)
    most = [-(-wanted // rate) for rate, _ in kinds]
    prices = [
        sum(copies * price for copies, (_, price) in zip(counts, kinds, strict=True))
        for counts in product(*(range(number + 1) for number in most))
        if sum(n * rate for n, (rate, _) in zip(counts, kinds, strict=True)) >= wanted
    ]

    assert found.price == pytest.approx(min(prices))
    reached = sum(n * rate for n, (rate, _) in zip(found.counts, kinds, strict=True))
    assert reached >= wanted


def test_without_parvagpus_data_its_families_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(parvagpu.VARIABLE, raising=False)

    assert {family.group for family in families()}.isdisjoint({"F3", "F4"})


def test_parvagpus_data_are_read_as_its_program_reads_them(parva_data: Path) -> None:
    (only,) = parvagpu.case(1)
    both = parvagpu.case(5)

    assert parva_data.is_dir()
    assert only.target is not None
    assert only.target.milli_per_s == 50_000
    # Two processes of half the throughput each; the larger batch takes 300 ms, over 0.45 of 100.
    assert [rate.milli_per_s for rate in only.target.rates] == [
        round(1000 * rate) for rate in MEASURED.values()
    ]
    assert [demand.model for demand in both] == ["ant", "bee"]
    assert both[1].target is not None
    assert both[1].target.rates[0].milli_per_s == 20_000  # 300 ms are under 0.45 of 1,000


def test_services_are_met_by_every_rival_and_by_the_planner(parva_data: Path) -> None:
    assert parva_data.is_dir()
    for instance in (parva_case(5, 0), parva_scaled(6, 0)):
        tried = trial(instance)

        assert {"ParvaGPU", "MIG-Serving greedy"} <= {result.method for result in tried.results}
        for result in tried.results:
            assert not result.complaint, result.method
            assert result.accepted == asked(instance.demands), result.method
            assert result.above is not None, result.method
            assert result.above >= 0, result.method
            assert not tried.better(result), result.method


def test_every_rival_is_tried_somewhere(parva_data: Path) -> None:
    assert parva_data.is_dir()
    tried = {name for family in families() for name in methods(family.draw(smallest(family), 0))}

    assert set(RIVALS) <= tried


def test_a_plan_that_stops_a_replica_for_nothing_stands_worse() -> None:
    rng = seeded("stopping")
    machine = [empty_gpu(BOARD, 0, rng)]
    instance = instance_of("F1", "1 GPU", 0, machine, [named("1g.10gb", 1)], rng)
    served_, _ = answer("first fit", instance)
    nothing = as_plan(instance, Answer(chosen=[]))

    assert standing(instance, served_) < standing(instance, nothing)


def test_the_table_has_a_row_for_each_size_and_each_rival_and_says_who_is_better() -> None:
    tried = [trial(fixed_profiles(size, 0)) for size in (4, 6)]
    table = render(rows(tried, {})).splitlines()

    rivals = {result.method for one in tried for result in one.results[1:]}
    assert len(table) == 2 + len(tried) + len(rivals)
    assert len({row.count("|") for row in table}) == 1
    assert "0 stand better than the planner's" in describe_run(tried)


def test_what_stands_around_the_table_is_left_alone(tmp_path: Path) -> None:
    document = tmp_path / "document.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")

    write("new", document)

    assert document.read_text(encoding="utf-8") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"


def test_the_document_has_a_place_for_the_table() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")

    assert text.index(BEGIN) < text.index(END)


def test_the_picture_names_every_line(parva_data: Path) -> None:
    assert parva_data.is_dir()
    tried = [trial(fixed_profiles(size, 0)) for size in (4, 6)]
    root = ET.fromstring(draw(tried))

    words = {element.text for element in texts(root)}
    assert {PLANNER, "first fit", "nos", "replicas"} <= words
    assert draw([]).startswith("<svg")


def texts(root: ET.Element) -> Iterator[ET.Element]:
    return root.iter("{http://www.w3.org/2000/svg}text")


def test_single_requests_are_asked_of_every_policy_for_both_questions() -> None:
    found = online_rows(Size(gpus=2, fillings=1, churns=1, requests=5, settling=0))

    assert {row.family for row in found} == {"F8 filling", "F8 90% load"}
    assert len(found) == 2 * len({row.method for row in found})
    assert found[0].method == PLANNER


def test_a_result_without_a_bound_is_not_above_it() -> None:
    result = measure("first fit", fixed_profiles(4, 0), bound(fixed_profiles(4, 0)))

    assert isinstance(result, Result)
    assert result.above is not None
    assert result.unproved == "replicas served"
