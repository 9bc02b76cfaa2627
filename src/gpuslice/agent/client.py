"""Talk to the agent over its control socket, and start it where there is none.

Plain ``http.client`` over the Unix socket: the command line stays quick to start.
"""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from gpuslice.agent.socket_path import reachable
from gpuslice.agent.status import AgentStatus, status_from_json
from gpuslice.errors import AgentError, GpusliceError, RecordError
from gpuslice.model.event import Event, EventKind
from gpuslice.model.machine import Machine
from gpuslice.private_files import make_private_folder, open_own

START_TIMEOUT_S = 30.0
_CREDENTIALS = struct.Struct("3i")  # struct ucred of Linux: pid, user, group


class RemoteError(GpusliceError):
    """An error that happened in the agent, with the code and exit status it had there."""

    def __init__(self, event: Event) -> None:
        super().__init__(event.text, hint=event.hint, details=event.details)
        self.code = event.code  # type: ignore[misc]  # the class of origin is in the agent
        self.exit_status = event.exit_status  # type: ignore[misc]  # likewise


class AgentClient:
    """Requests to the agent of one machine. Holds no connection between requests."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def status(self) -> AgentStatus | None:
        """Ask how the agent is; None where no agent answers."""
        try:
            with _request(self._machine, "GET", "/v1/status", timeout_s=10.0) as response:
                return status_from_json(response.read())
        except (FileNotFoundError, ConnectionError, TimeoutError):
            return None

    def events(self, path: str, payload: dict[str, Any]) -> Iterator[Event]:
        """Ask for a change and yield its events until it has ended.

        Raises:
            RemoteError: It failed there, or was refused.
            AgentError: The agent went away before the end.
        """
        body = json.dumps(payload).encode()
        request = partial(_request, self._machine, "POST", path, timeout_s=None)
        answered = False
        for last in (False, True):
            try:
                with request(body=body) as response:
                    answered = True
                    yield from _events(response)
            except (FileNotFoundError, ConnectionError, http.client.HTTPException) as error:
                if answered or last:
                    raise AgentError(
                        "The agent went away before the change had ended.",
                        hint=f"Run it again: it finishes or undoes. Log: {self._machine.agent_log}",
                    ) from error
                # An idle agent was about to leave and has not taken the request.
                wait_until_gone(self._machine)
                ensure_agent(self._machine)
            else:
                return

    def cancel(self) -> None:
        """Ask the agent to stop the change under way, or the foreground stack, and undo it."""
        with _request(self._machine, "POST", "/v1/cancel", body=b"{}", timeout_s=10.0) as response:
            response.read()

    def dismiss(self) -> None:
        """Tell an agent that has nothing to look after that nobody needs it."""
        with _request(self._machine, "POST", "/v1/leave", body=b"{}", timeout_s=10.0) as response:
            response.read()


def ensure_agent(machine: Machine) -> AgentClient:
    """Return a client of the machine's agent, starting the agent first where there is none.

    Raises:
        AgentError: It did not start; the error has the last lines of its log.
    """
    with coming_agent(machine) as wait:
        return wait()


@contextmanager
def coming_agent(machine: Machine) -> Iterator[Callable[[], AgentClient]]:
    """Start the agent where there is none, and go on meanwhile: it takes most of a second.

    When what is done meanwhile fails, the agent that was started for it is sent away again, unless
    somebody else has found it and given it something to do.

    Yields:
        What waits for the agent and returns a client of it, as `ensure_agent` does.
    """
    client = AgentClient(machine)
    process = _start(machine) if client.status() is None else None

    def wait() -> AgentClient:
        if process is not None:
            _wait_until_up(client, machine, process)
        return client

    try:
        yield wait
    except AgentError:
        raise
    except BaseException:
        if process is not None:
            with suppress(AgentError, OSError, subprocess.TimeoutExpired):
                wait().dismiss()
                process.wait(timeout=5)
        raise


def agent_holds(machine: Machine) -> bool:
    """Tell whether an agent is alive, even when its socket does not answer."""
    try:
        descriptor = open_own(machine.lock_file, os.O_RDWR)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _untrusted(machine.lock_file, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def wait_until_gone(machine: Machine, *, timeout_s: float = 30.0) -> None:
    """Wait until the agent has left, after it was told to."""
    deadline = time.monotonic() + timeout_s
    while agent_holds(machine) and time.monotonic() < deadline:
        time.sleep(0.05)


def _start(machine: Machine) -> subprocess.Popen[bytes]:
    log_to = _own_log(machine)
    command = [sys.executable, "-m", "gpuslice.agent", "--root", str(machine.root)]
    if machine.simulated:
        command += ["--simulate", machine.simulation]
    with os.fdopen(log_to, "ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
        )


def _own_log(machine: Machine) -> int:
    """Open the agent's log, in folders that are ours: the agent's first words are to be seen."""
    try:
        make_private_folder(machine.root)
        make_private_folder(machine.log_dir)
        return open_own(machine.agent_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    except OSError as error:
        raise _untrusted(Path(error.filename or machine.agent_log), error) from error


def _untrusted(path: Path, error: OSError) -> RecordError:
    return RecordError(
        f"{path} cannot be used: {error.strerror}.",
        hint="Remove it, or set GPUSLICE_HOME to a folder of your own.",
    )


def _wait_until_up(client: AgentClient, machine: Machine, process: subprocess.Popen[bytes]) -> None:
    """Wait until an agent answers: the one started, or another that was quicker."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if client.status() is not None:
            return
        if process.poll() is not None and not agent_holds(machine):
            break
        time.sleep(0.02)
    raise AgentError(
        "The agent did not start.",
        hint=f"Its log: {machine.agent_log}",
        details=_last_lines(machine.agent_log),
    )


