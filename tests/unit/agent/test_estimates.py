"""Targets that nobody measured: what each slice is estimated to give, and how that is told."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from builders import a_board_gpu, an_observed, the_small_model
from gpuslice.agent.demands import demands_of
from gpuslice.agent.estimates import estimate_notes, traffic_of
from gpuslice.agent.prepare import plan_on
from gpuslice.errors import NoRoomError, SizingError
from gpuslice.hardware import board
from gpuslice.model.demand import Demand
from gpuslice.model.desired import Record
from gpuslice.model.gpu import Observed
from gpuslice.model.plan import Plan
from gpuslice.sizing.throughput import Traffic
from gpuslice.stack.load import load_stack
from gpuslice.stack.model_entry import TargetEntry
from machines import write_stack
from model_files import qwen3_tensors, write_safetensors
from real_models import real_model

A100 = "NVIDIA A100-SXM4-80GB"
EMPTY = Plan(gpus=(), seats=())
MACHINE = an_observed(a_board_gpu(), a_board_gpu("a30", index=1))


def write_qwen3_8b(folder: Path) -> Path:
    """Qwen3-8B: its configuration, and every tensor in its true size without its content."""
    folder.mkdir()
    tensors = qwen3_tensors(layers=36, width=4096, inner=12288, kv_heads=8, heads=32, tied=False)
    write_safetensors(folder / "model.safetensors", tensors)
    config = {
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "hidden_size": 4096,
        "vocab_size": 151_936,
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def the_demand(folder: Path, keys: str, observed: Observed = MACHINE) -> Demand:
    """What a model called chat with those keys becomes."""
    return demands_of(load_stack(write_stack(folder, f"chat: {{{keys}}}")), observed)[0]


def rates(demand: Demand) -> dict[tuple[str, str], float]:
    assert demand.target is not None
    return {
        (rate.named.profile, rate.named.board): rate.milli_per_s / 1000
        for rate in demand.target.rates
    }


def test_plain_profiles_that_hold_the_model_get_rates_and_no_others(tmp_path: Path) -> None:
    model = write_qwen3_8b(tmp_path / "qwen3-8b")
    found = rates(the_demand(tmp_path, f"model: {model}, target: {{tokens_per_s: 900}}"))
    # 15.3 GiB of weights and 2.3 GiB of cache fit neither 10 GB of an A100 nor 12 of an A30.
    assert set(found) == {
        ("1g.20gb", A100),
        ("2g.20gb", A100),
        ("3g.40gb", A100),
        ("4g.40gb", A100),
        ("7g.80gb", A100),
        ("4g.24gb", "NVIDIA A30"),
    }


def test_a_rate_is_what_the_roofline_gives_by_hand(tmp_path: Path) -> None:
    model = write_qwen3_8b(tmp_path / "qwen3-8b")
    keys = f"model: {model}, target: {{tokens_per_s: 900, prompt_tokens: 1000, answer_tokens: 200}}"
    found = rates(the_demand(tmp_path, keys))
    # 8.19 G parameters less 0.62 G of the embedding table: 15.14 GB a step, and 4 requests with a
    # context of 1,100 tokens of 147,456 bytes: 15.79 GB at 0.9 of 1,019.5 GB/s, 1.7 ms: 18.9 ms.
    # Prompt: 1000 x (15.14 GFLOP + 500 x 589,824) at 0.65 of 121.3 TFLOP/s, and 8 ms: 203.7 ms.
    step, prompt = 15.786e9 / (0.9 * 1019.5e9) + 0.0017, 15.43e12 / (0.65 * 121.33e12) + 0.008
    by_hand = 4 * 200 / (4 * prompt + 200 * step)
    assert found["3g.40gb", A100] == pytest.approx(by_hand, rel=0.05)  # written with two digits
    assert found["3g.40gb", A100] == 170


def test_requests_are_counted_where_the_target_is_in_requests(tmp_path: Path) -> None:
    model = write_qwen3_8b(tmp_path / "qwen3-8b")
    shape = "prompt_tokens: 1000, answer_tokens: 200"
    demand = the_demand(tmp_path, f"model: {model}, target: {{requests_per_s: 2, {shape}}}")
    assert demand.target is not None
    assert (demand.target.unit, demand.target.milli_per_s) == ("requests", 2000)
    assert rates(demand)["3g.40gb", A100] == 0.87  # 174 tokens a second by 200


def test_what_the_user_measured_wins(tmp_path: Path) -> None:
    model = write_qwen3_8b(tmp_path / "qwen3-8b")
    aim = "target: {tokens_per_s: 900, answer_tokens: 200}, throughput: {3g.40gb: 999}"
    demand = the_demand(tmp_path, f"model: {model}, {aim}")
    assert rates(demand) == {("3g.40gb", ""): 999}
    assert demand.target is not None
    assert not demand.target.estimated
    assert demand.reason == "as `throughput:` says"
    assert estimate_notes([demand], EMPTY, MACHINE) == ()


def test_the_plan_says_that_it_is_an_estimate_how_sure_and_for_what(tmp_path: Path) -> None:
    model = write_qwen3_8b(tmp_path / "qwen3-8b")
    demand = the_demand(tmp_path, f"model: {model}, target: {{tokens_per_s: 300}}")
    assert demand.target is not None
    assert demand.target.estimated
    (note,) = estimate_notes([demand], EMPTY, MACHINE)
    assert note.startswith("chat: tokens/s are estimated, not measured. On ")
    assert f" On {A100}: 1g.20gb ≈ 97 (67–130), " in note
    assert ", 3g.40gb ≈ 190 (130–250), " in note
    assert "for requests of 2,048 + 2,048 tokens, 4 at a time" in note
    assert note.endswith("what you measure wins: write it under `throughput:`")


def test_the_planner_meets_an_estimated_target_with_slices(tmp_path: Path) -> None:
    model = write_qwen3_8b(tmp_path / "qwen3-8b")
    path = write_stack(tmp_path, f"chat: {{model: {model}, target: {{tokens_per_s: 300}}}}")
    made = plan_on(an_observed(a_board_gpu()), load_stack(path), Record())
    found = rates(made.demands[0])
    given = [found[seat.slice.profile, A100] for seat in made.plan.seats]
    assert sum(given) == 388
    (note,) = made.notes
    assert note.endswith(
        ". The slices planned give ≈ 388, perhaps only 270, less than the 300 wanted"
    )


def test_a_plan_with_room_to_spare_says_no_more_than_how_little_it_may_be(tmp_path: Path) -> None:
    model = write_qwen3_8b(tmp_path / "qwen3-8b")
    path = write_stack(tmp_path, f"chat: {{model: {model}, target: {{tokens_per_s: 60}}}}")
    (note,) = plan_on(an_observed(a_board_gpu()), load_stack(path), Record()).notes
    assert note.endswith(". The slices planned give ≈ 97, perhaps only 67")


def test_arguments_count_in_an_estimate_as_in_a_size(tmp_path: Path) -> None:
    """The engine will hear them, so slices and requests have to be those of the arguments."""
    model = write_qwen3_8b(tmp_path / "qwen3-8b")
    aim = f"model: {model}, target: {{tokens_per_s: 900}}"
    written = the_demand(tmp_path, f"{aim}, context_tokens: 8192, concurrency: 16")
    args = "args: [--max-model-len=8192, --max-num-seqs, '16']"
    argued = the_demand(tmp_path, f"{aim}, {args}")
    assert rates(argued) == rates(written)
    assert argued.reason == written.reason
    assert "for requests of 4,096 + 4,096 tokens, 16 at a time" in argued.reason
    # 15.3 GiB of weights and 18 of cache leave 20 GB and the A30 out.
    assert set(rates(argued)) == {("3g.40gb", A100), ("4g.40gb", A100), ("7g.80gb", A100)}


def test_an_fp8_cache_is_smaller_and_quicker_to_read(tmp_path: Path) -> None:
    model = write_qwen3_8b(tmp_path / "qwen3-8b")
    keys = f"model: {model}, context_tokens: 8192, concurrency: 32, target: {{tokens_per_s: 900}}"
    whole = rates(the_demand(tmp_path, keys))
    halved = rates(the_demand(tmp_path, f"{keys}, args: [--kv-cache-dtype, fp8]"))
    assert set(whole) < set(halved)  # half of an A100 holds 18 GiB of cache and not 36
    assert all(halved[where] > whole[where] for where in whole)


def test_an_adapter_and_a_draft_model_take_room_that_a_slice_has_to_have(tmp_path: Path) -> None:
    model = write_qwen3_8b(tmp_path / "qwen3-8b")
    write_qwen3_8b(tmp_path / "draft")
    keys = f"model: {model}, target: {{tokens_per_s: 900}}"
    draft = """args: [--speculative-config, '{"model": "./draft"}']"""
    alone, beside = the_demand(tmp_path, keys), the_demand(tmp_path, f"{keys}, {draft}")
    assert ("1g.20gb", A100) in rates(alone)
    assert {profile for profile, _ in rates(beside)} == {"3g.40gb", "4g.40gb", "7g.80gb"}
    with pytest.raises(SizingError, match=r"the adapter .*/lora has no") as caught:
        the_demand(tmp_path, f"{keys}, args: [--lora-modules, sql=./lora]")
    assert caught.value.hint == "fetch the adapter and give its folder"


def test_arguments_that_leave_no_room_for_a_usual_request_are_refused(tmp_path: Path) -> None:
    model = write_qwen3_8b(tmp_path / "qwen3-8b")
    aim = "target: {tokens_per_s: 900, prompt_tokens: 1500, answer_tokens: 300}"
    with pytest.raises(SizingError, match="1,800 tokens, and `args` allow 1,024"):
        the_demand(tmp_path, f"model: {model}, {aim}, args: [--max-model-len=1K]")


@pytest.mark.parametrize("board_key", ["a100-80gb", "a30", "h200"])
def test_one_slice_gives_the_same_least_in_the_sum_as_in_the_list(
    board_key: str, tmp_path: Path
) -> None:
    """One rule for rounding, or a reader wonders which of two numbers is meant."""
    path = write_stack(
        tmp_path, f"chat: {{model: {the_small_model()}, target: {{tokens_per_s: 1}}}}"
    )
    (note,) = plan_on(an_observed(a_board_gpu(board_key)), load_stack(path), Record()).notes
    summed = re.search(r"give ≈ ([\d,.]+), perhaps only ([\d,.]+)$", note)
    assert summed is not None
    assert f"≈ {summed[1]} ({summed[2]}–" in note


def test_a_model_that_fits_no_slice_is_refused_as_any_other(tmp_path: Path) -> None:
    model = write_qwen3_8b(tmp_path / "qwen3-8b")
    keys = f"model: {model}, context_tokens: 100000, concurrency: 64, target: {{tokens_per_s: 9}}"
    with pytest.raises(NoRoomError, match="the largest slice has 80,896 MiB"):
        the_demand(tmp_path, keys)


def test_a_model_that_cannot_be_read_asks_for_a_measurement(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SizingError, match="is unknown") as caught:
        the_demand(tmp_path, "model: ./empty, target: {tokens_per_s: 900}")
    said = "say `throughput:` for this model, what one slice was measured to give"
    assert caught.value.hint == f"in a stack file {said}"


def test_a_board_that_nobody_knows_asks_for_a_measurement(tmp_path: Path) -> None:
    gpu = replace(a_board_gpu(), name="NVIDIA Q100", pci_device_id=0)
    keys = f"model: {the_small_model()}, target: {{tokens_per_s: 900}}"
    with pytest.raises(SizingError, match="NVIDIA Q100 is cannot be estimated") as caught:
        the_demand(tmp_path, keys, an_observed(gpu))
    assert "`throughput:`" in caught.value.hint


def test_of_two_gpus_of_one_product_the_one_with_less_memory_decides(tmp_path: Path) -> None:
    model = write_qwen3_8b(tmp_path / "qwen3-8b")
    known = board("a100-80gb").geometry
    halved = [replace(p, memory_mib=p.memory_mib // 2) for p in known.profiles]
    poor = replace(a_board_gpu(index=1), geometry=replace(known, profiles=tuple(halved)))
    keys = f"model: {model}, target: {{tokens_per_s: 900}}"
    found = rates(the_demand(tmp_path, keys, an_observed(a_board_gpu(), poor)))
    assert set(found) == {("3g.40gb", A100), ("4g.40gb", A100), ("7g.80gb", A100)}


@pytest.mark.parametrize(
    ("shape", "prompt", "answer"),
    [
        ({}, 2048, 2048),
        ({"answer_tokens": 300}, 3796, 300),
        ({"answer_tokens": 4096}, 0, 4096),
        ({"answer_tokens": 300, "prompt_tokens": 1500}, 1500, 300),
    ],
)
def test_what_is_left_open_of_a_request_fills_its_context(
    shape: dict[str, int], prompt: int, answer: int
) -> None:
    entry = TargetEntry.model_validate({"tokens_per_s": 1, **shape})
    assert traffic_of(entry, 4096, 4) == Traffic(
        concurrency=4, prompt_tokens=prompt, answer_tokens=answer
    )


def test_a_context_of_one_token_is_an_answer() -> None:
    entry = TargetEntry.model_validate({"tokens_per_s": 1})
    assert traffic_of(entry, 1, 1) == Traffic(concurrency=1, prompt_tokens=0, answer_tokens=1)


def test_a_model_for_embeddings_answers_no_tokens(tmp_path: Path) -> None:
    real, folder = real_model("bge-m3"), tmp_path / "bge-m3"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(real.config))
    shapes = {tensor.name: (tensor.kind, tensor.shape, tensor.bytes) for tensor in real.tensors}
    write_safetensors(folder / "model.safetensors", shapes)
    with pytest.raises(SizingError, match=r"how fast vllm answers with .* cannot") as caught:
        the_demand(tmp_path, "model: ./bge-m3, target: {tokens_per_s: 900}")
    assert "`throughput:`" in caught.value.hint
