"""What a server is asked before it counts as ready: one token, in the form its model can answer.

Separate because all engines speak the same dialect, OpenAI's. An open port and a good health say
that a server has loaded; only an answer says that it computes, under the name clients will use.

A model that generates text answers a completion, whether or not it has a chat template; one that
makes embeddings answers an embedding. The kind is not known beforehand, so a server is asked in
turn, and the first answer counts.

Source: OpenAI API reference, "Completions", "Chat", "Embeddings"; vLLM, SGLang and llama.cpp serve
all three paths and refuse those that their model cannot answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from gpuslice.engines.api import ServeRequest
from gpuslice.model.server import Question

HEALTH = "health"
GENERATING_OR_EMBEDDING = ("completion", "chat", "embedding")

_ONE_TOKEN: Mapping[str, object] = {"max_tokens": 1, "temperature": 0, "stream": False}
_KINDS: Mapping[str, tuple[str, Mapping[str, object], str]] = {
    "completion": ("/v1/completions", {"prompt": "Hi", **_ONE_TOKEN}, "choices"),
    "chat": (
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": "Hi"}], **_ONE_TOKEN},
        "choices",
    ),
    "embedding": ("/v1/embeddings", {"input": "Hi"}, "data"),
}
KINDS = (*_KINDS, HEALTH)
"""What `ready:` of a stack file may say."""


def questions_for(request: ServeRequest, kinds: tuple[str, ...]) -> tuple[Question, ...]:
    """Write the questions for one server, by the name it serves its model under.

    Args:
        request: What is served; its ``ready`` wins over what suits the engine.
        kinds: What suits the engine, the likeliest first.

    Returns:
        None where its health is all that can be asked for.
    """
    asked = (request.ready,) if request.ready else kinds
    return tuple(_question(kind, request.replica.model) for kind in asked if kind != HEALTH)


def _question(kind: str, model: str) -> Question:
    path, body, answer_key = _KINDS[kind]
    return Question(path=path, body=json.dumps({"model": model, **body}), answer_key=answer_key)
