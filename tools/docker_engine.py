"""A Docker engine of one's own: ``python -m tools.docker_engine run -- COMMAND…``.

The tests of servers in containers need a real engine, wherever they run. This starts one that
shares nothing with any other: data, sockets, process files and control groups of its own, its own
containerd, no bridge, no firewall rules. COMMAND gets its address in DOCKER_HOST. At the end
nothing is left of it: no container, process, mount or file; and what an earlier run left, because
it was killed, goes first.

Containers run with ``network_mode="host"``: there is no other network.

The fastest storage that works is taken. overlay2 on a file system in memory comes first, overlay2
on disk second; vfs, which copies the whole image for each container, works everywhere.

``GPUSLICE_TEST_DOCKER_HOST`` names a running engine to use instead.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tools.docker_leftovers import create_folder, remove, remove_abandoned
from tools.docker_programs import NoEngineError, Programs, ensure_programs, search_path

HOST_VARIABLE = "GPUSLICE_TEST_DOCKER_HOST"
_START_LIMIT_S = 60.0
_STOP_LIMIT_S = 20.0
_ROOM_BYTES = 3 * 2**30  # the images of the tests take well under one GiB
# Short, since sockets are in it; a fresh folder is made there for each engine.
_MEMORY = Path("/dev/shm")
_DISK = Path("/var/tmp")
_MADE_BY_DOCKERD = (Path("/run/docker/plugins"), Path("/run/docker"))  # whatever one tells it


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Where an engine keeps its data, and by which of Docker's storage drivers."""

    driver: str
    base: Path


@dataclass(slots=True, kw_only=True)
class PrivateEngine:
    """One engine and its processes; whoever made it is its only owner.

    Attributes:
        folder: Holds everything of it.
        storage: How it stores images and containers.
    """

    programs: Programs
    folder: Path
    storage: Storage
    _containerd: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _dockerd: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def host(self) -> str:
        """Its address, as DOCKER_HOST wants it."""
        return f"unix://{self.socket}"

    @property
    def socket(self) -> Path:
        """Its socket: gone while the engine is stopped."""
        return self.folder / "engine.sock"

    def start(self) -> None:
        """Start the engine, new or as it was left by `stop`, and wait until it answers.

        Raises:
            NoEngineError: It ended or did not answer; with the last line of its log.
        """
        for left in ("containerd.sock", "engine.sock", "dockerd.pid"):  # by a crash
            (self.folder / left).unlink(missing_ok=True)
        self._containerd = self._spawn("containerd", _containerd_command(self))
        self._wait_for(self._containerd, "containerd", (self.folder / "containerd.sock").exists)
        self._dockerd = self._spawn("dockerd", _dockerd_command(self))
        self._wait_for(self._dockerd, "dockerd", lambda: answers(self.socket))

    def stop(self) -> None:
        """Stop the engine in order; its containers end, and it keeps its data."""
        _end(self._dockerd, signal.SIGTERM)
        _end(self._containerd, signal.SIGTERM)

    def crash(self) -> None:
        """Kill the engine as a machine in trouble would; its containers run on."""
        _end(self._dockerd, signal.SIGKILL)
        _end(self._containerd, signal.SIGKILL)

    def restart(self) -> None:
        """Stop and start, as after an upgrade."""
        self.stop()
        self.start()

    def remove(self) -> None:
        """End the engine and leave nothing of it."""
        with suppress(OSError, http.client.HTTPException, ValueError):  # it does not answer
            remove_containers(self.socket)
        self.stop()
        remove(self.folder)

    def _spawn(self, name: str, command: tuple[str, ...]) -> subprocess.Popen[bytes]:
        # Where its owner is killed, the engine is told to end too.
        setpriv = shutil.which("setpriv", path=search_path())
        bound = (setpriv, "--pdeathsig", "TERM", "--") if setpriv else ()
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                (*bound, *command),
                env={**os.environ, "PATH": search_path()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C is for us; we end the engine in order
            )

    def _wait_for(
        self, process: subprocess.Popen[bytes], name: str, up: Callable[[], bool]
    ) -> None:
        deadline = time.monotonic() + _START_LIMIT_S
        while not up():
            ended = process.poll()
            if ended is not None or time.monotonic() > deadline:
                said = (self.folder / f"{name}.log").read_text(errors="replace").splitlines()
                what = "does not answer" if ended is None else f"ended with status {ended}"
                raise NoEngineError(
                    f"{name} {what}; its log ends: {said[-1] if said else '(empty)'}"
                )
            time.sleep(0.02)


@contextmanager
def private_engine() -> Iterator[PrivateEngine]:
    """Start an engine on the fastest storage that works, and leave nothing of it.

    Raises:
        NoEngineError: None can run here.
    """
    programs = ensure_programs()
    choices = _storages()
    remove_abandoned({choice.base for choice in choices})
    were_there = {path for path in _MADE_BY_DOCKERD if path.exists()}
    try:
        with ExitStack() as stack:
            yield _first_that_starts(stack, programs, choices)
    finally:
        for path in _MADE_BY_DOCKERD:
            if path not in were_there:
                with suppress(OSError):  # another engine has come to use it
                    path.rmdir()


