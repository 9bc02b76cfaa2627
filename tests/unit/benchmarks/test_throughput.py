"""What the measurement of real servers' speed does, tried on a server that only counts."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from benchmarks.clients import NoAnswerError, Served, time_requests
from benchmarks.on_a_card import Started
from benchmarks.random_models import SHAPES, outline_of, write_model
from benchmarks.speed import POINTS, Timed, compare, row, time_points
from benchmarks.throughput import told, version_in

from gpuslice.engines.api import ServeRequest
from gpuslice.engines.vllm import Vllm
from gpuslice.model.demand import ReplicaId
from gpuslice.sizing.calibration import general_efficiency, whole_board
from gpuslice.sizing.size import read_model, size_model
from gpuslice.sizing.throughput import Traffic

FEW = Traffic(concurrency=3, prompt_tokens=5, answer_tokens=4)
LOG = """INFO 11-24 10:00:00 [utils.py:1] vLLM API server version 0.20.0
non-default args: {'gpu_memory_utilization': 0.5}
Model loading took 0.25 GiB memory and 1.0 seconds
Available KV cache memory: 4.00 GiB
GPU KV cache size: 180,000 tokens
"""


class Counting(ThreadingHTTPServer):
    """Answers completions as vLLM does, and keeps what it was asked."""

    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[dict[str, Any]] = []
        self.status, self.short_by = 200, 0

    @property
    def served(self) -> Served:
        return Served(host="127.0.0.1", port=self.server_address[1], model="made-up")


class _Handler(BaseHTTPRequestHandler):
    server: Counting

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append({"path": self.path, **asked})
        given = asked["max_tokens"] - self.server.short_by
        usage = {"prompt_tokens": len(asked["prompt"]), "completion_tokens": given}
        text = json.dumps({"choices": [{"text": "w3 " * given}], "usage": usage}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass


@pytest.fixture
def counting() -> Iterator[Counting]:
    with Counting() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_every_client_asks_once_for_exactly_so_many_tokens(counting: Counting) -> None:
    took = time_requests(counting.served, clients=3, prompt_tokens=5, answer_tokens=4, seed=1)
    assert took > 0
    assert [each["path"] for each in counting.asked] == ["/v1/completions"] * 3
    for each in counting.asked:
        assert (each["model"], each["max_tokens"], each["ignore_eos"]) == ("made-up", 4, True)
    # No two prompts are alike, or the server's cache would answer for the card.
    assert len({tuple(each["prompt"]) for each in counting.asked}) == 3
    assert {len(each["prompt"]) for each in counting.asked} == {5}


@pytest.mark.parametrize(("status", "short_by"), [(503, 0), (200, 1)])
def test_a_refusal_and_a_short_answer_are_no_measurement(
    counting: Counting, status: int, short_by: int
) -> None:
    counting.status, counting.short_by = status, short_by
    with pytest.raises(NoAnswerError, match=r"503|\(5, 3\) tokens"):
        time_requests(counting.served, clients=2, prompt_tokens=5, answer_tokens=4, seed=1)


def test_a_server_that_is_gone_is_told(counting: Counting) -> None:
    gone = counting.served
    counting.server_close()
    with pytest.raises(NoAnswerError, match="did not answer"):
        time_requests(gone, clients=1, prompt_tokens=5, answer_tokens=4, seed=1)


class Paced:
    """Takes 0.5 s for prompts and 0.1 s for each further token, on a clock of its own."""

    def __init__(self) -> None:
        self.now, self.seeds = 0.0, list[int]()

    def ask(self, served: Served, *, answer_tokens: int, seed: int, **_: int) -> float:
        self.seeds.append(seed)
        took = 0.5 + 0.1 * (answer_tokens - 1)
        self.now += took
        return took

    def clock(self) -> float:
        return self.now


def test_a_point_is_tried_again_while_that_is_quick_and_never_with_the_same_prompts() -> None:
    paced, served = Paced(), Served(host="", port=0, model="")
    slow = Traffic(concurrency=2, prompt_tokens=7, answer_tokens=101)
    timed = time_points(served, (FEW, slow), ask=paced.ask, clock=paced.clock)
    assert [one.tries for one in timed] == [3, 1]  # 1.3 s and 11 s a try
    assert len(set(paced.seeds)) == len(paced.seeds) == 2 + 2 * 3 + 2 * 1
    assert timed[0].whole_s - timed[0].prompts_s == pytest.approx(0.3)


def test_rates_follow_from_two_times() -> None:
    timed = Timed(
        concurrency=4, prompt_tokens=100, answer_tokens=11, prompts_s=0.5, whole_s=2.5, tries=1
    )
    assert timed.rates == {"answers": 4 * 11 / 2.5, "decode": 4 * 10 / 2.0}
    prompts = Timed(
        concurrency=1, prompt_tokens=800, answer_tokens=1, prompts_s=0.1, whole_s=0.1, tries=1
    )
    assert prompts.rates == {"prefill": pytest.approx(8000)}


def test_a_clock_too_coarse_for_decode_gives_no_decode() -> None:
    timed = Timed(
        concurrency=1, prompt_tokens=1, answer_tokens=2, prompts_s=0.5, whole_s=0.5, tries=1
    )
    assert set(timed.rates) == {"answers"}


def test_what_was_measured_is_held_against_the_roofline_of_the_board(tmp_path: Path) -> None:
    write_model(outline_of(SHAPES[3]), tmp_path / "llama")
    work = read_model(str(tmp_path / "llama"), "vllm").work
    timed = Timed(
        concurrency=1, prompt_tokens=128, answer_tokens=257, prompts_s=0.1, whole_s=1.38, tries=1
    )
    reached = general_efficiency("vllm")
    answers, decode = compare([timed], work, whole_board("h200"), reached)
    # 15.0 GB and 0.03 of cache, at 0.9 × 4,800 GB/s, and 1.7 ms: 5.2 ms a token.
    assert decode.likely == pytest.approx(193, abs=2)
    assert decode.measured == pytest.approx(200)
    assert decode.within
    assert (answers.what, decode.what) == ("answers", "decode")
    assert row("Llama", decode).startswith("| Llama | 1 | 128 + 257 | decode | 200 | 19")
    assert row("Llama", decode).endswith("| yes |")


def test_all_of_a_server_is_told_in_json(
    tmp_path: Path, counting: Counting, capsys: pytest.CaptureFixture[str]
) -> None:
    shape = SHAPES[0]
    write_model(outline_of(shape), tmp_path / "model")
    sized = size_model(str(tmp_path / "model"), engine="vllm", context_tokens=8192, concurrency=32)
    request = ServeRequest(
        stack="sizing",
        replica=ReplicaId("smol", 0),
        source=str(tmp_path / "model"),
        slice_uuid="0",
        slice_memory_mib=143_000,
        port=counting.served.port,
        context_tokens=8192,
        concurrency=32,
    )
    launch = Vllm().launch(request)
    started = Started(
        model=tmp_path / "model",
        sized=sized,
        request=request,
        launch=launch,
        log=LOG,
        used_mib=7000,
        took_s=50.0,
    )
    found = json.loads(json.dumps(told(shape, started, "h200", eager=False)))
    assert (found["shape"], found["version"], found["board"]) == ("SmolLM2-135M", "0.20.0", "h200")
    assert len(found["timed"]) == len(POINTS)
    # Decode is left out where so quick a server's whole answer came no later than its first token.
    assert {one["what"] for one in found["compared"]} >= {"answers", "prefill"}
    assert found["memory"]["weights"] == 256
    assert found["work"]["kv_bytes_per_token"] == 23_040
    assert capsys.readouterr().out.count("| SmolLM2-135M |") == len(found["compared"])
    assert {each["model"] for each in counting.asked} == {"smol"}


@pytest.mark.parametrize(
    ("line", "version"),
    [
        ("vLLM API server version 0.20.0", "0.20.0"),
        ("Initializing a V1 LLM engine (v0.20.1+cu129) with config", "0.20.1+cu129"),
        ("nothing of the kind", ""),
    ],
)
def test_the_version_is_read_from_the_log(line: str, version: str) -> None:
    assert version_in(line) == version


def test_a_tokenizer_has_a_word_for_every_token_that_may_be_answered(tmp_path: Path) -> None:
    write_model(outline_of(SHAPES[0]), tmp_path / "model")
    tokenizer = json.loads((tmp_path / "model" / "tokenizer.json").read_text())
    assert len(tokenizer["model"]["vocab"]) == SHAPES[0].vocabulary