def _last_lines(path: Path, lines: int = 10) -> tuple[str, ...]:
    try:
        return tuple(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float | None) -> None:
        super().__init__("localhost")
        self._path = path
        self._timeout_s = timeout_s

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self._timeout_s)
        with reachable(self._path) as path:
            self.sock.connect(path)
        _check_peer(self.sock, self._path)


def _check_peer(connected: socket.socket, path: Path) -> None:
    """Refuse to talk to another user's process that listens where our agent should.

    The kernel noted who it is when it began to listen, so nothing can change in between.

    Raises:
        AgentError: It is another user's.
    """
    found = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _pid, user, _group = _CREDENTIALS.unpack(found)
    if user != os.geteuid():
        raise AgentError(
            f"What listens on {path} belongs to user {user}, not to you.",
            hint="Run gpuslice as that user, or set GPUSLICE_HOME to a folder of your own.",
        )


@contextmanager
def _request(
    machine: Machine,
    method: str,
    path: str,
    *,
    timeout_s: float | None,
    body: bytes | None = None,
) -> Iterator[http.client.HTTPResponse]:
    """Make one request; the connection is closed on leaving, also one that never came about."""
    connection = _UnixConnection(machine.socket_file, timeout_s)
    try:
        connection.request(method, path, body=body)
        yield connection.getresponse()
    finally:
        connection.close()


def _events(response: http.client.HTTPResponse) -> Iterator[Event]:
    for line in response:
        if not line.strip():
            continue
        event = event_from_json(line)
        if event.kind is EventKind.END:
            return
        if event.kind is EventKind.ERROR:
            raise RemoteError(event)
        yield event
    raise ConnectionError("the stream of events broke off")


def event_to_json(event: Event) -> bytes:
    """One event as one line."""
    return json.dumps({k: v for k, v in asdict(event).items() if v}).encode() + b"\n"


def event_from_json(line: bytes) -> Event:
    """Read one line back."""
    found = json.loads(line)
    kind = EventKind(found.pop("kind"))
    details = tuple(found.pop("details", ()))
    return Event(kind=kind, text=found.pop("text", ""), details=details, **found)
