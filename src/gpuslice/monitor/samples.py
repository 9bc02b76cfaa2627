"""What servers and the gateway count, and the rates between two countings.

Pure: text and times come in, values go out. Separate from the fetching, so that rates are tested
without a server. Counters start again at zero when a server is restarted; the arithmetic is that of
Prometheus' ``rate``: what was counted since the restart is the increase, so no rate is negative.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from gpuslice.model.demand import ReplicaId
from gpuslice.model.server import MetricNames

# smg's counter of requests by model (its `/metrics`, Prometheus text).
GATEWAY_REQUESTS = "smg_router_requests_total"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSample:
    """What one server counted up to one moment; None for what its engine does not tell.

    Attributes:
        replica: Which replica it serves.
        at_s: When, seconds on the clock of all samples.
        requests_running: Requests being answered.
        generated_tokens_total: Tokens produced since the server started.
        prompt_tokens_total: Prompt tokens read since the server started.
    """

    replica: ReplicaId
    at_s: float
    requests_running: int | None = None
    generated_tokens_total: float | None = None
    prompt_tokens_total: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """All countings of one moment.

    Attributes:
        at_s: When, seconds.
        servers: One per server that answered.
        requests_total: Requests by model that the gateway has taken since it started.
    """

    at_s: float
    servers: tuple[ServerSample, ...] = ()
    requests_total: Mapping[str, float] = field(default_factory=dict)

    def server(self, replica: ReplicaId) -> ServerSample | None:
        """Return the sample of a replica's server, or None when it did not answer."""
        return next((s for s in self.servers if s.replica == replica), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What went on between two samples; nothing is said of what was not in both.

    Attributes:
        tokens_per_s: Generated tokens per second, by replica.
        requests_per_s: Requests per second at the gateway, by model.
    """

    tokens_per_s: Mapping[ReplicaId, float]
    requests_per_s: Mapping[str, float]

    def model_tokens_per_s(self, model: str) -> float | None:
        """Sum the generated tokens per second of a model's replicas; None when none is known."""
        known = [rate for replica, rate in self.tokens_per_s.items() if replica.model == model]
        return sum(known) if known else None


def parse_server(text: str, names: MetricNames, *, replica: ReplicaId, at_s: float) -> ServerSample:
    """Read a server's counters out of its Prometheus text; labels are summed over.

    Args:
        text: What its metrics path answered.
        names: What its engine calls the counters.
        replica: Which replica it serves.
        at_s: When the text was fetched, seconds.

    Raises:
        ValueError: It is not Prometheus text.
    """
    totals: dict[str, float] = {}
    for name, _, value in _read(text):
        totals[name] = totals.get(name, 0.0) + value
    running = _named(totals, names.requests_running)
    return ServerSample(
        replica=replica,
        at_s=at_s,
        requests_running=None if running is None else round(running),
        generated_tokens_total=_generated(totals, names),
        prompt_tokens_total=_named(totals, names.prompt_tokens_total),
    )


def parse_gateway(text: str) -> dict[str, float]:
    """Read requests by model out of the gateway's Prometheus text; other labels are summed over.

    Raises:
        ValueError: It is not Prometheus text.
    """
    totals: dict[str, float] = {}
    for name, labels, value in _read(text):
        if name == GATEWAY_REQUESTS and labels.get("model"):
            totals[labels["model"]] = totals.get(labels["model"], 0.0) + value
    return totals


def _read(text: str) -> Iterator[tuple[str, Mapping[str, str], float]]:
    from prometheus_client.parser import (  # noqa: PLC0415 - slow to import; only sampling needs it
        text_string_to_metric_families,
    )

    for family in text_string_to_metric_families(text):
        for found in family.samples:
            yield found.name, found.labels, found.value


def _generated(totals: Mapping[str, float], names: MetricNames) -> float | None:
    count = _named(totals, names.generated_tokens_total)
    if count is None or not names.generated_tokens_factor:
        return count
    factor = _named(totals, names.generated_tokens_factor)
    return None if factor is None else count * factor


def _named(totals: Mapping[str, float], name: str) -> float | None:
    # The parser adds "_total" to a counter that was published without it.
    return totals.get(name, totals.get(f"{name}_total")) if name else None


def rates(previous: Sample, current: Sample) -> Rates:
    """Work out rates between two samples, the older one first."""
    tokens: dict[ReplicaId, float] = {}
    for now in current.servers:
        before = previous.server(now.replica)
        if before is None:
            continue
        rate = _rate(
            before.generated_tokens_total, now.generated_tokens_total, now.at_s - before.at_s
        )
        if rate is not None:
            tokens[now.replica] = rate
    elapsed_s = current.at_s - previous.at_s
    requests = {
        model: rate
        for model, total in current.requests_total.items()
        if (rate := _rate(previous.requests_total.get(model), total, elapsed_s)) is not None
    }
    return Rates(tokens_per_s=tokens, requests_per_s=requests)


def _rate(before: float | None, now: float | None, elapsed_s: float) -> float | None:
    if before is None or now is None or elapsed_s <= 0:
        return None
    return (now - before if now >= before else now) / elapsed_s
