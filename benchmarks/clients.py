"""Clients that ask one server at the same time, and how long all of them wait together.

Answers are not streamed: a Python client that reads tens of thousands of small events a second
would measure itself. Every prompt is made of random tokens, so that no cache of prefixes answers,
and every answer has exactly the tokens that were asked for.
"""

from __future__ import annotations

import http.client
import json
import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier

_WITHIN_S = 120.0
_TOKENS = range(3, 1000)  # known to every tokenizer of `random_models`


class NoAnswerError(Exception):
    """A server refused a request, or answered with other than what was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """The server that is asked.

    Attributes:
        host: Address.
        port: Port.
        model: Name by which it serves its model.
    """

    host: str
    port: int
    model: str


def time_requests(
    served: Served, *, clients: int, prompt_tokens: int, answer_tokens: int, seed: int
) -> float:
    """Ask from several clients at once, once each; return seconds from the first to the last.

    Args:
        served: The server.
        clients: How many ask at the same time.
        prompt_tokens: Tokens of each prompt.
        answer_tokens: Tokens of each answer.
        seed: Of the random prompts; another for every call, or prompts are found in a cache.

    Raises:
        NoAnswerError: A request was refused, or was not answered with so many tokens.
    """
    source = random.Random(seed)
    prompts = [source.choices(_TOKENS, k=prompt_tokens) for _ in range(clients)]
    start = Barrier(clients)
    with ThreadPoolExecutor(max_workers=clients) as threads:
        spans = list(threads.map(lambda p: _one(served, p, answer_tokens, start), prompts))
    return max(end for _, end in spans) - min(began for began, _ in spans)


def _one(
    served: Served, prompt: Sequence[int], answer_tokens: int, start: Barrier
) -> tuple[float, float]:
    body = json.dumps(
        {
            "model": served.model,
            "prompt": list(prompt),
            "max_tokens": answer_tokens,
            "ignore_eos": True,
            "temperature": 0,
        }
    )
    connection = http.client.HTTPConnection(served.host, served.port, timeout=_WITHIN_S)
    try:
        start.wait(_WITHIN_S)
        began = time.perf_counter()
        connection.request(
            "POST", "/v1/completions", body=body, headers={"Content-Type": "application/json"}
        )
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
        ended = time.perf_counter()
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswerError(f"{served.model} did not answer: {error}") from error
    finally:
        connection.close()
    _check(response.status, text, len(prompt), answer_tokens)
    return began, ended


def _check(status: int, text: str, prompt_tokens: int, answer_tokens: int) -> None:
    if status != 200:
        raise NoAnswerError(f"a request was answered with {status}: {text[:300]}")
    try:
        usage = json.loads(text)["usage"]
        counted = (usage["prompt_tokens"], usage["completion_tokens"])
    except (ValueError, LookupError, TypeError) as error:
        raise NoAnswerError(f"an answer does not tell its tokens: {text[:300]}") from error
    if counted != (prompt_tokens, answer_tokens):
        wanted = (prompt_tokens, answer_tokens)
        raise NoAnswerError(f"{counted} tokens of prompt and answer, where {wanted} were asked for")
