"""The examples: each plans on a simulated A100 80GB, and the first is run with real models."""

from __future__ import annotations

from pathlib import Path

import pytest

from builders import the_small_model
from end_to_end.conftest import Stand
from machines import EXAMPLES
from terminal import a_terminal

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
    models = stand.folder / "models"
    models.mkdir()
    (models / "SmolLM2-135M-Instruct.Q4_1.gguf").symlink_to(the_small_model())
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
def test_two_halves_serve_two_real_models_at_the_same_time_and_leave_nothing(
    stand: Stand,
) -> None:
    a_copy_of("two-halves", stand)

    shown = stand.run("up", "-d", "--yes")

    assert f"http://127.0.0.1:{stand.port}/v1" in shown
    assert [(p, at) for _, p, at in stand.slices()] == [("3g.40gb", "0:4"), ("3g.40gb", "4:4")]
    both = stand.run("ask", "--all", "--max-tokens", "12", "Say hello.")
    answers = dict(
        line.removeprefix("[").split("] ", 1) for line in both.splitlines() if line.startswith("[")
    )
    assert answers.keys() == {"chat", "coder"}
    assert all(answer.strip() for answer in answers.values())
    for server in stand.json("ps")["servers"]:
        assert server["state"] == "ready"
        assert 50 < server["used_mib"] < server["total_mib"] == 40192
    cost = stand.json("cost")
    assert {s["replica"]: s["per_month"] for s in cost["slices"]} == {
        "chat/0": "690.00",
        "coder/0": "690.00",
    }
    assert "Nothing of it is left." in stand.run("down", "--mig-off")
    stand.assert_nothing_is_left()
