"""A stand: one simulated machine with a home of its own, and the real command line on it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from tools.docker_engine import answers

from docker_images import TINY
from gpuslice import simulator
from gpuslice.agent.node import open_driver
from gpuslice.model.gpu import Observed
from gpuslice.model.machine import Machine, machine_slug
from gpuslice.runtime.docker.labels import MACHINE
from gpuslice.runtime.ports import free_port

if TYPE_CHECKING:
    import docker

TINY_SERVER = Path(__file__).with_name("tiny_server.py")
LIMIT_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Stand:
    """One simulated machine.

    Attributes:
        folder: Where the stack file lies.
        home: GPUSLICE_HOME.
        simulation: The simulated boards.
        port: Port of the gateway.
        engine: Address of the Docker engine that commands may use, "" for none.
        image: Image that tiny servers run in, "" where they are processes.
    """

    folder: Path
    home: Path
    simulation: str
    port: int
    engine: str = ""
    image: str = ""
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def machine(self) -> Machine:
        return Machine(root=self.home / machine_slug(self.simulation), simulation=self.simulation)

    @property
    def environment(self) -> dict[str, str]:
        own = {"GPUSLICE_HOME": str(self.home), "GPUSLICE_SIMULATE": self.simulation}
        if self.engine:
            own["DOCKER_HOST"] = self.engine
        return {**os.environ, **own, "COLUMNS": "200", "NO_COLOR": "1"}

    def start(self, *arguments: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        """Start a command in the background."""
        process = subprocess.Popen(
            [sys.executable, "-m", "gpuslice", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def run(self, *arguments: str, expect: int = 0) -> str:
        """Run a command to its end; return both its outputs, the answer first."""
        with self.start(*arguments) as process:
            out, err = process.communicate(timeout=LIMIT_S)
        shown = f"gpuslice {' '.join(arguments)} -> {process.returncode}\n{out}\n{err}"
        assert process.returncode == expect, shown
        return out + err

    def json(self, *arguments: str) -> Any:
        """Run a command with --json and read its answer."""
        with self.start(*arguments, "--json") as process:
            out, err = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 0, err
        return json.loads(out)

    def write(self, models: str, **more: str) -> Path:
        """Write the stack file: models as YAML under ``models:``, and further top-level keys."""
        top = {"name": "test", "gateway": f"{{port: {self.port}}}", **more}
        lines = [f"{key}: {value}" for key, value in top.items()]
        body = "\n".join("  " + line for line in models.strip().splitlines())
        path = self.folder / "gpuslice.yaml"
        path.write_text("\n".join(lines) + f"\nmodels:\n{body}\n")
        return path

    def observed(self) -> Observed:
        """Read the GPUs past gpuslice's own commands."""
        return open_driver(self.machine).read()

    def slices(self) -> list[tuple[int, str, str]]:
        """Every slice as (GPU, profile, placement)."""
        return [
            (gpu.index, s.profile, str(s.placement))
            for gpu in self.observed().gpus
            for s in gpu.slices
        ]

    def mig_modes(self) -> list[bool]:
        return [gpu.mig is not None and gpu.mig.current for gpu in self.observed().gpus]

    def processes(self) -> list[int]:
        """Every process that carries this machine's marker, and the agent."""
        return [pid for pid in _pids() if str(self.machine.root) in _told(pid)]

    def tiny(self, name: str, **changes: Any) -> str:
        """A model entry that is served by the tiny server, where servers of this stand run."""
        return tiny(name, image=self.image, **changes)

    def servers(self) -> list[Any]:
        """Every process and running container of this machine, the agent's among them."""
        return [*self.processes(), *(c for c in self.containers() if c.status == "running")]

    def containers(self) -> list[Any]:
        """Every container that carries this machine's label, also one that has ended."""
        with self._containers() as found:
            return found

    def remove_containers(self) -> None:
        """Remove them as by hand, whatever state they are in."""
        with self._containers() as found:
            for container in found:
                container.remove(force=True, v=True)

    @contextmanager
    def _containers(self) -> Iterator[list[Any]]:
        """The containers, with a connection for as long as they are asked for more."""
        if not self.engine:
            yield []
            return
        with docker_client_of(self.engine) as client:
            label = f"{MACHINE}={self.machine.root.resolve()}"
            yield client.containers.list(all=True, filters={"label": label}, ignore_removed=True)

    def wait_for(self, true: Callable[[], bool], what: str) -> None:
        """Wait until something is so; fail after a minute."""
        deadline = time.monotonic() + LIMIT_S
        while not true():
            assert time.monotonic() < deadline, f"waited in vain for: {what}"
            time.sleep(0.05)

    def assert_nothing_is_left(self) -> None:
        """No slice, no MIG mode, no process, no container, no secret, no port, no change."""
        assert self.slices() == []
        assert self.containers() == []
        assert list(self.machine.root.glob(f"{self.machine.secrets_dir.name}/*")) == []
        assert not any(self.mig_modes())
        self.wait_for(lambda: self.processes() == [], "the last process to leave")
        assert not self.machine.journal_file.exists()
        assert not listens(self.port)


