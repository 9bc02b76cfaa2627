"""A stack from file to answers and back, by the real command line on a simulated machine."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable

import pytest

from end_to_end.conftest import Stand, listens, tiny


def ask(port: int, model: str, key: str = "") -> str:
    """Ask the endpoint once, as any OpenAI client would."""
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions", json.dumps(body).encode(), headers
    )
    with urllib.request.urlopen(request, timeout=20) as response:
        return str(json.load(response)["choices"][0]["message"]["content"])


def pids(stand: Stand) -> dict[str, int]:
    """Process id of every server, by replica, and of the gateway."""
    shown = stand.json("ps")
    found = {f"{s['model']}/{s['replica']}": s["pid"] for s in shown["servers"]}
    return {**found, "gateway": shown["gateway"]["pid"]}


def test_a_stack_goes_up_answers_by_name_and_comes_down_without_a_trace(stand: Stand) -> None:
    stand.write(f"{tiny('chat', profile='2g.20gb')}\n{tiny('coder', profile='3g.40gb')}")

    shown = stand.run("up", "-d", "--yes")

    assert f"http://127.0.0.1:{stand.port}/v1" in shown
    assert "SIMULATED" in shown
    assert {(p, at) for _, p, at in stand.slices()} == {("2g.20gb", "0:2"), ("3g.40gb", "4:4")}
    assert ask(stand.port, "chat").startswith("I am chat.")
    assert ask(stand.port, "coder").startswith("I am coder.")
    assert "I am coder." in stand.run("ask", "coder", "hi")
    both = stand.run("ask", "--all", "hi")
    assert "I am chat." in both
    assert "I am coder." in both
    stand.run("down", "--mig-off")
    stand.assert_nothing_is_left()


def test_down_leaves_the_slices_and_the_next_up_takes_them_over(stand: Stand) -> None:
    stand.write(tiny("chat"))
    stand.run("up", "-d", "--yes")
    before = stand.slices()

    shown = stand.run("down")

    assert "1g.10gb" in shown
    assert stand.slices() == before
    stand.run("up", "-d", "--yes")
    assert stand.slices() == before
    stand.run("down", "--slices")
    assert stand.slices() == []
    assert stand.mig_modes() == [True]


def test_an_edited_file_changes_only_what_has_to_change(stand: Stand) -> None:
    stand.write(f"{tiny('chat')}\n{tiny('old')}")
    stand.run("up", "-d", "--yes")
    before = pids(stand)

    stand.write(f"{tiny('chat', replicas=2)}\n{tiny('new', profile='2g.20gb')}")
    assert "edited" in stand.run("ps")
    stand.run("up", "-d", "--yes")

    after = pids(stand)
    assert after["chat/0"] == before["chat/0"]
    assert after["gateway"] == before["gateway"]
    assert set(after) == {"chat/0", "chat/1", "new/0", "gateway"}
    assert ask(stand.port, "new").startswith("I am new.")
    assert len(stand.slices()) == 3


def test_up_again_without_a_change_touches_nothing(stand: Stand) -> None:
    stand.write(tiny("chat", replicas=2))
    stand.run("up", "-d", "--yes")
    before = pids(stand), stand.slices()

    stand.run("up", "-d", "--yes")

    assert (pids(stand), stand.slices()) == before


def test_slices_of_somebody_else_are_named_and_left_alone(
    make_stand: Callable[[str], Stand],
) -> None:
    stand = make_stand("a100-80gb")
    make_foreign_slice(stand, "4g.40gb")
    stand.write(tiny("chat", profile="4g.40gb"))

    refused = stand.run("up", "-d", "--yes", expect=4)

    assert "somebody else" in refused
    assert stand.slices() == [(0, "4g.40gb", "0:4")]
    stand.write(tiny("chat", profile="3g.40gb"))
    stand.run("up", "-d", "--yes")
    shown = stand.run("down", "--mig-off")
    assert "stays on" in shown
    assert stand.slices() == [(0, "4g.40gb", "0:4")]
    assert stand.mig_modes() == [True]


def test_clients_need_a_key_once_a_keys_file_is_named(stand: Stand) -> None:
    keys = stand.folder / "keys.txt"
    keys.write_text("first-key\nsecond-key\n")
    stand.write(tiny("chat"), gateway=f"{{port: {stand.port}, api_keys_file: keys.txt}}")
    keys.chmod(0o644)
    assert "chmod 600" in stand.run("up", "-d", "--yes", expect=3)
    keys.chmod(0o600)

    stand.run("up", "-d", "--yes")

    for key in ("first-key", "second-key"):
        assert ask(stand.port, "chat", key).startswith("I am chat.")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        ask(stand.port, "chat")
    assert "I am chat." in stand.run("ask", "chat", "hi")
    told = stand.machine.agent_log.read_text() + stand.run("ps") + stand.run("logs", "gateway")
    assert "first-key" not in told


def test_two_boards_of_different_kind_serve_one_stack(make_stand: Callable[[str], Stand]) -> None:
    stand = make_stand("a100-80gb,h100-80gb")
    stand.write(f"{tiny('chat', profile='4g.40gb', replicas=2)}\n{tiny('small')}")

    stand.run("up", "-d", "--yes")

    assert sorted((gpu, p) for gpu, p, _ in stand.slices())[:2] == [(0, "1g.10gb"), (0, "4g.40gb")]
    assert (1, "4g.40gb", "0:4") in stand.slices()
    assert listens(stand.port)
    stand.run("down", "--mig-off")
    stand.assert_nothing_is_left()


def make_foreign_slice(stand: Stand, name: str) -> None:
    """Make a slice as another tool would, with MIG mode on."""
    from gpuslice.agent.node import open_driver
    from gpuslice.model.plan import PlannedSlice

    driver = open_driver(stand.machine)
    gpu = driver.read().gpus[0]
    assert gpu.geometry is not None
    profile = gpu.geometry.named(name)
    assert profile is not None
    driver.set_mig_mode(gpu.uuid, enabled=True)
    driver.create_slice(
        PlannedSlice(
            gpu_uuid=gpu.uuid,
            placement=profile.placements[0],
            profile=name,
            profile_id=profile.id,
            memory_mib=profile.memory_mib,
        )
    )