@contextmanager
def engine_host() -> Iterator[str]:
    """Give the address of an engine: the one the environment names, or a private one.

    Raises:
        NoEngineError: None can run here.
    """
    named = os.environ.get(HOST_VARIABLE)
    if named:
        _check_named(named)
        yield named
        return
    with private_engine() as engine:
        yield engine.host


def _check_named(host: str) -> None:
    # Containers share the network of the engine's machine, and tests ask them on loopback.
    if not host.startswith("unix://"):
        raise NoEngineError(f"{HOST_VARIABLE} is {host}, not an engine of this machine: unix://…")
    if not answers(Path(host.removeprefix("unix://"))):
        raise NoEngineError(f"nothing answers at {host}, which {HOST_VARIABLE} names")


def answers(path: Path) -> bool:
    """Tell whether an engine answers on a socket."""
    try:
        return ask(path, "GET", "/_ping") == b"OK"
    except (OSError, http.client.HTTPException):
        return False


def remove_containers(path: Path) -> None:
    """Kill and remove every container of the engine on a socket."""
    for container in json.loads(ask(path, "GET", "/containers/json?all=1")):
        ask(path, "DELETE", f"/containers/{container['Id']}?force=1&v=1")


def ask(path: Path, method: str, what: str) -> bytes:
    """Put one question to the engine on a socket.

    Raises:
        OSError: Nobody listens.
        http.client.HTTPException: What listens speaks no HTTP.
    """
    connection = http.client.HTTPConnection("localhost", timeout=_STOP_LIMIT_S)
    with socket.socket(socket.AF_UNIX) as connection.sock:
        connection.sock.settimeout(_STOP_LIMIT_S)
        connection.sock.connect(str(path))
        connection.request(method, what)
        return connection.getresponse().read()


def _storages() -> list[Storage]:
    choices = [Storage(driver=driver, base=_DISK) for driver in ("overlay2", "vfs")]
    if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM_BYTES:
        choices.insert(0, Storage(driver="overlay2", base=_MEMORY))
    return choices


def _first_that_starts(
    stack: ExitStack, programs: Programs, choices: list[Storage]
) -> PrivateEngine:
    failures = []
    for storage in choices:
        try:
            return stack.enter_context(_engine_on(storage, programs))
        except NoEngineError as error:
            failures.append(f"{storage.driver} in {storage.base}: {error}")
    raise NoEngineError("no engine starts; " + "; ".join(failures))


@contextmanager
def _engine_on(storage: Storage, programs: Programs) -> Iterator[PrivateEngine]:
    folder, lock = create_folder(storage.base)
    engine = PrivateEngine(programs=programs, folder=folder, storage=storage)
    try:
        engine.start()
        yield engine
    finally:
        engine.remove()
        os.close(lock)


def _containerd_command(engine: PrivateEngine) -> tuple[str, ...]:
    folder = engine.folder
    settings = folder / "containerd.toml"
    settings.write_text(
        f'version = 2\nroot = "{folder}/containerd"\nstate = "{folder}/containerd-state"\n'
        'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
        f'[grpc]\naddress = "{folder}/containerd.sock"\n'
    )
    return (engine.programs.containerd, "--config", str(settings))


def _dockerd_command(engine: PrivateEngine) -> tuple[str, ...]:
    folder = engine.folder
    settings = folder / "dockerd.json"  # so that the machine's own settings are not read
    settings.write_text(json.dumps(_settings(engine)))
    return (
        *(engine.programs.dockerd, "--config-file", str(settings)),
        *("--host", engine.host, "--pidfile", f"{folder}/dockerd.pid"),
        *("--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"),
        *("--containerd", f"{folder}/containerd.sock"),
        *("--storage-driver", engine.storage.driver),
        *("--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", f"/{folder.name}"),
        *("--iptables=false", "--ip6tables=false", "--bridge=none"),
    )


def _settings(engine: PrivateEngine) -> dict[str, str]:
    """Give the settings that have no flag: old engines leave a key in /etc/docker otherwise."""
    said = subprocess.run(
        (engine.programs.dockerd, "--version"), capture_output=True, text=True, check=False
    ).stdout
    release = next((word for word in said.split() if word[:1].isdigit()), "0")
    old = int(release.partition(".")[0]) <= 20
    return {"deprecated-key-path": f"{engine.folder}/key.json"} if old else {}


def _end(process: subprocess.Popen[bytes] | None, number: signal.Signals) -> None:
    if process is None or process.poll() is not None:
        return
    process.send_signal(number)
    try:
        process.wait(_STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main(arguments: list[str] | None = None) -> int:
    """Run a command with an engine of its own.

    Returns:
        The command's exit status; 1 when no engine can run here.
    """
    parser = argparse.ArgumentParser(
        prog="python -m tools.docker_engine",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("verb", choices=["run"])
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="and its arguments, after --")
    options = parser.parse_args(arguments)
    # So that a gentle kill ends the engine too.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        with engine_host() as host:
            environment = {**os.environ, "DOCKER_HOST": host, HOST_VARIABLE: host}
            return subprocess.run(options.command, env=environment, check=False).returncode
    except NoEngineError as error:
        print(f"no Docker engine: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
