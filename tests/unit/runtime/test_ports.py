from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from gpuslice.errors import GatewayError, PortInUseError, RuntimeFailure
from gpuslice.runtime import ports
from gpuslice.runtime.ports import check_port_free, free_port, port_holder


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def port_of(server: socket.socket) -> int:
    return int(server.getsockname()[1])


def test_free_port_can_be_listened_on() -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)) as server:
        assert port_of(server) == port


def test_promised_ports_are_not_given_again(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = free_port()
    monkeypatch.setattr(ports, "_RANGE", range(chosen, chosen + 1))
    assert free_port() == chosen
    with pytest.raises(RuntimeFailure, match="no port"):
        free_port({chosen})


def test_port_that_is_listened_on_is_not_chosen(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "_RANGE", range(port_of(listener), port_of(listener) + 1))
    with pytest.raises(RuntimeFailure):
        free_port()


def test_holder_of_a_port_is_named(listener: socket.socket) -> None:
    with pytest.raises(PortInUseError) as caught:
        check_port_free("127.0.0.1", port_of(listener))
    assert f"port {port_of(listener)} on 127.0.0.1 is taken by" in caught.value.message
    assert f"pid {os.getpid()} (" in caught.value.message


def test_listener_on_every_address_holds_the_port_too() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        assert port_holder("127.0.0.1", port_of(server)).startswith(f"pid {os.getpid()} ")


def test_listener_on_ipv6_is_named() -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    with socket.create_server(("::", 0), family=socket.AF_INET6) as server:
        assert port_holder("::1", port_of(server)).startswith(f"pid {os.getpid()} ")


def test_listener_on_another_address_is_not_the_holder(listener: socket.socket) -> None:
    assert port_holder("127.0.0.2", port_of(listener)) == ""


def test_free_port_has_no_holder() -> None:
    port = free_port()
    check_port_free("127.0.0.1", port)
    assert port_holder("127.0.0.1", port) == ""


def test_address_of_another_machine_is_refused() -> None:
    with pytest.raises(GatewayError, match=r"cannot listen on 192\.0\.2\.1:8080") as caught:
        check_port_free("192.0.2.1", 8080)
    assert not isinstance(caught.value, PortInUseError)
