"""The examples: each plans on a simulated A100 80GB, and is run with real models.

All are run in containers, the first also as processes: what differs is where servers run.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from builders import the_small_model
from end_to_end.conftest import Stand
from machines import EXAMPLES
from terminal import a_terminal

MODEL = "models/SmolLM2-135M-Instruct.Q4_1.gguf"
WANTED = {
    "two-halves": {"chat/0": "3g.40gb", "coder/0": "3g.40gb"},
    "four-small": dict.fromkeys(("chat/0", "chat/1", "titles/0", "summaries/0"), "1g.10gb"),
    "one-large-two-small": {
        "writer/0": "4g.40gb",
        "coder/0": "2g.20gb",
        "translator/0": "1g.20gb",
    },
}


def a_copy_of(example: str, stand: Stand) -> Path:
    """Copy an example beside its model, with a port of the stand's own."""
    text = (EXAMPLES / f"{example}.yaml").read_text()
    assert "port: 8080" in text
    (stand.folder / MODEL).parent.mkdir()
    (stand.folder / MODEL).symlink_to(the_small_model())
    path = stand.folder / "gpuslice.yaml"
    path.write_text(text.replace("port: 8080", f"port: {stand.port}"))
    return path


def test_every_example_is_tested() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.yaml")} == set(WANTED)


@pytest.mark.parametrize("example", WANTED)
def test_each_example_plans_on_one_a100_80gb(
    example: str,
    tmp_path: Path,
    stand: Stand,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    path = a_copy_of(example, stand)
    terminal = a_terminal(tmp_path / "home", capsys, monkeypatch)

    shown = terminal.type("plan", "--file", str(path), "--json")

    assert shown.status == 0, shown.err
    seats = {f"{s['replica']['model']}/{s['replica']['replica']}": s for s in shown.json["seats"]}
    assert {name: seat["created"]["profile"] for name, seat in seats.items()} == WANTED[example]
    assert shown.json["cost"]["totals"][0]["per_month"] == "1380.00"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("example", "runtime"),
    [
        ("two-halves", "process"),
        *(pytest.param(example, "docker", marks=pytest.mark.docker) for example in WANTED),
    ],
)
def test_example_serves_real_models_side_by_side_and_leaves_nothing(
    example: str, runtime: str, request: pytest.FixtureRequest
) -> None:
    stand: Stand = request.getfixturevalue("docker_stand" if runtime == "docker" else "stand")
    path = a_copy_of(example, stand)
    if runtime == "docker":
        path.write_text(in_containers(path.read_text()))
    wanted = WANTED[example]
    models = {replica.partition("/")[0] for replica in wanted}

    shown = stand.run("up", "-d", "--yes")

    assert f"http://127.0.0.1:{stand.port}/v1" in shown
    assert sorted(profile for _, profile, _ in stand.slices()) == sorted(wanted.values())
    everyone = stand.run("ask", "--all", "--max-tokens", "12", "Say hello.")
    answers = dict(
        line.removeprefix("[").split("] ", 1)
        for line in everyone.splitlines()
        if line.startswith("[")
    )
    assert answers.keys() == models
    assert all(answer.strip() for answer in answers.values())
    told = stand.json("ps")
    assert {f"{s['model']}/{s['replica']}" for s in told["servers"]} == set(wanted)
    for server in told["servers"]:
        assert server["state"] == "ready"
        assert 50 < server["used_mib"] < server["total_mib"]
    in_docker = {container.id for container in stand.containers()}
    assert {s["container"] for s in (*told["servers"], told["gateway"])} == (in_docker or {None})
    assert len(in_docker) == (len(wanted) + 1 if runtime == "docker" else 0)
    watched = stand.run("top", "--rounds", "1")
    assert all(replica in watched for replica in wanted)
    assert f"serving {min(models)} on" in stand.run("logs", min(models))
    cost = sum(float(slice_["per_month"]) for slice_ in stand.json("cost")["slices"])
    assert cost == pytest.approx(1380 * len(wanted) / 7 if example == "four-small" else 1380, abs=1)
    assert "Nothing of it is left." in stand.run("down", "--mig-off")
    stand.assert_nothing_is_left()


def in_containers(text: str) -> str:
    """Have an example run in containers.

    What names a model of the hub is served by llama.cpp instead, on the same slices: vLLM computes
    on no simulated GPU.
    """
    text = text.replace("gateway:\n", "runtime: docker\ngateway:\n  runtime: docker\n")
    text = re.sub(r"model: Qwen/\S+", f"model: {MODEL}", text)
    return re.sub(r"    (engine: vllm|args: .*caching.*|environment:\n +VLLM).*\n", "", text)
