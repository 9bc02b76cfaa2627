"""Servers in Docker: from ``up`` to the first answer, and ``ps`` with many containers, as ratios.

**From ``up`` to the first answer.** The yardstick is a shell script of the same ``docker run``
lines (as `gpuslice.engines.by_hand` writes them): it starts the servers one after the other, then
the gateway, and registers each server as soon as that is healthy. Slices exist in both cases and
images are there. Script and ``gpuslice up -d`` run in turn, and one loop outside asks the gateway
until every model has answered.

**``ps``.** With four containers of ours, with fifty, and with fifty among a thousand of others,
against ``docker ps`` of the same moment.

Servers are llama.cpp's, on simulated GPUs. The engine is one of its own (`tools.docker_engine`),
unless ``GPUSLICE_TEST_DOCKER_HOST`` names one; it needs root. Run it with ``make
benchmarks-docker``; docs/benchmarks.md has results. Nothing here is asserted in tests.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import docker
from tools.docker_engine import engine_host

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))  # for the images of the tests

from docker_images import TROUBLE, ensure_image, serving_recipe, trouble_recipe  # noqa: E402 - found by the line above
from gpuslice.agent.gateway_control import GatewayControl  # noqa: E402 - as above
from gpuslice.agent.launches import server_launches  # noqa: E402 - as above
from gpuslice.agent.node import machine_for, open_node  # noqa: E402 - as above
from gpuslice.engines.images import OWN  # noqa: E402 - as above
from gpuslice.model.server import Launch  # noqa: E402 - as above
from gpuslice.runtime.ports import free_port  # noqa: E402 - as above

MODEL = ROOT / "examples" / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
GPUSLICE = (sys.executable, "-m", "gpuslice")
ASK_EVERY_S = 0.02
LIMIT_S = 120.0
STACK = """\
name: benchmark
runtime: docker
models:
  one: {{model: {model}, slice: 3g.40gb, context_tokens: 512, concurrency: 1}}
  two: {{model: {model}, slice: 3g.40gb, context_tokens: 512, concurrency: 1}}
gateway: {{port: {port}, runtime: docker}}
"""
MANY = """\
name: benchmark
runtime: docker
models:
  many:
    engine: command
    image: {image}
    slice: 1g.10gb
    replicas: {count}
    command: [python3, {program}, listens, "{{port}}", "0", "{{{{data: []}}}}"]
gateway: {{port: {port}}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one benchmark runs.

    Attributes:
        folder: The stack file, and what the script needs.
        simulation: The simulated GPUs.
        port: Port of the gateway.
        environment: For every command.
    """

    folder: Path
    simulation: str
    port: int
    environment: dict[str, str] = field(default_factory=dict)

    def gpuslice(self, *arguments: str) -> None:
        """Run a command of gpuslice to its end."""
        run((*GPUSLICE, *arguments), self)


def main() -> None:
    """Run what was asked for and print it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=7, help="pairs of up and script")
    parser.add_argument("--only", choices=("up", "ps"), help="run one half")
    given = parser.parse_args()
    with engine_host() as host:
        os.environ["DOCKER_HOST"] = host
        client = docker.DockerClient(base_url=host, timeout=120)
        client.images.get(ensure_image(client, serving_recipe())).tag(OWN)
        if given.only != "ps":
            compare_up(given.rounds)
        if given.only != "up":
            compare_ps(client)


def compare_up(rounds: int) -> None:
    """Bring the stack up by both ways in turn, and print the times and their ratio."""
    with a_place("a100-80gb") as place:
        (place.folder / "gpuslice.yaml").write_text(STACK.format(model=MODEL, port=place.port))
        place.gpuslice("up", "--yes", "--detach")
        script = write_script(place)
        place.gpuslice("down")
        pairs = []
        for number in range(rounds + 1):
            by_script = time_to_answers(place, ("sh", str(script)), ("sh", f"{script}.down"))
            ours = time_to_answers(
                place, (*GPUSLICE, "up", "--yes", "--detach"), (*GPUSLICE, "down")
            )
            if number:  # the first pair fills the file cache
                pairs.append((by_script, ours))
                print(f"  script {by_script:5.2f} s   up {ours:5.2f} s", flush=True)
    show_pairs(pairs)


def show_pairs(pairs: Sequence[tuple[float, float]]) -> None:
    """Print least, median and greatest of both, and whether the aim is met."""
    for name, times in (("script", [a for a, _ in pairs]), ("up", [b for _, b in pairs])):
        spread = f"{min(times):.2f} / {statistics.median(times):.2f} / {max(times):.2f}"
        print(f"{name:8} min / median / max  {spread} s")
    script, ours = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    print(
        f"ratio of the pairs, median {ratio:.2f}; aim: {script:.2f} s + 5 % + 1 s = "
        f"{script * 1.05 + 1:.2f} s, {'met' if ours <= script * 1.05 + 1 else 'missed'}"
    )


