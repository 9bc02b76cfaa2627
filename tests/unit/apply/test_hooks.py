"""Hooks are run as they are written, told what happens, limited in time, and never by a shell."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from builders import a_board_gpu, an_observed, with_slices
from gpuslice.apply.hooks import check_hooks, plan_as_json, run_all, run_hooks
from gpuslice.errors import HookError
from gpuslice.model.desired import Hooks
from gpuslice.model.event import Event, EventKind
from gpuslice.model.geometry import Placement
from gpuslice.model.plan import PlannedSlice
from gpuslice.planner.ordering.steps import CreateSlice, DestroySlice, DisableMig, EnableMig
from gpuslice.runtime.procfs import identify


def python(code: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code, *arguments)


def run(*commands: tuple[str, ...], plan: bytes = b"{}", timeout_s: float = 30) -> list[Event]:
    events: list[Event] = []
    run_hooks(commands, plan, events.append, stage="before", timeout_s=timeout_s)
    return events


def test_commands_run_in_order_and_get_the_plan_and_the_stage(tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = (
        "import os, sys; open(sys.argv[1], 'a').write("
        "sys.argv[2] + os.environ['GPUSLICE_HOOK'] + sys.stdin.read() + os.getcwd() + '\\n')"
    )
    events = run(python(code, str(out), "1"), python(code, str(out), "2"), plan=b"PLAN")
    assert out.read_text() == "1beforePLAN/\n2beforePLAN/\n"
    assert [event.kind for event in events] == [EventKind.STEP] * 2
    assert all(event.text.startswith("hook before: ") for event in events)


def test_nothing_of_a_command_reaches_a_shell(tmp_path: Path) -> None:
    target = tmp_path / "made-by-a-shell"
    run(python("pass", f"$(touch {target})", f"; touch {target}", f"| touch {target}"))
    assert not target.exists()


def test_the_environment_is_short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    out = tmp_path / "out"
    run(python("import os, sys; open(sys.argv[1], 'w').write(repr(set(os.environ)))", str(out)))
    assert "HF_TOKEN" not in out.read_text()
    assert "PATH" in out.read_text()


def test_a_command_that_fails_is_the_last_and_its_last_lines_are_told(tmp_path: Path) -> None:
    failing = python("import sys; print('one'); print('two', file=sys.stderr); sys.exit(3)")
    touch = python("import sys; open(sys.argv[1], 'w')", str(tmp_path / "later"))
    with pytest.raises(HookError, match="ended with status 3") as caught:
        run(failing, touch)
    assert sorted(caught.value.details) == ["one", "two"]
    assert not (tmp_path / "later").exists()


def test_a_command_that_takes_too_long_is_killed_with_all_it_has_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = (
        "import os, subprocess, sys; child = subprocess.Popen(['sleep', '600']); "
        "open(sys.argv[1], 'w').write(f'{os.getpid()} {child.pid}'); child.wait()"
    )
    with pytest.raises(HookError, match="did not end within 3 s"):
        run(python(code, str(pids)), timeout_s=3)
    leader, child = map(int, pids.read_text().split())
    assert identify(leader) is None
    assert identify(child) is None


def test_a_program_that_is_not_there_is_refused_before_anything_is_touched() -> None:
    check_hooks(Hooks(before=(("true",),), after=((sys.executable,),)))
    with pytest.raises(HookError, match="no program 'no-such-program'"):
        check_hooks(Hooks(after=(("no-such-program", "--now"),)))
    with pytest.raises(HookError, match="no program"):
        run(("no-such-program",))


def test_on_the_way_back_all_are_run_and_what_fails_is_noted(tmp_path: Path) -> None:
    events: list[Event] = []
    touch = python("import sys; open(sys.argv[1], 'w')", str(tmp_path / "later"))
    commands = (python("import sys; sys.exit('no kubelet')"), touch)
    run_all(commands, b"{}", events.append, stage="after", timeout_s=30)
    assert (tmp_path / "later").exists()
    (note,) = [event.text for event in events if event.kind is EventKind.NOTE]
    assert note.endswith("no kubelet")


def test_the_plan_is_told_as_json_step_by_step() -> None:
    gpu = with_slices(a_board_gpu(), ("2g.20gb", 0))
    planned = PlannedSlice(
        gpu_uuid="GPU-0",
        placement=Placement(4, 4),
        profile="3g.40gb",
        profile_id=9,
        memory_mib=40192,
    )
    steps = (
        EnableMig(gpu_uuid="GPU-0"),
        CreateSlice(planned=planned, replica=None),
        DestroySlice(slice=gpu.slices[0]),
        DisableMig(gpu_uuid="GPU-0"),
    )
    text = plan_as_json(steps, an_observed(gpu, simulated=True), change="up", stack="assistants")
    found = json.loads(text)
    told = [step.pop("text") for step in found["steps"]]
    assert told == [
        "GPU 0: enable MIG mode",
        "GPU 0: create 3g.40gb at 4:4",
        "GPU 0: destroy 2g.20gb at 0:2",
        "GPU 0: disable MIG mode",
    ]
    where = {"gpu": "GPU-0", "index": 0}
    assert found == {
        "version": 1,
        "change": "up",
        "stack": "assistants",
        "simulated": True,
        "steps": [
            {"do": "enable-mig", **where},
            {"do": "create", **where, "profile": "3g.40gb", "start": 4, "size": 4},
            {"do": "destroy", **where, "profile": "2g.20gb", "start": 0, "size": 2},
            {"do": "disable-mig", **where},
        ],
    }
