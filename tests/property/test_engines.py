"""What holds for every argument list and every template, however odd."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import a_serve_request
from gpuslice.engines.api import Place
from gpuslice.engines.arguments import flags_in, merge_arguments
from gpuslice.engines.catalogue import engine_named
from gpuslice.engines.command import fill
from gpuslice.errors import StackError
from gpuslice.model.desired import PLACEHOLDERS

FLAGS = ("--max-num-seqs", "--max-model-len", "--tensor-parallel-size")
ARGUMENTS = st.lists(
    st.sampled_from([*FLAGS, *(flag.replace("-", "_").replace("__", "--") for flag in FLAGS)])
    | st.sampled_from([f"{flag}=7" for flag in FLAGS])
    | st.text(max_size=8),
    max_size=8,
).map(tuple)
ENGINE_ARGUMENTS = st.lists(
    st.sampled_from(
        [
            *(
                "--max-model-len",
                "--ctx-size",
                "-c",
                "--context-length",
                "--tp",
                "-tp",
                "--parallel",
            ),
            *("--port", "--host", "--api-key", "--api_key=x", "--model", "--threads=1", "-np"),
        ]
    )
    | st.text(max_size=8),
    max_size=8,
).map(tuple)
VALUES = {name: fill(f"{{{name}}}", a_serve_request()) for name in PLACEHOLDERS}


@given(ARGUMENTS)
def test_ours_stand_exactly_where_the_user_says_nothing(theirs: tuple[str, ...]) -> None:
    ours = tuple((flag, "1") for flag in FLAGS)
    merged = merge_arguments(ours, theirs)
    kept = merged[: len(merged) - len(theirs)]
    assert merged[len(kept) :] == theirs
    assert set(kept[::2]) == set(FLAGS) - flags_in(theirs)


@given(st.text(alphabet="{}portmdelnauifx_.[]!:0 ", max_size=30))
def test_template_is_filled_or_refused_as_a_stack_error(template: str) -> None:
    with suppress(StackError):
        fill(template, a_serve_request())


@given(st.lists(st.sampled_from(PLACEHOLDERS) | st.text(max_size=5)))
def test_text_around_placeholders_is_kept_as_written(parts: list[str]) -> None:
    template = "".join(
        f"{{{part}}}" if part in VALUES else part.replace("{", "{{").replace("}", "}}")
        for part in parts
    )
    assert fill(template, a_serve_request()) == "".join(VALUES.get(part, part) for part in parts)


@pytest.mark.parametrize("name", ["vllm", "sglang", "llama.cpp"])
@given(ENGINE_ARGUMENTS, st.sampled_from(["", "/opt/program"]), st.sampled_from(Place))
def test_every_engine_takes_arguments_or_refuses_them_and_never_says_a_flag_twice(
    name: str, theirs: tuple[str, ...], program: str, place: Place
) -> None:
    request = a_serve_request(args=theirs, program=program, place=place)
    with suppress(StackError):
        launch = engine_named(name, python="python").launch(request)
        ours = launch.command[: len(launch.command) - len(theirs)]
        assert launch.command[len(ours) :] == theirs
        flags = [part for part in ours if part.startswith("--")]
        assert len(flags) == len(set(flags))
        assert not {"--api-key", "--port", "--host"} & flags_in(theirs)
