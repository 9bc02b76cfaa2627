"""The port of each server: pinned, kept, or free, and never two servers on one."""

from __future__ import annotations

import socket

import pytest

from gpuslice.agent.ports import lease_ports, metrics_port, pinned_ports
from gpuslice.errors import RuntimeFailure
from gpuslice.model.demand import ReplicaId
from gpuslice.model.desired import Desired, DesiredGateway, DesiredModel, PortLease
from gpuslice.runtime.ports import free_port

CHAT, MORE, TITLES = ReplicaId("chat", 0), ReplicaId("chat", 1), ReplicaId("titles", 0)


def a_desired(*, chat: int = 0, gateway: int = 8080) -> Desired:
    models = tuple(
        DesiredModel(
            name=name, engine="vllm", source="a/b", context_tokens=1, concurrency=1, port=port
        )
        for name, port in (("chat", chat), ("titles", 0))
    )
    return Desired(
        stack="s",
        stack_file="",
        digest="",
        models=models,
        gateway=DesiredGateway(host="127.0.0.1", port=gateway),
    )


def leased(desired: Desired, held: dict[ReplicaId, int], *taken: int) -> dict[ReplicaId, int]:
    leases = lease_ports(desired, (CHAT, MORE, TITLES), held, taken)
    assert [lease.replica for lease in leases] == [CHAT, MORE, TITLES]
    return {lease.replica: lease.port for lease in leases}


def test_a_replica_keeps_its_port_and_a_new_one_gets_a_free_one() -> None:
    ports = leased(a_desired(), {CHAT: 20001, ReplicaId("gone", 0): 20003}, 20004)
    assert ports[CHAT] == 20001
    assert len({*ports.values(), 20003, 20004, 8080}) == 6


def test_replicas_of_a_model_that_pins_a_port_follow_each_other() -> None:
    desired = a_desired(chat=21000)
    assert pinned_ports(desired, (CHAT, MORE, TITLES)) == {CHAT: 21000, MORE: 21001}
    ports = leased(desired, {CHAT: 20001, TITLES: 20002})
    assert ports == {CHAT: 21000, MORE: 21001, TITLES: 20002}


def test_a_port_that_was_free_gives_way_to_one_that_is_pinned_and_to_the_gateway() -> None:
    assert leased(a_desired(chat=21000), {TITLES: 21001})[TITLES] not in (21000, 21001)
    assert leased(a_desired(gateway=20002), {TITLES: 20002})[TITLES] != 20002


def test_a_port_stays_when_it_is_no_longer_pinned() -> None:
    assert leased(a_desired(), {CHAT: 21000})[CHAT] == 21000


def test_nobody_gets_a_port_that_a_stranger_listens_on() -> None:
    port = free_port()
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", port))
        stranger.listen()
        others = [other for other in range(20_000, 32_000) if other != port]
        with pytest.raises(RuntimeFailure, match="no port"):
            lease_ports(a_desired(), (CHAT,), {}, others)
    assert leased(a_desired(), {MORE: 1, TITLES: 2}, *others)[CHAT] == port


def test_the_port_of_metrics_stays_unless_it_is_somebodys_now() -> None:
    lease = PortLease(replica=CHAT, port=21000)
    assert metrics_port(21001, (lease,), (8080,)) == 21001
    assert metrics_port(21000, (lease,), (8080,)) not in (21000, 8080)
    assert metrics_port(8080, (lease,), (8080,)) not in (21000, 8080)
    assert metrics_port(0, (), ()) > 0
