"""Which servers count what, and where: the link between what runs and the monitor."""

from __future__ import annotations

from gpuslice.agent.launches import server_launches
from gpuslice.agent.node import Node
from gpuslice.monitor.collect import Watched


def watched_servers(node: Node) -> tuple[tuple[Watched, ...], str]:
    """Find the live servers with their counters, and the URL of the gateway's own."""
    record = node.read_record()
    launches = server_launches(record, node.driver.read(), node.host)
    alive = {process.key: process for process in node.runtime.list()}
    watched = tuple(
        Watched(server=alive[one.key], metrics_path=one.metrics_path, metrics=one.metrics)
        for one in launches
        if one.key in alive
    )
    port = record.gateway_metrics_port
    return watched, f"http://127.0.0.1:{port}/metrics" if port and record.desired else ""
