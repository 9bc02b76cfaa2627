from __future__ import annotations

import pytest

from gpuslice.model.demand import ReplicaId
from gpuslice.model.server import MetricNames
from gpuslice.monitor.samples import Sample, ServerSample, parse_gateway, parse_server, rates

CHAT = ReplicaId("chat", 0)
CODER = ReplicaId("coder", 0)

LLAMA_NAMES = MetricNames(
    requests_running="llamacpp:requests_processing",
    generated_tokens_total="llamacpp:tokens_predicted_total",
    prompt_tokens_total="llamacpp:prompt_tokens_total",
)
LLAMA_TEXT = """\
# HELP llamacpp:prompt_tokens_total Number of prompt tokens processed.
# TYPE llamacpp:prompt_tokens_total counter
llamacpp:prompt_tokens_total 7
# HELP llamacpp:tokens_predicted_total Number of generation tokens processed.
# TYPE llamacpp:tokens_predicted_total counter
llamacpp:tokens_predicted_total 20
# HELP llamacpp:requests_processing Number of requests processing.
# TYPE llamacpp:requests_processing gauge
llamacpp:requests_processing 2
"""

VLLM_NAMES = MetricNames(
    requests_running="vllm:num_requests_running",
    generated_tokens_total="vllm:generation_tokens_total",
)
VLLM_TEXT = """\
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="x"} 1.0
vllm:num_requests_running{engine="1",model_name="x"} 3.0
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="x"} 5.0
vllm:generation_tokens_total{engine="1",model_name="x"} 6.0
"""

GATEWAY_TEXT = """\
# TYPE smg_router_requests_total counter
smg_router_requests_total{model="chat",endpoint="chat",streaming="true"} 3
smg_router_requests_total{model="chat",endpoint="completions",streaming="false"} 4
smg_router_requests_total{model="coder",endpoint="chat",streaming="true"} 1
# TYPE smg_router_request_errors_total counter
smg_router_request_errors_total{model="chat"} 99
"""


def a_sample(*, tokens: float | None, at_s: float, replica: ReplicaId = CHAT) -> Sample:
    server = ServerSample(replica=replica, at_s=at_s, generated_tokens_total=tokens)
    return Sample(at_s=at_s, servers=(server,))


def test_counters_of_llama_cpp_are_read() -> None:
    sample = parse_server(LLAMA_TEXT, LLAMA_NAMES, replica=CHAT, at_s=3.0)
    assert sample == ServerSample(
        replica=CHAT,
        at_s=3.0,
        requests_running=2,
        generated_tokens_total=20.0,
        prompt_tokens_total=7.0,
    )


def test_labels_of_vllm_are_summed_over() -> None:
    sample = parse_server(VLLM_TEXT, VLLM_NAMES, replica=CHAT, at_s=0.0)
    assert sample.requests_running == 4
    assert sample.generated_tokens_total == 11.0


def test_a_counter_the_engine_does_not_have_is_unknown_and_not_zero() -> None:
    sample = parse_server(VLLM_TEXT, VLLM_NAMES, replica=CHAT, at_s=0.0)
    assert sample.prompt_tokens_total is None


def test_a_counter_missing_from_the_text_is_unknown_and_not_zero() -> None:
    sample = parse_server("up 1\n", LLAMA_NAMES, replica=CHAT, at_s=0.0)
    assert sample == ServerSample(replica=CHAT, at_s=0.0)


def test_a_counter_published_without_total_is_found_under_its_own_name() -> None:
    text = "# TYPE tokens counter\ntokens 9\n"
    names = MetricNames(generated_tokens_total="tokens")
    sample = parse_server(text, names, replica=CHAT, at_s=0.0)
    assert sample.generated_tokens_total == 9.0


def test_text_that_is_not_prometheus_is_refused() -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_server("<html> {oops", LLAMA_NAMES, replica=CHAT, at_s=0.0)


def test_gateway_requests_are_summed_by_model() -> None:
    assert parse_gateway(GATEWAY_TEXT) == {"chat": 7.0, "coder": 1.0}


def test_rate_is_the_increase_over_the_time_between() -> None:
    between = rates(a_sample(tokens=10, at_s=1), a_sample(tokens=40, at_s=3))
    assert between.tokens_per_s == {CHAT: 15.0}


def test_after_a_restart_only_what_was_counted_since_is_the_increase() -> None:
    between = rates(a_sample(tokens=1000, at_s=0), a_sample(tokens=6, at_s=2))
    assert between.tokens_per_s == {CHAT: 3.0}


def test_a_server_that_was_not_there_before_has_no_rate_yet() -> None:
    between = rates(a_sample(tokens=10, at_s=0, replica=CODER), a_sample(tokens=40, at_s=1))
    assert between.tokens_per_s == {}


@pytest.mark.parametrize(("before", "now"), [(None, 5.0), (5.0, None)])
def test_an_unknown_count_gives_no_rate(before: float | None, now: float | None) -> None:
    between = rates(a_sample(tokens=before, at_s=0), a_sample(tokens=now, at_s=1))
    assert between.tokens_per_s == {}


def test_two_samples_of_one_moment_give_no_rate() -> None:
    between = rates(a_sample(tokens=1, at_s=5), a_sample(tokens=2, at_s=5))
    assert between.tokens_per_s == {}


def test_requests_are_rated_by_model() -> None:
    between = rates(
        Sample(at_s=0, requests_total={"chat": 3.0}),
        Sample(at_s=2, requests_total={"chat": 7.0, "coder": 5.0}),
    )
    assert between.requests_per_s == {"chat": 2.0}


def test_tokens_of_a_model_are_those_of_all_its_replicas() -> None:
    second = ReplicaId("chat", 1)
    between = rates(
        Sample(at_s=0, servers=(*a_sample(tokens=0, at_s=0).servers,
                                *a_sample(tokens=0, at_s=0, replica=second).servers)),
        Sample(at_s=1, servers=(*a_sample(tokens=2, at_s=1).servers,
                                *a_sample(tokens=3, at_s=1, replica=second).servers)),
    )  # fmt: skip
    assert between.model_tokens_per_s("chat") == 5.0
    assert between.model_tokens_per_s("coder") is None
