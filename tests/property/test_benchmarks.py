"""The benchmark of the planner is worth something only if it is fair, legal and repeatable."""

from __future__ import annotations

import pytest
from benchmarks.planner.bounds import bound
from benchmarks.planner.claims import with_claims
from benchmarks.planner.families import Family, drained, families, fixed_profiles, large_request
from benchmarks.planner.instance import Chosen, as_plan, running
from benchmarks.planner.measure import PLANNER, is_legal, measure, methods, summarise
from benchmarks.planner.suite import BEGIN, DOCUMENT, END, Line, render

EACH_FAMILY = pytest.mark.parametrize("family", families(), ids=lambda family: family.name)


def smallest(family: Family) -> int:
    return min(*family.sizes, 8)


@EACH_FAMILY
def test_equal_seeds_draw_equal_instances_and_others_do_not(family: Family) -> None:
    drawn = family.draw(smallest(family), 1)

    assert drawn == family.draw(smallest(family), 1)
    assert drawn != family.draw(smallest(family), 2)


@EACH_FAMILY
def test_plans_pass_the_checker_respect_the_bounds_and_serve_no_more_than_the_planner(
    family: Family,
) -> None:
    instance = family.draw(smallest(family), 0)
    limit = bound(instance)
    results = {name: measure(name, instance, limit) for name in methods(instance)}

    for name, result in results.items():
        assert result.legal, name
        assert result.served <= results[PLANNER].served, name
        assert result.served <= result.serveable, name
        assert result.gap is None or result.gap >= 0, name


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

    assert is_legal(instance, with_claims(instance, as_plan(instance, [])))
    assert not is_legal(instance, with_claims(instance, as_plan(instance, [back])))


def test_moving_serves_a_large_request_that_no_rule_without_moves_can_serve() -> None:
    instance = large_request(4, 4, 0)
    limit = bound(instance)

    assert measure("first fit", instance, limit).served == 0
    assert measure("sorted best fit", instance, limit).served == 0
    assert measure(PLANNER, instance, limit).served == 1


def test_the_table_has_a_row_for_each_method_of_each_size() -> None:
    instance = fixed_profiles("even", 6, 0)
    limit = bound(instance)
    lines = [
        Line("F1", "6", name, summarise([measure(name, instance, limit)]), yardstick_s=0.01)
        for name in methods(instance)
    ]
    table = render(lines).splitlines()

    assert len(table) == 2 + len(methods(instance))
    assert len({row.count("|") for row in table}) == 1


def test_the_document_has_a_place_for_the_table() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")

    assert text.index(BEGIN) < text.index(END)