def tiny(
    name: str,
    *,
    delay_s: float = 0.0,
    profile: str = "1g.10gb",
    replicas: int = 1,
    image: str = "",
) -> str:
    """A model entry that is served by the tiny server, in a container where an image is named."""
    program = ["python3", TINY] if image else [sys.executable, str(TINY_SERVER)]
    command = [*program, "{port}", "{name}", str(delay_s)]
    return by_command(name, command, profile=profile, replicas=replicas, image=image)


def by_command(
    name: str,
    command: list[str],
    *,
    profile: str = "1g.10gb",
    replicas: int = 1,
    image: str = "",
    more: str = "",
) -> str:
    """A model entry that is served by a command."""
    where = f"image: {json.dumps(image)}, " if image else ""
    return (
        f"{name}: {{engine: command, {where}slice: {profile}, replicas: {replicas}, {more}"
        f"command: {json.dumps(command)}}}"
    )


@contextmanager
def docker_client_of(engine: str) -> Iterator[docker.DockerClient]:
    """A client of a Docker engine, for one question."""
    import docker

    client = docker.DockerClient(base_url=engine, timeout=60)
    try:
        yield client
    finally:
        client.close()


class MakeStand(Protocol):
    """Makes a stand on simulated boards, beside a Docker engine or none."""

    def __call__(self, simulation: str, *, engine: str = "", image: str = "") -> Stand: ...


def listens(port: int) -> bool:
    """Tell whether anything listens on a port of loopback."""
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def make_stand(tmp_path: Path) -> Iterator[MakeStand]:
    """Make stands on simulated boards; whatever still runs afterwards is ended."""
    made: list[Stand] = []

    def make(simulation: str, *, engine: str = "", image: str = "") -> Stand:
        folder = tmp_path / f"stack-{len(made)}"
        folder.mkdir()
        home = tmp_path / f"home-{len(made)}"
        stand = Stand(
            folder=folder,
            home=home,
            simulation=simulation,
            port=free_port(),
            engine=engine,
            image=image,
        )
        simulator.load(stand.machine.simulator_dir, simulation)
        made.append(stand)
        return stand

    yield make
    for stand in made:
        for process in stand.started:
            process.kill()
            process.communicate()
        for pid in stand.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # The agent first: it would start them again. An engine may have been stopped by the test.
        if stand.engine and answers(Path(stand.engine.removeprefix("unix://"))):
            stand.remove_containers()


@pytest.fixture
def stand(make_stand: MakeStand) -> Stand:
    """A simulated A100 80GB."""
    return make_stand("a100-80gb")


@pytest.fixture
def docker_stand(make_stand: MakeStand, engine_with_our_image: str) -> Stand:
    """A simulated A100 80GB beside a Docker engine that has our image."""
    return make_stand("a100-80gb", engine=engine_with_our_image)


@pytest.fixture
def boxed(make_stand: MakeStand, docker_engine: str, trouble_image: str) -> Stand:
    """A simulated A100 80GB whose tiny servers run in containers, and its gateway as a process."""
    return make_stand("a100-80gb", engine=docker_engine, image=trouble_image)


@pytest.fixture(params=["stand", pytest.param("boxed", marks=pytest.mark.docker)])
def each_stand(request: pytest.FixtureRequest) -> Stand:
    """A simulated A100 80GB, once with servers as processes and once in containers."""
    stand: Stand = request.getfixturevalue(request.param)
    return stand


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _told(pid: int) -> str:
    """What a process was told: its arguments and environment; "" for one that has ended."""
    if pid == os.getpid():
        return ""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        if stat.rpartition(")")[2].split()[0] == "Z":
            return ""
        parts = [Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ")]
    except OSError:
        return ""
    return b"\n".join(parts).decode(errors="replace")
