"""A plan on file is carried out exactly, or not at all."""

from __future__ import annotations

from collections.abc import Callable

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


def test_a_move_that_frees_a_gpu_is_carried_out_as_it_was_planned(
    make_stand: Callable[[str], Stand],
) -> None:
    stand = make_stand("a100-80gb:2")
    served = tiny("chat", profile="3g.40gb", replicas=2)
    stand.write(served.replace("replicas", "spread: true, replicas"))
    stand.run("up", "-d", "--yes")
    stand.write(served)
    left = stand.json("plan", "--moves", "0")
    assert {server["fate"] for server in left["servers"]} == {"stays"}
    assert "1 moves" in stand.run("plan", "--out", "plan.json")

    stand.run("up", "--plan", "plan.json", "-d", "--yes")

    assert len({gpu for gpu, _, _ in stand.slices()}) == 1
    assert ask(stand.port, "chat").startswith("I am chat.")
    after = stand.json("plan")
    assert {server["fate"] for server in after["servers"]} == {"stays"}
    assert after["changes"] is False
    stand.run("down", "--mig-off")
    stand.assert_nothing_is_left()
