"""The agent as a program: ``python -m gpuslice.agent --root FOLDER [--simulate …] [--resume]``.

Started by ``gpuslice up``; ``--resume`` is for a service that should look after the recorded stack
without being asked.
"""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import uvicorn

from gpuslice.agent.control import application
from gpuslice.agent.daemon import Daemon
from gpuslice.agent.node import open_node
from gpuslice.agent.socket_path import reachable
from gpuslice.agent.supervisor import Supervisor
from gpuslice.errors import AgentError, GpusliceError, RecordError
from gpuslice.model.event import Event
from gpuslice.model.machine import Machine
from gpuslice.private_files import make_private_folder, open_own

log = logging.getLogger("gpuslice.agent")

LOCK_TIMEOUT_S = 10.0


def main() -> int:
    """Run the agent until it has nothing left to do; exit status as `gpuslice.errors` says."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    arguments = _arguments()
    machine = Machine(root=Path(arguments.root), simulation=arguments.simulate)
    try:
        return _serve(machine, resume=arguments.resume)
    except GpusliceError as error:
        log.error("[%s] %s %s", error.code, error.message, error.hint)  # noqa: TRY400 - no defect
        return error.exit_status


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m gpuslice.agent", description=__doc__)
    parser.add_argument("--root", required=True, help="folder of the machine's state")
    parser.add_argument("--simulate", default="", help="simulated boards, such as a100-80gb:2")
    parser.add_argument("--resume", action="store_true", help="look after the recorded stack")
    return parser.parse_args()


def _serve(machine: Machine, *, resume: bool) -> int:
    make_private(machine.root)
    lock = hold_lock(machine)
    server: uvicorn.Server | None = None

    def leave() -> None:
        machine.socket_file.unlink(missing_ok=True)  # whoever comes now starts a new agent
        if server is not None:
            server.should_exit = True

    daemon = Daemon(Supervisor(open_node(machine)), leave)
    config = uvicorn.Config(
        application(daemon), log_level="warning", lifespan="off", timeout_graceful_shutdown=5
    )
    server = uvicorn.Server(config)
    loop = threading.Thread(target=daemon.run_loop, name="loop", daemon=True)
    listening = _listen(machine)
    loop.start()
    if resume:
        daemon.recover(_log_event)
    log.info("agent of %s, pid %d", machine.slug, os.getpid())
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listening])
    daemon.stop()
    loop.join()
    machine.socket_file.unlink(missing_ok=True)
    os.close(lock)
    log.info("agent has left")
    return 0


def make_private(folder: Path) -> None:
    """Make the machine's folder, readable by its owner only.

    Raises:
        RecordError: It is a link, or belongs to somebody else.
    """
    try:
        make_private_folder(folder)
    except OSError as error:
        raise RecordError(
            f"{folder} cannot be used: {error.strerror}.",
            hint="Remove it, or set GPUSLICE_HOME to a folder of your own.",
        ) from error


def hold_lock(machine: Machine) -> int:
    """Become the one agent of a machine; closing the descriptor that is returned ends it.

    Raises:
        AgentError: Another agent looks after it.
        RecordError: The lock is a link or another user's.
    """
    try:
        descriptor = open_own(machine.lock_file, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise RecordError(
            f"{machine.lock_file} cannot be used: {error.strerror}.",
            hint="Remove it, or set GPUSLICE_HOME to a folder of your own.",
        ) from error
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while not _locked(descriptor):
        # One that does not answer any more is on its way out; it is waited for.
        if _answers(machine) or time.monotonic() > deadline:
            raise AgentError(
                "Another agent looks after this machine already.",
                hint="Nothing to do: the command that started this one will talk to the other.",
            )
        time.sleep(0.05)
    return descriptor


def _answers(machine: Machine) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            with reachable(machine.socket_file) as path:
                probe.connect(path)
        except OSError:
            return False
    return True


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _listen(machine: Machine) -> socket.socket:
    machine.socket_file.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        with reachable(machine.socket_file) as path:
            listening.bind(path)
    finally:
        os.umask(before)
    listening.listen(16)
    return listening


def _log_event(event: Event) -> None:
    log.info("%s: %s", event.kind, event.text)


if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    sys.exit(main())
