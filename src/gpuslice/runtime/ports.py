"""Ports of this machine: a free one for a server, and who holds one that is not free.

Separate because "address already in use" without a name costs people half an hour.

Source: proc_pid_net(5) for the socket table; its addresses are hexadecimal, its state 0A listens.
"""

from __future__ import annotations

import errno
import os
import random
import socket
import textwrap
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from gpuslice.errors import GatewayError, PortInUseError, RuntimeFailure
from gpuslice.runtime.procfs import list_pids, read_command

# Below the range from which Linux takes the near ends of outgoing connections (32768 upwards),
# so that no client connection can sit on a server's port while the server restarts.
_RANGE = range(20_000, 32_000)
_LISTENING = "0A"
_COMMAND_CHARACTERS = 100
_LOCAL_ADDRESS, _STATE, _INODE = 1, 3, 9


def free_port(taken: Collection[int] = ()) -> int:
    """Choose a port on loopback that nobody listens on.

    Args:
        taken: Ports promised to others that do not listen yet.

    Returns:
        The port. Nothing reserves it: whoever is to listen has to do so soon.

    Raises:
        RuntimeFailure: Every port of the range is taken.
    """
    start = random.randrange(len(_RANGE))  # noqa: S311 - spreads concurrent choosers, no secret
    for offset in range(len(_RANGE)):
        port = _RANGE[(start + offset) % len(_RANGE)]
        if port not in taken and _bind_error("127.0.0.1", port) is None:
            return port
    raise RuntimeFailure(
        f"no port from {_RANGE[0]} to {_RANGE[-1]} is free", hint="stop what listens on them"
    )


def check_port_free(host: str, port: int) -> None:
    """Check that a program may listen on an address.

    Raises:
        PortInUseError: Somebody listens there; names them where that can be seen.
        GatewayError: The address is not one of this machine, or needs more privilege.
    """
    error = _bind_error(host, port)
    if error is None:
        return
    if error.errno == errno.EADDRINUSE:
        holder = port_holder(host, port) or "a process of another user"
        raise PortInUseError(
            f"port {port} on {host} is taken by {holder}",
            hint="stop it, or choose another port",
        ) from error
    raise GatewayError(
        f"cannot listen on {host}:{port}: {error.strerror}",
        hint="choose an address of this machine and a port from 1024 upwards",
    ) from error


def port_holder(host: str, port: int) -> str:
    """Name who listens on an address: ``pid 4711 (python -m http.server)``.

    Args:
        host: Address; listeners on every address count too.
        port: Port.

    Returns:
        The process in words, or "" when nobody listens or the holder cannot be seen.
    """
    inodes = set(_listening_inodes(host, port))
    if not inodes:
        return ""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for pid in list_pids():
        if not wanted.isdisjoint(_open_files(pid)):
            return f"pid {pid} ({_shortened(read_command(pid))})"
    return ""


def _bind_error(host: str, port: int) -> OSError | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do: connections that linger in TIME_WAIT do not count, listeners do.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            return error
    return None


def _listening_inodes(host: str, port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            rows = Path("/proc/net", table).read_text(encoding="ascii").splitlines()[1:]
            for row in rows:
                fields = row.split()
                address, _, hex_port = fields[_LOCAL_ADDRESS].partition(":")
                listens = fields[_STATE] == _LISTENING and int(hex_port, 16) == port
                if listens and _covers(address, host):
                    yield fields[_INODE]


def _covers(hex_address: str, host: str) -> bool:
    """Tell whether a listener's address collides with a host; wildcards collide with all."""
    wildcard = not hex_address.strip("0")
    if wildcard or host in ("0.0.0.0", "::", ""):  # noqa: S104 - compared, not listened on
        return True
    return hex_address == _hex_address(host)


def _hex_address(host: str) -> str:
    with suppress(OSError):
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        family, address = found[0][0], str(found[0][4][0])
        packed = socket.inet_pton(family, address)
        words = (packed[i : i + 4][::-1] for i in range(0, len(packed), 4))
        return b"".join(words).hex().upper()
    return ""


def _shortened(command: str) -> str:
    return textwrap.shorten(command, _COMMAND_CHARACTERS, placeholder=" …") or "unknown"


def _open_files(pid: int) -> Iterator[str]:
    with suppress(OSError), os.scandir(f"/proc/{pid}/fd") as entries:
        for entry in entries:
            with suppress(OSError):
                yield os.readlink(entry.path)  # noqa: PTH115 - thousands of them, one string each