def write_script(place: Place) -> Path:
    """Write the shell script that starts what runs now, and the one that removes it."""
    node = open_node(machine_for(place.simulation))
    record = node.read_record()
    servers = server_launches(record, node.driver.read(), node.host)
    gateway = GatewayControl(node).launch(record)
    settings = place.folder / "gateway.json"
    shutil.copy(node.machine.gateway_file, settings)
    os.chown(settings, 65532, 65532)
    key = json.loads(settings.read_text())["control_key"]
    lines = [f"cd {place.folder}", *map(docker_line, (*servers, gateway))]
    for server in servers:
        body = shlex.quote(json.dumps({"url": server.url}))
        headers = f"-H 'Authorization: Bearer {key}' -H 'Content-Type: application/json'"
        add = f"curl -sf -o /dev/null {headers} -d {body} {gateway.url}/workers"
        lines += [
            f"until curl -sf -o /dev/null {server.url}/health; do sleep 0.05; done",
            f"until {add}; do sleep 0.05; done",
        ]
    path = place.folder / "script"
    path.write_text("set -e\n" + "\n".join(lines) + "\n")
    names = " ".join(launch.name for launch in (*servers, gateway))
    Path(f"{path}.down").write_text(f"docker rm -f {names}\n")
    return path


def docker_line(launch: Launch) -> str:
    """Take the line a person would type; older Dockers want whole paths for files."""
    return launch.by_hand.replace(" ./", " $PWD/")


def time_to_answers(place: Place, start: Sequence[str], end: Sequence[str]) -> float:
    """Start a stack, ask until every model has answered, and end it.

    Returns:
        Seconds from the start of the command to the last model's first answer.
    """
    began = time.perf_counter()
    output = place.folder / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            start, env=place.environment, cwd=place.folder, stdout=file, stderr=file
        )
    try:
        for model in ("one", "two"):
            ask_until_answered(place.port, model, process, began)
        spent = time.perf_counter() - began
        process.wait(LIMIT_S)
    except TimeoutError:
        print(output.read_text(), file=sys.stderr)
        raise
    finally:
        run(end, place)
    return spent


def ask_until_answered(
    port: int, model: str, process: subprocess.Popen[bytes], began: float
) -> None:
    """Ask one model through the gateway until it answers."""
    while not answers(port, model):
        if process.poll() or time.perf_counter() - began > LIMIT_S:
            raise TimeoutError(f"no answer from {model}")
        time.sleep(ASK_EVERY_S)


def answers(port: int, model: str) -> bool:
    """Ask for one token; false while nobody has an answer."""
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(
            "POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"}
        )
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def compare_ps(client: docker.DockerClient) -> None:
    """Time ``gpuslice ps`` with few and many containers beside ``docker ps``."""
    image = ensure_image(client, trouble_recipe())
    print(f"{'':36} {'ps s':>6} {'docker ps s':>12} {'ratio':>6}")
    for count, foreign in ((4, 0), (50, 0), (50, 1000)):
        with a_place("a100-80gb:8") as place, foreigners(client, image, foreign):
            text = MANY.format(image=image, program=TROUBLE, count=count, port=place.port)
            (place.folder / "gpuslice.yaml").write_text(text)
            place.gpuslice("up", "--yes", "--detach")
            try:
                name = f"{count} of ours" + (f", {foreign} of others" if foreign else "")
                report_ps(name, place)
            finally:
                place.gpuslice("down")


def report_ps(name: str, place: Place) -> None:
    """Time both commands in turn and print a row."""
    pairs = [
        (timed(lambda: run(("docker", "ps"), place)), timed(lambda: place.gpuslice("ps")))
        for _ in range(7)
    ]
    theirs, ours = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    print(f"{name:36} {ours:6.2f} {theirs:12.2f} {ratio:6.1f}", flush=True)


@contextmanager
def foreigners(client: docker.DockerClient, image: str, count: int) -> Iterator[None]:
    """Have containers of somebody else, created and not started."""
    made = []
    try:
        for number in range(count):
            body = {"Image": image, "Cmd": ["python3"], "Labels": {"of": f"others-{number}"}}
            made.append(client.api.create_container_from_config(body)["Id"])
        yield
    finally:
        for id_ in made:
            with suppress(docker.errors.APIError):
                client.api.remove_container(id_)


@contextmanager
def a_place(simulation: str) -> Iterator[Place]:
    """Make a machine of simulated GPUs with a folder of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # the gateway's user reads its settings there
        own = {"GPUSLICE_HOME": str(folder / "home"), "GPUSLICE_SIMULATE": simulation}
        os.environ |= own
        yield Place(
            folder=folder, simulation=simulation, port=free_port(), environment=dict(os.environ)
        )


def run(command: Sequence[str], place: Place) -> None:
    """Run a command to its end.

    Raises:
        subprocess.CalledProcessError: It failed; what it said is printed.
    """
    done = subprocess.run(
        command, env=place.environment, cwd=place.folder, capture_output=True, check=False
    )
    if done.returncode:
        print(done.stdout.decode(), done.stderr.decode(), file=sys.stderr)
        done.check_returncode()


def timed(act: Callable[[], None]) -> float:
    """Say how long something takes, seconds."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
