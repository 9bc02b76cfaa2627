"""Bad input ends with a clear error: what is wrong, and the next thing to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from builders import a_record, a_slice, owned
from gpuslice.agent.node import Node
from gpuslice.errors import DriverError
from machines import make_slice, write_stack
from terminal import Terminal


def a_model(name: str = "chat", *, wants: str = "slice: 2g.20gb") -> str:
    return f'{name}: {{engine: command, {wants}, command: ["my-server", "{{port}}"]}}'


@pytest.fixture(autouse=True)
def _stack(tmp_path: Path, terminal: Terminal) -> None:
    write_stack(tmp_path, a_model())


def test_without_a_driver_the_remedy_is_to_install_one_or_to_simulate(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pynvml

    def not_found(_flags: int = 0) -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInitWithFlags", not_found)
    monkeypatch.setattr(pynvml, "nvmlInit", not_found)
    shown = terminal.type("plan", simulate="")
    assert shown.status == 5
    assert "[no-driver]" in shown.error
    assert "Install the NVIDIA driver" in shown.error
    assert "--simulate a100-80gb" in shown.error
    assert shown.out == ""


def test_a_board_without_mig_is_told_which_products_have_it(terminal: Terminal) -> None:
    shown = terminal.type("plan", simulate="l4")
    assert shown.status == 5
    assert "[mig-unsupported] cannot be sliced (no MIG): GPU 0 (NVIDIA L4)" in shown.error
    for product in ("A30", "A100", "H100", "H200", "B200", "RTX PRO 6000"):
        assert product in shown.error


def test_an_unknown_profile_is_answered_with_those_on_the_board(
    terminal: Terminal, tmp_path: Path
) -> None:
    write_stack(tmp_path, a_model(wants="slice: 2g.10gb"))
    shown = terminal.type("plan")
    assert shown.status == 4
    assert "[unknown-profile] chat asks for 2g.10gb" in shown.error
    assert "2g.20gb (id 14)" in shown.error
    assert "1g.20gb (id 15)" in shown.error
    assert "name the profile, never the number" in shown.error
    assert "Did you mean 2g.20gb?" in shown.error


def test_a_profile_by_its_number_is_refused_with_its_line(
    terminal: Terminal, tmp_path: Path
) -> None:
    write_stack(tmp_path, a_model(wants="slice: 14"))
    shown = terminal.type("plan")
    assert shown.status == 3
    assert "gpuslice.yaml:3:" in shown.error


def test_an_unknown_board_is_answered_with_the_nearest(terminal: Terminal) -> None:
    shown = terminal.type("gpus", "--simulate", "a100-80g")
    assert shown.status == 5
    assert "[unknown-board]" in shown.error
    assert "Did you mean 'a100-80gb'?" in shown.error
    assert "rtx-pro-6000" in shown.error


def test_a_simulation_that_cannot_be_read_says_how_to_write_one(terminal: Terminal) -> None:
    shown = terminal.type("gpus", "--simulate", "a100-80gb:many")
    assert shown.status == 5
    assert "[bad-simulation]" in shown.error
    assert "BOARD:COUNT" in shown.error
    assert not terminal.home.exists()


def test_a_model_that_fits_no_slice_is_told_the_largest(terminal: Terminal, tmp_path: Path) -> None:
    write_stack(tmp_path, a_model(wants="memory: 90GiB"))
    shown = terminal.type("plan")
    assert shown.status == 4
    assert "[no-room]" in shown.error
    assert "the largest slice is 7g.80gb" in shown.error
    assert "80896 MiB" in shown.error


def test_more_slices_than_the_board_holds_says_what_would_fit(
    terminal: Terminal, tmp_path: Path
) -> None:
    write_stack(tmp_path, a_model(wants="slice: 2g.20gb, replicas: 5"))
    shown = terminal.type("plan")
    assert shown.status == 4
    assert "[no-room] no slice for chat/3, chat/4" in shown.error
    assert "This would fit: chat x3." in shown.error
    assert "chat/2" in shown.out  # the part that fits is shown all the same


def test_somebody_elses_slices_in_the_way_are_named(
    terminal: Terminal, node: Node, tmp_path: Path
) -> None:
    make_slice(node, "4g.40gb", 0)
    write_stack(tmp_path, a_model(wants="slice: 4g.40gb"))
    shown = terminal.type("plan")
    assert shown.status == 4
    assert "somebody else (4g.40gb at 0-3)" in shown.error
    assert "!somebody else's" in shown.out


def test_a_missing_model_file_is_named_with_its_line_and_where_it_was_looked_for(
    terminal: Terminal, tmp_path: Path
) -> None:
    write_stack(tmp_path, "chat: {model: models/gone.gguf}")
    shown = terminal.type("plan")
    assert shown.status == 3
    assert "[model-not-found]" in shown.error
    assert "gpuslice.yaml:3:" in shown.error
    assert str(tmp_path / "models" / "gone.gguf") in shown.err.replace("\n", "")


def test_a_model_of_unknown_size_is_asked_to_say_slice_or_memory(
    terminal: Terminal, tmp_path: Path
) -> None:
    write_stack(tmp_path, "chat: {model: Some/Model}")
    shown = terminal.type("plan")
    assert shown.status == 3
    assert "[size-unknown]" in shown.error
    assert "slice" in shown.error
    assert "memory" in shown.error


def test_a_missing_stack_file_is_told_how_to_get_one(terminal: Terminal) -> None:
    shown = terminal.type("plan", "-f", "nowhere.yaml")
    assert shown.status == 3
    assert "[stack-not-found] there is no stack file nowhere.yaml" in shown.error
    assert "gpuslice init" in shown.error


def test_all_problems_of_a_stack_file_are_shown_at_once(terminal: Terminal, tmp_path: Path) -> None:
    write_stack(tmp_path, "chat: {modle: a/b, replicas: none, slice: 1g.10gb}", more="gpu: all")
    shown = terminal.type("plan")
    assert shown.status == 3
    assert "has 4 problems" in shown.error or "has 3 problems" in shown.error
    assert "model" in shown.error
    assert "replicas" in shown.error
    assert "gpus" in shown.error


def test_asking_and_reading_logs_without_a_stack_says_how_to_start_one(terminal: Terminal) -> None:
    asked = terminal.type("ask", "chat", "Hello?")
    assert asked.status == 10
    assert "[not-running]" in asked.error
    assert "gpuslice up" in asked.error
    read = terminal.type("logs", "chat")
    assert read.status == 8
    assert "[no-such-server] There is no server 'chat'." in read.error


def test_an_unknown_model_is_answered_with_those_that_run(terminal: Terminal, node: Node) -> None:
    record = a_record(owned(a_slice(), "chat"), boot_id=node.driver.boot_id())
    node.store.write_record(record)
    asked = terminal.type("ask", "caht", "Hello?")
    assert asked.status == 8
    assert "has no model 'caht'" in asked.error
    assert "Did you mean 'chat'? It has: chat." in asked.error
    read = terminal.type("logs", "caht")
    assert read.status == 8
    assert "There are: chat/0, gateway, agent." in read.error


def test_a_question_without_words_is_wrong_usage(terminal: Terminal, node: Node) -> None:
    node.store.write_record(a_record(boot_id=node.driver.boot_id()))
    assert terminal.type("ask", "chat").status == 2


def test_up_without_a_terminal_asks_for_yes_and_changes_nothing(
    terminal: Terminal, node: Node
) -> None:
    shown = terminal.type("up")
    assert shown.status == 2
    assert "--yes" in shown.error
    assert "create 2g.20gb at" in shown.out  # the plan is shown
    assert node.store.read_journal() is None


def test_a_missing_price_shows_the_lines_to_add(terminal: Terminal) -> None:
    shown = terminal.type("cost")
    assert shown.status == 4
    assert "[price-missing]" in shown.error
    assert "NVIDIA A100-SXM4-80GB" in shown.error


def test_a_damaged_record_is_named(terminal: Terminal, node: Node) -> None:
    node.store.write_record(a_record())
    terminal.machine.record_file.write_text("{")
    shown = terminal.type("ps")
    assert shown.status == 7
    assert "[record-unreadable]" in shown.error


def test_an_error_of_the_driver_keeps_its_exit_status(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gpuslice.driver.nvml import NvmlDriver

    def lost(_self: NvmlDriver) -> None:
        raise DriverError("The GPU is lost.", hint="Restart.", details=("GPU 0", "[bold]as is[/]"))

    monkeypatch.setattr(NvmlDriver, "survey", lost)
    shown = terminal.type("gpus")
    assert shown.status == 5
    assert shown.err.splitlines() == [
        "error [driver-failed] The GPU is lost.",
        "  GPU 0",
        "  [bold]as is[/]",
        "next: Restart.",
    ]


def test_ctrl_c_ends_with_130(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    from gpuslice.driver.nvml import NvmlDriver

    def interrupted(_self: NvmlDriver) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(NvmlDriver, "survey", interrupted)
    assert terminal.type("gpus").status == 130
