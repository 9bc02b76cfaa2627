"""How fast a model is estimated to be, beside what it needs."""

from __future__ import annotations

from functools import partial

import pytest
from rich.console import Group

from builders import the_small_model
from gpuslice.cli.render.throughput import throughput_json, throughput_view
from gpuslice.cli.sizing import Answer
from gpuslice.sizing.fitting import fit_boards
from gpuslice.sizing.shape import Load
from gpuslice.sizing.size import estimate_of, read_model
from terminal import screen


def an_answer(*boards: str, context_tokens: int = 2048, concurrency: int = 4) -> Answer:
    source = str(the_small_model())
    model = read_model(source, "llama.cpp")
    load = Load(context_tokens=context_tokens, concurrency=concurrency)
    need = partial(estimate_of("llama.cpp"), model)
    return Answer(
        source=source,
        engine="llama.cpp",
        model=model,
        load=load,
        sized=need(load),
        fittings=fit_boards(need, load, engine="llama.cpp", boards=boards),
    )


def shown(answer: Answer) -> list[str]:
    return screen(Group(*throughput_view(answer))).splitlines()


def test_every_plain_slice_of_a_board_that_was_named_has_its_row() -> None:
    lines = shown(an_answer("a100-80gb"))
    assert lines[0].strip() == (
        "tokens/s, estimated for 4 at a time of 1,024 prompt and 1,024 answer tokens"
    )
    slices = [line.split()[1] for line in lines if line.strip().startswith("a100-80gb ")]
    assert slices == ["1g.10gb", "1g.20gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb"]
    assert any("a100-80gb: from data sheets" in line for line in lines)


def test_of_many_boards_only_the_smallest_slice_that_holds_it_is_shown() -> None:
    made = throughput_json(an_answer())
    boards = [rating["board"] for rating in made["slices"]]
    assert len(boards) == len(set(boards)) > 10


def test_nothing_is_said_of_a_model_that_no_slice_holds() -> None:
    answer = an_answer("a30", context_tokens=100_000, concurrency=4096)
    assert throughput_view(answer) == ()
    assert throughput_json(answer)["slices"] == []


def test_scripts_get_the_range_and_what_it_rests_on() -> None:
    made = throughput_json(an_answer("h200"))
    assert made["estimated"] is True
    assert made["requests"] == {"concurrency": 4, "prompt_tokens": 1024, "answer_tokens": 1024}
    first = made["slices"][0]
    answers = first["estimate"]["answers"]
    assert answers["low"] == pytest.approx(answers["likely"] / 2)
    assert first["basis"].startswith("from data sheets")


def test_whole_range_is_shown_on_a_terminal_of_eighty_columns() -> None:
    lines = shown(an_answer("h200", "b200"))
    assert max(map(len, lines)) <= 80
    assert "…" not in "".join(lines)
