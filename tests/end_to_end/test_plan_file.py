"""A plan on file is carried out exactly, or not at all."""

from __future__ import annotations

from end_to_end.conftest import Stand, tiny
from end_to_end.test_stack import ask, make_foreign_slice


def test_a_plan_on_file_goes_up_without_the_stack_file_and_comes_down(stand: Stand) -> None:
    file = stand.write(f"{tiny('chat', profile='2g.20gb')}\n{tiny('coder', profile='3g.40gb')}")
    stand.run("plan", "--out", "plan.json")
    planned = {
        (seat["created"]["profile"], seat["created"]["placement"]["start"])
        for seat in stand.json("plan")["seats"]
    }
    file.unlink()

    stand.run("up", "--plan", "plan.json", "-d", "--yes")

    assert {(profile, int(at.partition(":")[0])) for _, profile, at in stand.slices()} == planned
    assert ask(stand.port, "coder").startswith("I am coder.")
    stand.run("down", "--mig-off")
    stand.assert_nothing_is_left()


def test_a_plan_on_file_is_refused_once_a_foreign_slice_has_appeared(stand: Stand) -> None:
    stand.write(tiny("chat", profile="2g.20gb"))
    stand.run("plan", "--out", "plan.json")
    make_foreign_slice(stand, "1g.10gb")
    before = stand.slices()

    refused = stand.run("up", "--plan", "plan.json", "-d", "--yes", expect=7)

    assert "state-moved" in refused
    assert stand.slices() == before
    assert stand.processes() == []
