"""The whole job in a few minutes, without a GPU: what ``make demo`` runs.

It runs the real ``gpuslice`` on a simulated A100 with a home of its own, and says before each step
what a person would otherwise have typed. It ends with a proof that nothing is left, and fails when
something is.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

BOARD = "a100-80gb"
STACK = Path(__file__).with_name("gpuslice.yaml")
QUESTION = "Why is the sky blue? Answer in two sentences."

console = Console(highlight=False)


def main() -> int:
    """Run the demo; 0 when every step did what it should and nothing is left."""
    with tempfile.TemporaryDirectory(prefix="gpuslice-demo-") as home:
        os.environ |= {"GPUSLICE_HOME": home, "GPUSLICE_SIMULATE": BOARD}
        port = choose_port()
        stack = write_stack(Path(home), port)
        try:
            show(stack)
        except subprocess.CalledProcessError as error:
            console.print(f"[bold red]The demo failed at:[/] {shlex.join(error.cmd)}")
            return 1
        except KeyboardInterrupt:
            return 130
        finally:
            down = [*gpuslice(), "down", "--mig-off"]
            subprocess.run(down, check=False, capture_output=True)
        return check_nothing_is_left(port)


def show(stack: Path) -> None:
    """Go through the job, step by step."""
    file = f"--file={stack}"
    step("1. Can this machine do it?", "nvidia-smi; nvidia-smi -q; docker info; ss -ltn")
    run("doctor")
    step("2. Which slices does the card offer?", "nvidia-smi mig -lgip; nvidia-smi mig -lgipp")
    run("profiles")
    step("3. The stack file", "a page of notes")
    console.print(escape(stack.read_text()))
    step("4. What would happen, and what would it cost?", "a spreadsheet")
    run("plan", file)
    step(
        "5. Do it: MIG mode on, two slices, a model server on each, one endpoint",
        "the commands shown beside the steps below, and a router's configuration",
    )
    run("up", file, "--detach", "--yes", "--show-commands")
    step("6. What runs, on which slice, with how much memory?", "nvidia-smi; docker ps; ss -ltnp")
    run("ps")
    step("7. Ask both models at the same time, through the one endpoint", "two curls with &")
    run("ask", "--all", QUESTION, "--max-tokens=90", "--temperature=0")
    step("8. Each slice while they work", "watch nvidia-smi")
    question = [*gpuslice(), "ask", "--all", "Tell me a long story.", "--max-tokens=400"]
    with subprocess.Popen(question, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        run("top", "--rounds=4")
    step("9. What does each model cost, against a card of its own?", "the spreadsheet again")
    run("cost", file)
    step("10. Take everything down: servers, gateway, slices, MIG mode", "all of it backwards")
    run("down", "--mig-off", "--show-commands")


def check_nothing_is_left(port: int) -> int:
    """Look for slices, MIG mode, processes and the port; say what was found."""
    step("11. Is anything left?", "nvidia-smi mig -lgi; ps aux; ss -ltn")
    gpus = ask("gpus")["gpus"]
    slices = [slice_ for gpu in gpus for slice_ in gpu["slices"]]
    mode = [gpu["index"] for gpu in gpus if gpu["mig"]["current"]]
    processes = list_processes(os.environ["GPUSLICE_HOME"])
    found = {
        "slices": slices,
        "GPUs with MIG mode on": mode,
        "processes": processes,
        f"listeners on port {port}": [port] if listens(port) else [],
    }
    for what, left in found.items():
        console.print(f"  {what}: " + (f"[bold red]{left}[/]" if left else "[green]none[/]"))
    if any(found.values()):
        return 1
    console.print(
        "\n[bold green]Done.[/] The GPU was simulated; the servers and answers were real."
    )
    console.print("Your own stack: gpuslice init, gpuslice plan, gpuslice up. See README.md.")
    return 0


def step(title: str, by_hand: str) -> None:
    """Head a step; say what one would have typed."""
    console.print()
    console.rule(f"[bold]{title}[/] [black on yellow] simulated GPU [/]", align="left")
    console.print(f"[dim]by hand: {escape(by_hand)}[/]")


def run(*arguments: str) -> None:
    """Run a gpuslice command as a person would, and show it."""
    console.print(f"[bold cyan]$ gpuslice {escape(shlex.join(arguments))}[/]")
    subprocess.run([*gpuslice(), *arguments], check=True)


def ask(*arguments: str) -> Any:
    """Run a gpuslice command for its JSON."""
    command = [*gpuslice(), *arguments, "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def gpuslice() -> list[str]:
    """The command line of this very installation."""
    return [sys.executable, "-m", "gpuslice"]


def write_stack(home: Path, port: int) -> Path:
    """Copy the demo's stack file beside its state, with absolute paths and a free port."""
    text = STACK.read_text().replace("../", f"{STACK.parent.parent}/")
    stack = home / "gpuslice.yaml"
    stack.write_text(text.replace("18080", str(port)))
    return stack


def choose_port() -> int:
    """Take the port of the stack file, or a free one where that is taken."""
    with closing(socket.socket()) as probe:
        wanted = 0 if listens(18080) else 18080
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", wanted))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Tell whether anything listens on a port of loopback."""
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def list_processes(home: str) -> list[int]:
    """Find processes that were started for this demo: they know its home."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            told = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if home.encode() in told:
            found.append(int(entry.name))
    return found


if __name__ == "__main__":
    sys.exit(main())
