"""State is ours alone: 0700 and 0600, no links, nobody else's, at every use."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from builders import a_record, some_gateway_settings
from gpuslice.agent import client
from gpuslice.agent.__main__ import _listen, hold_lock, make_private
from gpuslice.agent.client import AgentClient, agent_holds
from gpuslice.agent.node import open_driver, record_store
from gpuslice.errors import AgentError, GpusliceError
from gpuslice.gateway.settings import read_settings, write_settings
from gpuslice.model.machine import Machine
from gpuslice.runtime.logs import Logs

A_STRANGER = 54_321


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A simulated machine of which nothing is there yet."""
    return Machine(root=tmp_path / "home" / "sim-a30", simulation="a30")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def write_log(machine: Machine) -> None:
    os.close(Logs(folder=machine.log_dir).open_for_append("chat-0"))


def open_simulator(machine: Machine) -> None:
    open_driver(machine).read()


Use = Callable[[Machine], object]
WRITERS: dict[str, tuple[Use, Callable[[Machine], Path]]] = {
    "record": (lambda m: record_store(m).write_record(a_record()), lambda m: m.record_file),
    "gateway": (
        lambda m: write_settings(some_gateway_settings(), m.gateway_file),
        lambda m: m.gateway_file,
    ),
    "lock": (lambda m: os.close(hold_lock(m)), lambda m: m.lock_file),
    "socket": (lambda m: _listen(m).close(), lambda m: m.socket_file),
    "log": (write_log, lambda m: m.log_dir / "chat-0.log"),
    "agent's log": (lambda m: os.close(client._own_log(m)), lambda m: m.agent_log),
}
READERS: dict[str, tuple[Use, Callable[[Machine], Path]]] = {
    "record": (lambda m: record_store(m).read_record(), lambda m: m.record_file),
    "journal": (lambda m: record_store(m).read_journal(), lambda m: m.journal_file),
    "gateway": (lambda m: read_settings(m.gateway_file), lambda m: m.gateway_file),
    "lock": (agent_holds, lambda m: m.lock_file),
    "log": (
        lambda m: Logs(folder=m.log_dir).tail("chat-0", lines=1),
        lambda m: m.log_dir / "chat-0.log",
    ),
    "log to write": (write_log, lambda m: m.log_dir / "chat-0.log"),
    "lock to hold": (hold_lock, lambda m: m.lock_file),
    "agent's log": (client._own_log, lambda m: m.agent_log),
}


@pytest.mark.parametrize("what", WRITERS)
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_what_is_written_is_ours_alone_whatever_the_umask(
    machine: Machine, what: str, umask: int
) -> None:
    write, path_of = WRITERS[what]
    before = os.umask(umask)
    try:
        make_private(machine.root)
        write(machine)
    finally:
        os.umask(before)
    assert mode(path_of(machine)) == 0o600
    assert mode(machine.root) == 0o700
    assert mode(path_of(machine).parent) == 0o700


@pytest.mark.parametrize("what", READERS)
@pytest.mark.parametrize("trap", ["link", "pipe", "folder"])
def test_what_is_no_plain_file_is_refused_and_not_waited_for(
    machine: Machine, what: str, trap: str, tmp_path: Path
) -> None:
    use, path_of = READERS[what]
    make_private(machine.root)
    path = path_of(machine)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    bait = tmp_path / "bait"
    bait.write_text("{}")
    bait.chmod(0o644)
    match trap:
        case "link":
            path.symlink_to(bait)
        case "pipe":
            os.mkfifo(path, 0o600)
        case "folder":
            path.mkdir()
    with pytest.raises(GpusliceError) as caught:
        use(machine)
    assert str(path) in caught.value.message
    assert bait.read_text() == "{}"
    assert mode(bait) == 0o644


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
@pytest.mark.parametrize("what", READERS)
def test_what_belongs_to_somebody_else_is_refused(machine: Machine, what: str) -> None:
    use, path_of = READERS[what]
    make_private(machine.root)
    path = path_of(machine)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_text("{}")
    path.chmod(0o600)
    os.chown(path, A_STRANGER, A_STRANGER)
    with pytest.raises(GpusliceError) as caught:
        use(machine)
    assert str(A_STRANGER) in caught.value.message
    assert path.lstat().st_uid == A_STRANGER


@pytest.mark.parametrize("use", [make_private, lambda m: client._own_log(Machine(root=m))])
def test_a_state_folder_that_is_a_link_is_refused(
    tmp_path: Path, use: Callable[[Path], object]
) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o755)
    (tmp_path / "root").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(GpusliceError, match="it is a link"):
        use(tmp_path / "root")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert mode(tmp_path / "elsewhere") == 0o755


def test_the_simulated_machine_is_ours_alone(machine: Machine) -> None:
    open_simulator(machine)
    assert mode(machine.simulator_dir) == 0o700
    assert {mode(path) for path in machine.simulator_dir.iterdir()} == {0o600}


def test_the_agent_of_another_user_is_not_talked_to(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_private(machine.root)
    with _listen(machine):
        monkeypatch.setattr(os, "geteuid", lambda: A_STRANGER)
        with pytest.raises(AgentError, match=r"belongs to user \d+, not to you"):
            AgentClient(machine).status()


def test_a_link_in_the_sockets_place_is_replaced_not_followed(
    machine: Machine, tmp_path: Path
) -> None:
    make_private(machine.root)
    with socket.socket(socket.AF_UNIX) as theirs:
        theirs.bind(str(tmp_path / "theirs"))
        machine.socket_file.symlink_to(tmp_path / "theirs")
        with _listen(machine):
            assert stat.S_ISSOCK(machine.socket_file.lstat().st_mode)
    assert (tmp_path / "theirs").exists()
