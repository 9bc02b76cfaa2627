"""``ask``: put a question to one model, or to all side by side, through the one endpoint."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from gpuslice.cli.options import Simulate, machine_of

if TYPE_CHECKING:
    from gpuslice.cli.chat import Answer, Endpoint, Question
    from gpuslice.model.desired import Desired


def ask(
    model_or_prompt: Annotated[
        str, typer.Argument(metavar="MODEL", help="Which model; leave it out with --all.")
    ],
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="What to ask.")] = "",
    *,
    all_models: Annotated[
        bool, typer.Option("--all", help="Ask every model at the same time, side by side.")
    ] = False,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, tokens.")] = 256,
    temperature: Annotated[
        float | None, typer.Option(min=0.0, max=2.0, help="Randomness; 0 gives the same again.")
    ] = None,
    simulate: Simulate = "",
) -> None:
    """Ask a model and stream its answer: gpuslice ask chat "Who are you?"."""
    from gpuslice.agent.node import record_store
    from gpuslice.cli.chat import Question, endpoint_of
    from gpuslice.cli.console import banner
    from gpuslice.errors import NotRunningError

    machine = machine_of(simulate)
    desired = record_store(machine).read_record().desired
    if desired is None:
        raise NotRunningError(
            "No stack runs on this machine.",
            hint="Start one: gpuslice up. Simulated machines are named with --simulate.",
        )
    names = _names(desired, model_or_prompt, all_models=all_models)
    words = model_or_prompt if all_models else prompt
    if not words:
        raise typer.BadParameter("say what to ask", param_hint="PROMPT")
    banner(machine)
    endpoint = endpoint_of(desired)
    question = Question(prompt=words, max_tokens=max_tokens, temperature=temperature)
    if all_models:
        _side_by_side(endpoint, names, question)
    else:
        _one(endpoint, names[0], question)


def _names(desired: Desired, wanted: str, *, all_models: bool) -> list[str]:
    from difflib import get_close_matches

    from gpuslice.errors import NoServerError

    names = [model.name for model in desired.models]
    if all_models:
        return names
    if wanted in names:
        return [wanted]
    close = get_close_matches(wanted, names, n=1)
    meant = f"Did you mean {close[0]!r}? " if close else ""
    raise NoServerError(
        f"The stack {desired.stack} has no model {wanted!r}.",
        hint=f"{meant}It has: {', '.join(names)}.",
    )


def _one(endpoint: Endpoint, model: str, question: Question) -> None:
    from rich.text import Text

    from gpuslice.cli.chat import stream_answer
    from gpuslice.cli.console import err, harmless

    answer = None
    for answer in stream_answer(endpoint, model, question):
        sys.stdout.write(harmless(answer.piece))
        sys.stdout.flush()
    sys.stdout.write("\n")
    if answer is not None:
        err().print(Text(answer.summary, style="dim"))


def _side_by_side(endpoint: Endpoint, names: list[str], question: Question) -> None:
    """Show every answer in a column of its own as it grows; in a pipe, one below the other."""
    from rich.live import Live

    from gpuslice.cli.chat import ask_all
    from gpuslice.cli.console import out
    from gpuslice.cli.render.answers import columns, plain
    from gpuslice.errors import RequestError

    answers: dict[str, Answer] = {}
    asked = ask_all(endpoint, names, question)
    if out().is_terminal:
        with Live(columns(answers, names), console=out(), refresh_per_second=12) as live:
            for name, answer in asked:
                answers[name] = answer
                live.update(columns(answers, names))
    else:
        answers.update(asked)
        out().print(plain(answers, names))
    failed = [f"{name}: {a.error}" for name, a in answers.items() if a.error]
    if failed:
        message = f"{len(failed)} of {len(names)} models did not answer."
        raise RequestError(message, hint="gpuslice ps", details=tuple(failed))
