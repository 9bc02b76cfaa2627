"""A stack in containers when things go wrong: what is told, and what comes back by itself."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest
from tools.docker_engine import PrivateEngine

from docker_images import TROUBLE, ensure_image, trouble_recipe
from end_to_end.conftest import MakeStand, Stand, by_command, docker_client_of, listens
from end_to_end.test_stack import ask, pids
from end_to_end.test_trouble import ask_quietly

pytestmark = [pytest.mark.docker, pytest.mark.slow]

Run = Callable[..., Any]


def badly(stand: Stand, *words: str, more: str = "") -> str:
    """A model entry that is served by a program of trouble."""
    return by_command("bad", ["python3", TROUBLE, *words], image=stand.image, more=more)


def wait_for_answers(stand: Stand) -> None:
    """Wait until the model answers through the gateway."""
    stand.wait_for(lambda: ask_quietly(stand, "chat") == "I am chat.", "chat to answer")


def stack_of(engine: PrivateEngine, make_stand: MakeStand) -> Stand:
    """A stack that is up, with its servers in an engine of the test's own."""
    with docker_client_of(engine.host) as client:
        image = ensure_image(client, trouble_recipe())
    stand = make_stand("a100-80gb", engine=engine.host, image=image)
    stand.write(stand.tiny("chat"))
    stand.run("up", "-d", "--yes")
    return stand


def complaints(stand: Stand) -> list[str]:
    """What the agent's loop says of an engine whose socket is gone."""
    said = ("No Docker engine listens", "Docker is not installed")
    lines = stand.run("logs", "agent", "-n", "500").splitlines()
    told = (line for line in lines if " WARNING " in line)
    return [line for line in told if any(words in line for words in said)]


def test_a_stopped_engine_is_told_once_and_its_servers_come_back_with_it(
    own_docker_engine: PrivateEngine, make_stand: MakeStand
) -> None:
    stand = stack_of(own_docker_engine, make_stand)

    own_docker_engine.stop()
    stand.wait_for(lambda: bool(complaints(stand)), "the agent to notice")
    for command in (("ps",), ("logs", "chat"), ("down",), ("up", "-d", "--yes")):
        shown = stand.run(*command, expect=8)
        assert "docker-unavailable" in shown
        assert "systemctl start docker" in shown
    assert len(stand.slices()) == 1

    own_docker_engine.start()
    wait_for_answers(stand)
    assert len(complaints(stand)) == 1
    log = stand.run("logs", "agent", "-n", "500")
    assert "looked after again" in log
    assert "Traceback" not in log
    assert stand.json("ps")["servers"][0]["state"] == "ready"
    stand.run("down", "--mig-off")
    stand.assert_nothing_is_left()


def test_after_an_engine_has_crashed_the_stack_answers_again(
    own_docker_engine: PrivateEngine, make_stand: MakeStand
) -> None:
    stand = stack_of(own_docker_engine, make_stand)

    own_docker_engine.crash()
    assert ask(stand.port, "chat").startswith("I am chat.")  # nobody needs an engine to answer
    own_docker_engine.start()

    wait_for_answers(stand)
    stand.wait_for(lambda: stand.json("ps")["servers"][0]["state"] == "ready", "the server")
    assert "Traceback" not in stand.run("logs", "agent", "-n", "500")
    stand.run("down", "--mig-off")
    stand.assert_nothing_is_left()


def test_a_container_that_is_removed_by_hand_is_started_again(boxed: Stand) -> None:
    boxed.write(boxed.tiny("chat"))
    boxed.run("up", "-d", "--yes")
    before = pids(boxed)

    boxed.remove_containers()

    boxed.wait_for(lambda: pids(boxed)["chat/0"] not in (None, before["chat/0"]), "the restart")
    wait_for_answers(boxed)
    assert pids(boxed)["gateway"] == before["gateway"]
    boxed.run("down", "--mig-off")
    boxed.assert_nothing_is_left()


