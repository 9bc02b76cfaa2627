"""Nothing that a user writes is read by a shell, as an option, or as a line of a log."""

from __future__ import annotations

import ast
import json
import shlex
import sys
from pathlib import Path

import pytest

import gpuslice
from builders import a_launch, a_serve_request, wait_until
from gpuslice.agent.boot_unit import command_word, quoted
from gpuslice.engines.catalogue import engine_named
from gpuslice.errors import StackError
from gpuslice.model.machine import Machine
from gpuslice.runtime.process import ProcessRuntime
from gpuslice.runtime.starting import spawn

SOURCE = Path(gpuslice.__file__).parent
NASTY = (
    *("; touch /tmp/owned", "$(id)", "`id`", "a b", "'", '"', "'\"'\"'", "\\", "\\n", "\n", "\t"),
    *(
        "-",
        "--help",
        "--flag=$HOME",
        "*",
        "~",
        "%s%n",
        "%h",
        "{{}}",
        "&",
        "|",
        ">",
        "<(id)",
        "#",
        "",
    ),
    *("é", "\U0001f600", "\u2028", "!!", "$$", "\x1b[31m"),
)
"""Arguments in which a shell, a parser, systemd or a terminal would see something else."""


def calls() -> list[tuple[str, ast.Call]]:
    """Every call in the program, with its place."""
    return [
        (f"{path.relative_to(SOURCE)}:{node.lineno}", node)
        for path in sorted(SOURCE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    ]


def test_no_call_anywhere_goes_through_a_shell() -> None:
    shells = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"}
    shells |= {"asyncio.create_subprocess_shell", "pty.spawn", "commands.getoutput"}
    found = [
        place
        for place, call in calls()
        if ast.unparse(call.func) in shells or any(word.arg == "shell" for word in call.keywords)
    ]
    assert found == []


def test_processes_are_started_in_these_places_only() -> None:
    """Who adds one reads here what it has to hold: an argument vector, and no text of a user
    before ``--`` or where an option is looked for."""
    starting = ("subprocess.run", "subprocess.Popen", "subprocess.call", "subprocess.check_output")
    found = {
        place.partition(":")[0]
        for place, call in calls()
        if ast.unparse(call.func) in (*starting, "Popen") or "os.exec" in ast.unparse(call.func)
    }
    assert found <= {
        "agent/boot.py",
        "agent/client.py",
        "agent/doctor.py",
        "apply/hooks.py",
        "cli/simulating.py",
        "driver/reset.py",
        "runtime/docker/cdi.py",
        "runtime/starting.py",
    }


def test_nothing_evaluates_text() -> None:
    risky = {
        "eval",
        "pickle.load",
        "pickle.loads",
        "yaml.load",
        "yaml.unsafe_load",
        "marshal.loads",
    }
    assert [place for place, call in calls() if ast.unparse(call.func) in risky] == []


def test_every_argument_arrives_as_it_was_written(tmp_path: Path) -> None:
    seen = tmp_path / "seen.json"
    program = "import json, sys; json.dump(sys.argv[2:], open(sys.argv[1], 'w'))"
    runtime = ProcessRuntime(Machine(root=tmp_path / "m"))
    runtime.start(a_launch(sys.executable, "-c", program, str(seen), *NASTY))
    wait_until(lambda: seen.exists() and seen.stat().st_size > 0)
    wait_until(lambda: not runtime.list())
    assert json.loads(seen.read_text()) == list(NASTY)


@pytest.mark.parametrize("name", ["vllm", "llama.cpp", "command"])
@pytest.mark.parametrize("nasty", [text for text in NASTY if "{" not in text])
def test_engines_keep_the_users_arguments_whole(name: str, nasty: str) -> None:
    request = a_serve_request(args=("--own", nasty), command=("server", nasty))
    assert engine_named(name, python="python").launch(request).command[-2:] == ("--own", nasty)


@pytest.mark.parametrize("nasty", NASTY)
def test_a_command_that_is_shown_can_be_pasted(nasty: str) -> None:
    request = a_serve_request(command=("server", nasty.replace("{{}}", "x")))
    launch = engine_named("command", python="python").launch(request)
    assert shlex.split(launch.by_hand.rpartition(" &")[0])[1:] == list(launch.command)


def test_a_log_begins_with_one_line_that_cannot_be_forged(tmp_path: Path) -> None:
    log = tmp_path / "log"
    forged = "\n2026-01-01 gpuslice starts something else\x1b[2J"
    with log.open("wb") as file:
        spawn(
            a_launch("/bin/true", forged),
            environment={},
            log=file.fileno(),
            folder=tmp_path,
            now=0.0,
        )
    assert log.read_bytes().count(b"\n") == 1
    assert b"\x1b" not in log.read_bytes()


@pytest.mark.parametrize("nasty", NASTY)
def test_a_unit_file_takes_every_word_as_one_line(nasty: str) -> None:
    for written in (quoted(nasty), command_word(nasty)):
        assert "\n" not in written
        assert written.startswith('"')
        assert written.endswith('"')


@pytest.mark.parametrize("flag", ["--host", "--hos=0.0.0.0", "--por", "--port=1", "--hos"])
@pytest.mark.parametrize("name", ["vllm", "llama.cpp"])
def test_a_flag_of_ours_is_refused_however_it_is_cut_short(name: str, flag: str) -> None:
    request = a_serve_request(args=(flag, "x"))
    with pytest.raises(StackError, match="cannot be set here"):
        engine_named(name, python="python").launch(request)
