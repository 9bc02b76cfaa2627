"""How long whole commands take, from start to finish, as ratios to the interpreter's own start.

The yardstick is ``python -c "import typer, rich, pydantic"``: what a command line built from the
same parts imports before it does anything. Commands and yardstick are run in turn, so that a
machine that grows slower slows both, and the median of the ratios pair by pair is what counts.
CPU time (user and system, of the whole process) stands beside wall time, because it does not
count waiting for other programs. Run it with ``make benchmarks``; docs/benchmarks.md has results.
Nothing here is asserted in tests.
"""

from __future__ import annotations

import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROUNDS = 25
EXAMPLES = Path(__file__).parent.parent / "examples"
STACK = EXAMPLES / "two-halves.yaml"
MODEL = EXAMPLES / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
SCRIPT = str(Path(sys.executable).with_name("gpuslice"))
YARDSTICK = (sys.executable, "-c", "import typer, rich, pydantic")
AIM = 3.0
COMMANDS: dict[str, tuple[str, ...]] = {
    "python -c pass": (sys.executable, "-c", "pass"),
    "gpuslice --help": (SCRIPT, "--help"),
    "gpuslice ps": (SCRIPT, "ps"),
    "gpuslice plan": (SCRIPT, "plan", "--file", str(STACK)),
}
AIMED = ("gpuslice ps", "gpuslice plan")
RUNNING = """\
name: benchmark
models:
  one: {{model: {model}, slice: 3g.40gb}}
  two: {{model: {model}, slice: 3g.40gb}}
gateway: {{port: {port}}}
"""


class Spent(NamedTuple):
    """Seconds that one run of a command took."""

    wall_s: float
    cpu_s: float


def main() -> None:
    """Time every command and print one row for each."""
    with tempfile.TemporaryDirectory() as home:
        environment = environment_for(Path(home))
        print(f"{'':24} {'wall ms':>8} {'ratio':>6} {'CPU ms':>8} {'ratio':>6} {'aim':>6}")
        for name, command in COMMANDS.items():
            report(name, command, environment)
        if MODEL.exists():
            with running_stack(Path(home), environment):
                report("gpuslice ps, 2 servers", COMMANDS["gpuslice ps"], environment)


def environment_for(home: Path) -> dict[str, str]:
    """Make the variables of a simulated machine; bytecode is kept, as pip does on installing."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "GPUSLICE_HOME": str(home), "GPUSLICE_SIMULATE": "a100-80gb"}


def report(name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
    """Time a command against the yardstick and print its row."""
    run(YARDSTICK, environment)  # once each, to fill the file cache and make the machine
    run(command, environment)
    pairs = [(run(YARDSTICK, environment), run(command, environment)) for _ in range(ROUNDS)]
    wall_ms = statistics.median(own.wall_s for _, own in pairs) * 1000
    cpu_ms = statistics.median(own.cpu_s for _, own in pairs) * 1000
    wall_ratio = statistics.median(own.wall_s / yardstick.wall_s for yardstick, own in pairs)
    cpu_ratio = statistics.median(own.cpu_s / yardstick.cpu_s for yardstick, own in pairs)
    aim = f"<= {AIM:.1f}" if name in AIMED else ""
    print(f"{name:24} {wall_ms:8.0f} {wall_ratio:6.2f} {cpu_ms:8.0f} {cpu_ratio:6.2f} {aim:>6}")


def run(command: Sequence[str], environment: Mapping[str, str]) -> Spent:
    """Run a command to its end."""
    cpu_before = _children_cpu_s()
    began = time.perf_counter()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return Spent(time.perf_counter() - began, _children_cpu_s() - cpu_before)


@contextmanager
def running_stack(home: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Have two real servers run on slices of the simulated GPU, and nothing afterwards."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    file = home / "gpuslice.yaml"
    file.write_text(RUNNING.format(model=MODEL, port=port))
    run((SCRIPT, "up", "--detach", "--yes", "--file", str(file)), environment)
    try:
        yield
    finally:
        run((SCRIPT, "down", "--mig-off"), environment)


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
