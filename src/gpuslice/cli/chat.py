"""Chat with models through the endpoint: streaming, several at the same time.

httpx and httpx-sse do the HTTP and the event stream; here is only what an answer is.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import httpx_sse

from gpuslice.errors import RequestError
from gpuslice.gateway.settings import read_keys_file
from gpuslice.model.desired import Desired
from gpuslice.runtime.ready import local_address

CONNECT_TIMEOUT_S = 5.0
SILENCE_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where to ask, and the key to show; the key never shows in a repr."""

    url: str
    key: str = ""

    def __repr__(self) -> str:
        return f"Endpoint({self.url})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked, and how.

    Attributes:
        prompt: The user's words.
        max_tokens: Longest answer, tokens.
        temperature: Randomness of the answer, or None for the server's own.
    """

    prompt: str
    max_tokens: int
    temperature: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer as far as it has come.

    Attributes:
        text: Everything so far.
        piece: What came last.
        tokens: Pieces so far; one token each with the engines used here.
        first_s: Seconds from the question to the first piece.
        elapsed_s: Seconds from the question to now.
        done: True when it is complete.
        error: Why it is not, or "".
    """

    text: str = ""
    piece: str = ""
    tokens: int = 0
    first_s: float = 0.0
    elapsed_s: float = 0.0
    done: bool = False
    error: str = ""

    @property
    def summary(self) -> str:
        """Speed in one line."""
        spent_s = self.elapsed_s - self.first_s
        speed = f", {(self.tokens - 1) / spent_s:.0f} tokens/s" if spent_s > 0 else ""
        return f"{self.tokens} tokens, first after {self.first_s:.2f} s{speed}"

    def grown(self, piece: str, elapsed_s: float) -> Answer:
        """Return the answer with one more piece."""
        first_s = self.first_s if self.tokens else elapsed_s
        return replace(
            self,
            text=self.text + piece,
            piece=piece,
            tokens=self.tokens + 1,
            first_s=first_s,
            elapsed_s=elapsed_s,
        )


def endpoint_of(desired: Desired) -> Endpoint:
    """Find the endpoint of a running stack, with one of its keys where it asks for one."""
    gateway = desired.gateway
    key = read_keys_file(Path(gateway.api_keys_file))[0] if gateway.api_keys_file else ""
    return Endpoint(url=f"http://{local_address(gateway.host)}:{gateway.port}", key=key)


def stream_answer(endpoint: Endpoint, model: str, question: Question) -> Iterator[Answer]:
    """Ask one model and yield the answer each time it has grown.

    Raises:
        RequestError: The endpoint cannot be reached or answers with an error.
    """
    began = time.monotonic()
    answer = Answer()
    for piece in _pieces(endpoint, model, question):
        answer = answer.grown(piece, time.monotonic() - began)
        yield answer
    yield replace(answer, piece="", done=True)


def ask_all(
    endpoint: Endpoint, models: list[str], question: Question
) -> Iterator[tuple[str, Answer]]:
    """Ask every model at the same time; yield whose answer has grown, as it comes.

    An error of one model is in its answer and does not disturb the others.
    """
    grown: queue.SimpleQueue[tuple[str, Answer]] = queue.SimpleQueue()

    def ask(model: str) -> None:
        answer = Answer()
        try:
            for answer in stream_answer(endpoint, model, question):
                grown.put((model, answer))
        except RequestError as error:
            grown.put((model, replace(answer, piece="", done=True, error=error.message)))

    for model in models:
        threading.Thread(target=ask, args=(model,), daemon=True).start()
    open_answers = len(models)
    while open_answers:
        model, answer = grown.get()
        open_answers -= answer.done
        yield model, answer


def _pieces(endpoint: Endpoint, model: str, question: Question) -> Iterator[str]:
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "user", "content": question.prompt}],
        "max_tokens": question.max_tokens,
        "stream": True,
    }
    if question.temperature is not None:
        body["temperature"] = question.temperature
    headers = {"Authorization": f"Bearer {endpoint.key}"} if endpoint.key else {}
    timeout = httpx.Timeout(SILENCE_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    url = f"{endpoint.url}/v1/chat/completions"
    try:
        with (
            httpx.Client(timeout=timeout, trust_env=False) as client,
            httpx_sse.connect_sse(client, "POST", url, json=body, headers=headers) as events,
        ):
            _raise_for(events.response, model)
            for event in events.iter_sse():
                if event.data != "[DONE]":
                    yield from _content(event.data)
    except httpx.HTTPError as error:
        raise RequestError(
            f"{model}: the endpoint {endpoint.url} did not answer: {error}",
            hint="gpuslice ps shows what runs.",
        ) from error


def _raise_for(response: httpx.Response, model: str) -> None:
    if response.is_success:
        return
    response.read()
    raise RequestError(
        f"{model}: the endpoint answered {response.status_code}: {_reason(response.text)}",
        hint="gpuslice ps shows what runs; gpuslice logs shows why.",
    )


def _reason(text: str) -> str:
    try:
        return str(json.loads(text)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return text.strip()[:200]


def _content(data: str) -> Iterator[str]:
    for choice in json.loads(data).get("choices", ()):
        if piece := choice.get("delta", {}).get("content"):
            yield str(piece)
