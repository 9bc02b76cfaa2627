"""Taking one reading of the whole machine: slices from the driver, counters over HTTP.

All the I/O of this room. A server that does not answer costs its own row some numbers and nobody
else anything: all are asked side by side, each for a short time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPException
from urllib.request import ProxyHandler, build_opener

from gpuslice.driver.api import Driver
from gpuslice.model.gpu import Observed, SliceUse
from gpuslice.model.server import MetricNames, RunningServer
from gpuslice.monitor.samples import Sample, ServerSample, parse_gateway, parse_server
from gpuslice.monitor.snapshot import Reading

TIMEOUT_S = 1.0

# Far above any engine's text; keeps a port that streams for ever from filling our memory.
MOST_BYTES = 8 << 20

Fetch = Callable[[str], str | None]

# Servers listen on loopback: a proxy of the environment would never reach them.
_open = build_opener(ProxyHandler({})).open


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """One model server, and where and under which names it counts.

    Attributes:
        server: The server as found in the world.
        metrics_path: Path of its Prometheus text, or "" where it has none.
        metrics: What its engine calls the counters.
    """

    server: RunningServer
    metrics_path: str
    metrics: MetricNames

    @property
    def url(self) -> str:
        """Where its counters stand, or ""."""
        if not self.metrics_path:
            return ""
        return f"http://{self.server.host}:{self.server.port}{self.metrics_path}"


def fetch(url: str, *, timeout_s: float = TIMEOUT_S) -> str | None:
    """Fetch a metrics text.

    Args:
        url: An http address.
        timeout_s: Longest silence, seconds.

    Returns:
        The text; None when nobody answers, or not with a text.
    """
    try:
        with _open(url, timeout=timeout_s) as answer:
            text: bytes = answer.read(MOST_BYTES)
    except (OSError, HTTPException, ValueError):
        return None
    return text.decode(errors="replace")


def take_reading(
    driver: Driver,
    watched: Sequence[Watched] = (),
    *,
    gateway_url: str = "",
    fetch: Fetch = fetch,
    clock: Callable[[], float] = time.monotonic,
) -> Reading:
    """Read slices, their use, and the counters of every server and the gateway.

    Args:
        driver: Where slices are read.
        watched: The model servers.
        gateway_url: Where the gateway's Prometheus text stands, or "".
        fetch: Fetches a text, or None; a test gives its own.
        clock: Seconds; the same for all readings that are compared.

    Returns:
        What was read; servers that did not answer are missing from its sample.

    Raises:
        DriverError: The driver cannot be read.
    """
    observed = driver.read()
    with ThreadPoolExecutor(max_workers=max(1, len(watched) + 1)) as side_by_side:
        asked = side_by_side.map(lambda one: _sample_server(one, fetch, clock), watched)
        gateway = side_by_side.submit(_sample_gateway, gateway_url, fetch, clock)
        servers = tuple(sample for sample in asked if sample is not None)
        at_s, requests_total = gateway.result()
    return Reading(
        observed=observed,
        use=_read_use(driver, observed),
        servers=tuple(one.server for one in watched),
        sample=Sample(at_s=at_s, servers=servers, requests_total=requests_total),
    )


def _read_use(driver: Driver, observed: Observed) -> dict[tuple[str, int], SliceUse]:
    return {
        (gpu.uuid, instance_id): use
        for gpu in observed.gpus
        if gpu.slices
        for instance_id, use in driver.read_use(gpu.uuid).items()
    }


def _sample_server(
    watched: Watched, fetch: Fetch, clock: Callable[[], float]
) -> ServerSample | None:
    replica = watched.server.replica
    text = fetch(watched.url) if watched.url else None
    if replica is None or text is None:
        return None
    try:
        return parse_server(text, watched.metrics, replica=replica, at_s=clock())
    except ValueError:
        return None


def _sample_gateway(
    url: str, fetch: Fetch, clock: Callable[[], float]
) -> tuple[float, dict[str, float]]:
    text = fetch(url) if url else None
    at_s = clock()
    try:
        return at_s, parse_gateway(text) if text is not None else {}
    except ValueError:
        return at_s, {}
