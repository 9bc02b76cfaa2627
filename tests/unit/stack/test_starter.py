from __future__ import annotations

from dataclasses import replace

import pytest

from builders import a_gpu, an_observed
from gpuslice.hardware.boards import board, load_boards
from gpuslice.model.demand import Demand, NamedProfile
from gpuslice.model.gpu import Gpu
from gpuslice.planner.plan import plan
from gpuslice.stack.load import parse_stack
from gpuslice.stack.schema import Stack
from gpuslice.stack.starter import halves, starter

SLICEABLE = [known for known in load_boards() if known.geometry.profiles]


def a_board(key: str, **changes: object) -> Gpu:
    known = board(key)
    gpu = a_gpu(name=known.names[0], memory_mib=known.memory_mib, geometry=known.geometry)
    return replace(gpu, **changes)  # type: ignore[arg-type] # a builder takes any field


def read(text: str) -> Stack:
    return parse_stack(text.encode())[0]


@pytest.mark.parametrize("gguf", [None, "models/SmolLM2-135M-Instruct.Q4_1.gguf"])
@pytest.mark.parametrize("key", [known.key for known in SLICEABLE])
def test_starter_loads_and_plans_on_the_board_it_was_written_for(
    key: str, gguf: str | None
) -> None:
    observed = an_observed(a_board(key))
    stack = read(starter(observed, gguf))
    demands = [
        Demand(
            model=name,
            replicas=entry.most_replicas,
            profiles=(NamedProfile(profile=str(entry.slice)),),
        )
        for name, entry in stack.models.items()
    ]
    answer = plan(observed, demands, ())
    assert answer.unplaced == ()
    assert len(answer.seats) == 2


@pytest.mark.parametrize(
    ("key", "profile"),
    [("a100-80gb", "3g.40gb"), ("a100-40gb", "3g.20gb"), ("a30", "2g.12gb"), ("h200", "3g.71gb")],
)
def test_each_model_gets_half_of_the_card(key: str, profile: str) -> None:
    chosen = halves(a_board(key))
    assert chosen is not None
    assert chosen.name == profile


def test_first_gpu_with_mig_decides() -> None:
    old = a_gpu(name="Tesla T4", mig=None)
    text = starter(an_observed(old, a_board("a30", index=1, uuid="GPU-1")), None)
    assert {entry.slice for entry in read(text).models.values()} == {"2g.12gb"}
    assert "0: Tesla T4, 81,920 MiB, has no MIG and is left alone" in text
    assert "None of them has MIG" not in text


def test_machine_without_mig_gets_a_file_that_says_so() -> None:
    text = starter(an_observed(a_gpu(name="Tesla T4", mig=None)), None)
    assert "None of them has MIG" in text
    assert {entry.memory for entry in read(text).models.values()} == {16384}


def test_simulated_gpus_are_called_so() -> None:
    assert "# Simulated GPUs:" in starter(an_observed(a_board("a30"), simulated=True), None)
    assert "imulated" not in starter(an_observed(a_board("a30")), None)


def test_each_product_gets_one_price_line_that_works_when_uncommented() -> None:
    observed = an_observed(
        a_board("a100-80gb"),
        a_board("a100-80gb", index=1, uuid="GPU-1"),
        a_board("a30", index=2, uuid="GPU-2"),
    )
    text = starter(observed, None)
    assert read(text).prices == {}
    head, _, tail = text.partition("# prices:")
    stack = read(head + "prices:" + tail.replace("\n# ", "\n"))
    assert list(stack.prices) == ["NVIDIA A100-SXM4-80GB", "NVIDIA A30"]


def test_each_key_that_is_offered_in_a_comment_works_when_uncommented() -> None:
    text = starter(an_observed(a_board("a30")), None)
    for key, value in (("priority", 10), ("spread", 1), ("away", "chat")):
        coder = read(text.replace(f"    # {key}: ", f"    {key}: ")).models["coder"]
        assert getattr(coder, key) == value


@pytest.mark.parametrize("gguf", ['a "quoted" name.gguf', "back\\slash.gguf", "a: b #c.gguf"])
def test_strange_file_names_survive(gguf: str) -> None:
    stack = read(starter(an_observed(a_board("a30")), gguf))
    assert {entry.model for entry in stack.models.values()} == {gguf}


def test_product_name_cannot_break_out_of_its_comment() -> None:
    text = starter(an_observed(a_board("a30", name="evil\nname: other")), None)
    assert read(text).name == "assistants"