def test_a_container_that_ends_at_once_is_reported_with_its_last_words_and_undone(
    boxed: Stand,
) -> None:
    words = badly(boxed, "exits", "3", "boom:", "no", "such", "tensor")
    boxed.write(f"{boxed.tiny('chat')}\n{words}")

    shown = boxed.run("up", "-d", "--yes", expect=8)

    assert "server-exited" in shown
    assert "boom: no such tensor" in shown
    assert "ended with exit status 3" in shown
    boxed.assert_nothing_is_left()


def test_one_that_takes_too_much_memory_is_reported_with_the_limit(boxed: Stand) -> None:
    boxed.write(badly(boxed, "eats", more="host_memory: 64MiB, "))

    shown = boxed.run("up", "-d", "--yes", expect=8)

    assert "needed more than its limit of 64 MiB" in shown
    assert "host_memory" in shown
    boxed.assert_nothing_is_left()


def test_one_that_ignores_its_end_goes_with_the_stack(boxed: Stand) -> None:
    boxed.write(f"{boxed.tiny('chat')}\n{badly(boxed, 'ignores')}")
    process = boxed.start("up", "-d", "--yes")
    boxed.wait_for(lambda: len(boxed.containers()) == 2, "both to be started")

    process.send_signal(signal.SIGINT)

    process.communicate(timeout=60)
    boxed.assert_nothing_is_left()


def test_an_image_that_is_not_here_is_told_before_anything_is_touched(boxed: Stand) -> None:
    model = by_command("bad", ["true"], image="acme/nothing:1.2")
    boxed.write(f"{boxed.tiny('chat')}\n{model}", docker="{pull: never}")

    shown = boxed.run("up", "-d", "--yes", expect=8)

    assert "image-missing" in shown
    assert "acme/nothing:1.2" in shown
    boxed.assert_nothing_is_left()


def test_a_name_that_somebody_elses_container_has_is_told_before_anything_is_touched(
    boxed: Stand, run_container: Run
) -> None:
    theirs = run_container(boxed.image, "python3", TROUBLE, "stays", name="gpuslice-test-chat-0")
    boxed.write(boxed.tiny("chat"))

    shown = boxed.run("up", "-d", "--yes", expect=8)

    assert "gpuslice-test-chat-0" in shown
    boxed.assert_nothing_is_left()
    theirs.reload()
    assert theirs.status == "running"


def test_a_port_that_a_container_has_is_told_before_anything_is_touched(
    boxed: Stand, run_container: Run
) -> None:
    run_container(boxed.image, "python3", TROUBLE, "listens", str(boxed.port))
    boxed.wait_for(lambda: listens(boxed.port), "the container to listen")
    boxed.write(boxed.tiny("chat"))

    shown = boxed.run("up", "-d", "--yes", expect=9)

    assert "port-in-use" in shown
    assert boxed.slices() == []
    assert boxed.containers() == []


def test_two_stacks_of_two_homes_leave_each_other_alone(
    boxed: Stand, make_stand: MakeStand
) -> None:
    other = make_stand("a100-80gb", engine=boxed.engine, image=boxed.image)
    boxed.write(boxed.tiny("chat"))
    other.write(other.tiny("chat"), name="other")
    boxed.run("up", "-d", "--yes")
    other.run("up", "-d", "--yes")
    before = pids(boxed)

    other.run("down", "--mig-off")

    other.assert_nothing_is_left()
    assert pids(boxed) == before
    assert len(boxed.containers()) == 1
    assert ask(boxed.port, "chat").startswith("I am chat.")


def test_commands_by_hand_are_those_of_docker(boxed: Stand) -> None:
    boxed.write(boxed.tiny("chat"))

    shown = boxed.run("up", "-d", "--yes", "--show-commands")

    assert "start gpuslice-test-chat-0" in shown
    assert "docker run -d" in shown
    assert "--name gpuslice-test-chat-0" in shown
    (container,) = boxed.containers()
    assert container.name == "gpuslice-test-chat-0"
    assert stack_labels(container) == {"gpuslice.stack": "test", "gpuslice.model": "chat"}


def stack_labels(container: Any) -> dict[str, str]:
    names = ("gpuslice.stack", "gpuslice.model")
    return {name: container.labels[name] for name in names}
