"""From a stack file to a plan: what the examples become, and what is refused on the way."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from builders import a_serve_request, owned
from docker_info import RECORDED, RECORDED_VERSION
from gpuslice.agent.node import Node
from gpuslice.agent.prepare import prepare, resolve
from gpuslice.agent.proposal import PlanOptions, Prepared
from gpuslice.engines.catalogue import engine_named
from gpuslice.errors import (
    ModelNotFoundError,
    NoRoomError,
    StackError,
    UnknownGpuError,
    UnknownProfileError,
)
from gpuslice.model.demand import Prices, Rules
from gpuslice.model.desired import RuntimeName
from gpuslice.runtime.docker.facts import EngineFacts, facts_from
from gpuslice.stack.load import load_stack
from machines import (
    EXAMPLES,
    layout_of,
    make_slice,
    open_simulated,
    prepared,
    record_owned,
    write_stack,
)
from model_files import write_safetensors
from real_models import real_model

SERVED = 'chat: {engine: command, slice: 2g.20gb, command: ["my-server", "{port}"]}'


def seats(made: Prepared) -> dict[str, str]:
    return {
        str(seat.replica): f"{seat.slice.profile}@{seat.slice.placement}"
        for seat in made.plan.seats
    }


@pytest.mark.parametrize(
    ("example", "wanted"),
    [
        ("two-halves", {"chat/0": "3g.40gb@0:4", "coder/0": "3g.40gb@4:4"}),
        (
            "four-small",
            {
                "chat/0": "1g.10gb@0:1",
                "chat/1": "1g.10gb@1:1",
                "summaries/0": "1g.10gb@3:1",
                "titles/0": "1g.10gb@2:1",
            },
        ),
        (
            "one-large-two-small",
            {"coder/0": "2g.20gb@4:2", "translator/0": "1g.20gb@6:2", "writer/0": "4g.40gb@0:4"},
        ),
    ],
)
def test_each_example_finds_its_slices_on_one_a100(
    node: Node, example: str, wanted: dict[str, str]
) -> None:
    made = prepared(node, EXAMPLES / f"{example}.yaml")
    assert seats(made) == wanted
    assert made.change.plan == made.plan
    assert layout_of(node) == []


def test_a_model_that_is_a_file_is_sized_and_the_need_is_explained(node: Node) -> None:
    made = prepared(node, EXAMPLES / "four-small.yaml")
    (chat, *_) = made.demands
    assert chat.memory_mib is not None
    assert 300 < chat.memory_mib < 2000
    assert "weights" in chat.reason
    assert "KV cache" in chat.reason


def test_what_sizing_finds_beside_the_share_reaches_the_server(node: Node, tmp_path: Path) -> None:
    packed, folder = real_model("gpt-oss-20b"), tmp_path / "oss"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(packed.config))
    tensors = {t.name: (t.kind, t.shape, t.bytes) for t in packed.tensors}
    write_safetensors(folder / "model.safetensors", tensors)
    path = write_stack(tmp_path, "chat: {model: oss, context_tokens: 4096, concurrency: 1}")

    made = prepared(node, path)

    (model,), (demand,), (seat,) = made.desired.models, made.demands, made.plan.seats
    assert model.beside_mib == demand.beside_mib >= 2349  # measured on an H200
    memory_mib = seat.slice.memory_mib
    request = a_serve_request(slice_memory_mib=memory_mib, beside_mib=model.beside_mib)
    command = engine_named("vllm", python="python").launch(request).command
    share = float(command[command.index("--gpu-memory-utilization") + 1])
    assert memory_mib * (1 - share) >= model.beside_mib


def test_paths_of_a_stack_file_start_at_its_folder(tmp_path: Path) -> None:
    keys = "gateway: {api_keys_file: keys.txt}"
    serve = 'chat: {engine: command, slice: 1g.10gb, command: ["./serve.sh", "./data"]}'
    loaded = load_stack(write_stack(tmp_path, serve, more=keys))
    desired = resolve(loaded)
    assert desired.models[0].command == (f"{tmp_path}/./serve.sh".replace("/./", "/"), "./data")
    assert desired.gateway.api_keys_file == str(tmp_path / "keys.txt")
    assert desired.stack_file == str(tmp_path / "gpuslice.yaml")
    assert len(desired.digest) == 64


def test_a_gguf_file_is_served_by_llama_cpp_and_everything_else_by_vllm(tmp_path: Path) -> None:
    path = write_stack(
        tmp_path, "a: {model: m.gguf, slice: 1g.10gb}", "b: {model: Org/Name, slice: 1g.10gb}"
    )
    desired = resolve(load_stack(path))
    assert [model.engine for model in desired.models] == ["llama.cpp", "vllm"]
    assert [model.source for model in desired.models] == [str(tmp_path / "m.gguf"), "Org/Name"]


def test_arguments_that_contradict_the_engine_are_refused_before_anything_else(
    node: Node, tmp_path: Path
) -> None:
    path = write_stack(tmp_path, "chat: {model: Org/Name, slice: 2g.10gb, args: [--port, '1']}")
    with pytest.raises(StackError, match="--port cannot be set here") as caught:
        prepared(node, path)
    assert not isinstance(caught.value, UnknownProfileError)


def test_a_missing_model_file_is_named_with_its_line(node: Node, tmp_path: Path) -> None:
    path = write_stack(tmp_path, "chat: {model: models/gone.gguf}")
    with pytest.raises(ModelNotFoundError) as caught:
        prepared(node, path)
    assert "gpuslice.yaml:3" in caught.value.details[0]
    assert "models/gone.gguf" in caught.value.details[0]


def test_profiles_and_gpus_that_are_not_there_are_refused(node: Node, tmp_path: Path) -> None:
    with pytest.raises(UnknownProfileError) as caught:
        prepared(node, write_stack(tmp_path, SERVED.replace("2g.20gb", "2g.10gb")))
    assert "2g.20gb (id 14)" in caught.value.details[0]
    with pytest.raises(UnknownGpuError, match="GPU 3"):
        prepared(node, write_stack(tmp_path, SERVED, more="gpus: [3]"))


def test_more_than_fits_is_planned_and_shown_but_never_asked_for(
    node: Node, tmp_path: Path
) -> None:
    path = write_stack(tmp_path, SERVED.replace("slice", "replicas: 5, slice"))
    made = prepared(node, path)
    assert len(made.plan.seats) == 3
    assert len(made.plan.unplaced) == 2
    with pytest.raises(NoRoomError, match="no slice for chat/3, chat/4") as caught:
        _ = made.change
    assert caught.value.hint.startswith("This would fit: chat x3.")


def test_slices_of_another_stack_of_ours_are_foreign_to_this_one(
    node: Node, tmp_path: Path
) -> None:
    mine, others = make_slice(node, "2g.20gb", 0), make_slice(node, "2g.20gb", 2)
    record_owned(node, owned(mine, "chat"), replace(owned(others, "chat"), stack="other"))

    made = prepared(node, write_stack(tmp_path, SERVED))

    (gpu,) = made.plan.gpus
    assert gpu.keep == (mine,)
    assert gpu.foreign == (others,)
    assert not made.plan.changes


def test_slices_from_before_a_reboot_are_not_ours_any_more(tmp_path: Path) -> None:
    from gpuslice import simulator

    node = open_simulated(tmp_path / "home")
    record_owned(node, owned(make_slice(node, "2g.20gb", 0), "chat"))
    simulator.reboot(node.machine.simulator_dir)
    again = open_simulated(tmp_path / "home")
    theirs = make_slice(again, "2g.20gb", 0)

    made = prepared(again, write_stack(tmp_path, SERVED))

    assert made.plan.gpus[0].foreign == (theirs,)
    assert seats(made) != {"chat/0": "2g.20gb@0:2"}


def test_a_stack_says_what_a_plan_has_to_keep_to(tmp_path: Path) -> None:
    node = open_simulated(tmp_path / "home", "a100-80gb:3")
    uuids = [gpu.uuid for gpu in node.driver.read().gpus]
    more = "gpus: [0, 2]\ndrain: [2]\nprices: {A100-SXM4-80GB: {per_hour: 1.89}}"
    path = write_stack(tmp_path, SERVED, more=more)
    options = PlanOptions(most_moves=2, drain=(1, uuids[2]))
    made = prepare(node, load_stack(path), options)
    assert made.rules == Rules(
        gpus=frozenset({uuids[0], uuids[2]}),
        drained=frozenset(uuids[1:]),
        prices=Prices(currency="EUR", milli_per_hour=(("NVIDIA A100-SXM4-80GB", 1890),)),
        most_moves=2,
    )
    assert made.notes == ()


def test_a_stack_that_says_nothing_leaves_a_plan_free(node: Node, tmp_path: Path) -> None:
    assert prepared(node, write_stack(tmp_path, SERVED)).rules == Rules()


def test_a_drained_gpu_is_emptied_and_not_used(tmp_path: Path) -> None:
    node = open_simulated(tmp_path / "home", "a100-80gb:2")
    runs = make_slice(node, "2g.20gb", 0)
    record_owned(node, owned(runs, "chat"))
    made = prepared(node, write_stack(tmp_path, SERVED, more="drain: [0]"))
    assert [gpu.destroy for gpu in made.plan.gpus if gpu.barred] == [(runs,)]
    assert {seat.slice.gpu_uuid for seat in made.plan.seats} == {node.driver.read().gpus[1].uuid}


def test_draining_a_gpu_that_is_not_there_or_every_one_is_refused(
    node: Node, tmp_path: Path
) -> None:
    with pytest.raises(UnknownGpuError, match="GPU 3") as caught:
        prepared(node, write_stack(tmp_path, SERVED, more="drain: [3]"))
    assert "to be drained" in caught.value.hint
    with pytest.raises(NoRoomError, match="every GPU that this stack may use is to be drained"):
        prepared(node, write_stack(tmp_path, SERVED, more="drain: [0]"))


def test_prices_that_do_not_suffice_are_told_in_a_note(tmp_path: Path) -> None:
    node = open_simulated(tmp_path / "home", "a100-80gb,a30")
    prices = "prices: {NVIDIA A30: {per_hour: 0.4}}"
    made = prepared(node, write_stack(tmp_path, SERVED, more=prices))
    assert made.rules.prices is None
    assert made.notes == ("GPUs count as one each: no price for NVIDIA A100-SXM4-80GB",)


def test_what_is_going_on_is_told_with_how_much_there_is_to_plan(
    node: Node, tmp_path: Path
) -> None:
    told: list[str] = []
    path = write_stack(tmp_path, SERVED.replace("slice", "replicas: 2, slice"))
    prepare(node, load_stack(path), PlanOptions(limit_s=5), tell=told.append)
    assert "planning 2 replicas on 1 GPU; the solver may take 5 s" in told


def test_llama_cpp_is_its_own_server_where_there_are_gpus_and_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load_stack(write_stack(tmp_path, "a: {model: m.gguf, slice: 1g.10gb}"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert resolve(loaded).models[0].program == ""
    server = tmp_path / "llama-server"
    server.write_text("#!/bin/false\n")
    server.chmod(0o755)
    assert resolve(loaded).models[0].program == str(server)
    assert resolve(loaded, simulated=True).models[0].program == ""


def test_a_program_that_is_named_is_taken_from_the_folder_of_the_stack_file(
    tmp_path: Path,
) -> None:
    written = "a: {model: m.gguf, slice: 1g.10gb, program: bin/llama-server, ready: chat}"
    model = resolve(load_stack(write_stack(tmp_path, written)), simulated=True).models[0]
    assert (model.program, model.ready) == (str(tmp_path / "bin/llama-server"), "chat")


def test_a_plan_says_where_arguments_overrule_what_was_worked_out(
    node: Node, tmp_path: Path
) -> None:
    args = "args: [--max-model-len, '16384', --gpu-memory-utilization=0.8]"
    written = f"chat: {{model: Org/Name, slice: 1g.10gb, replicas: 2, {args}}}"
    context, share = prepared(node, write_stack(tmp_path, written)).notes
    assert context.startswith("chat: --max-model-len 16384 from args counts, not 4096, which")
    assert share.startswith("chat: --gpu-memory-utilization 0.8 from args counts, not 0.9342")


def test_what_the_file_says_of_containers_reaches_the_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "llama-server").touch(mode=0o755)
    written = (
        "a: {model: m.gguf, slice: 1g.10gb, image: 'acme/llama:1', port: 21000}",
        "b: {model: Org/Name, slice: 1g.10gb, program: vllm, host_memory: 2GiB}",
    )
    more = "runtime: docker\ngateway: {runtime: docker, image: 'acme/gateway:1'}"
    desired = resolve(load_stack(write_stack(tmp_path, *written, more=more)))
    first, second = desired.models
    assert {first.runtime, second.runtime, desired.gateway.runtime} == {RuntimeName.DOCKER}
    assert (first.image, first.port, first.program) == ("acme/llama:1", 21000, "")
    assert (second.image, second.program, second.host_memory_mib) == ("", "vllm", 2048)
    assert desired.gateway.image == "acme/gateway:1"
    assert desired.docker is not None


def test_an_engine_is_asked_only_where_a_plan_can_depend_on_it(node: Node, tmp_path: Path) -> None:
    asked: list[str] = []

    def engine(host: str) -> EngineFacts:
        asked.append(host)
        return facts_from(RECORDED, RECORDED_VERSION, {"bridge"}, host=host)

    made = prepare(node, load_stack(write_stack(tmp_path, SERVED)), ask=engine)
    assert (asked, made.desired.docker) == ([], None)
    image = SERVED.replace("slice", "image: 'acme/serve:1', slice", 1)
    docker = "docker: {host: 'unix:///x.sock'}"
    made = prepare(node, load_stack(write_stack(tmp_path, image, more=docker)), ask=engine)
    assert asked == ["unix:///x.sock"]
    assert made.desired.docker is not None
    assert made.desired.docker.host == "unix:///x.sock"
