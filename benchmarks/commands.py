"""How long whole commands take, from start to finish, as ratios to the interpreter's own start.

The yardstick is ``python -c "import typer, rich, pydantic"``: what any command line built from the
same parts costs before it has done anything. Commands and yardstick are run in turn, so that a
machine that grows slower slows both; the median of the ratios pair by pair is what counts.
Run it with ``make benchmarks``. Nothing here is asserted in tests.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROUNDS = 15
YARDSTICK = [sys.executable, "-c", "import typer, rich, pydantic"]
STACK = Path(__file__).parent.parent / "examples" / "two-halves.yaml"
AIM = {"ps": 3.0, "plan": 3.0}


def main() -> None:
    """Time every command and print one row for each."""
    script = Path(sys.executable).with_name("gpuslice")
    commands: dict[str, list[str]] = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "gpuslice --help": [str(script), "--help"],
        "gpuslice ps": [str(script), "ps"],
        "gpuslice plan": [str(script), "plan", "--file", str(STACK)],
    }
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "GPUSLICE_HOME": home, "GPUSLICE_SIMULATE": "a100-80gb"}
        for command in [YARDSTICK, *commands.values()]:
            run(command, environment)  # once to warm the file cache and make the simulated machine
        print(f"{'command':18} {'median ms':>10} {'ratio to yardstick':>20} {'aim':>6}")
        for name, command in commands.items():
            report(name, command, environment)


def report(name: str, command: Sequence[str], environment: dict[str, str]) -> None:
    """Time a command against the yardstick and print its row."""
    pairs = [(run(YARDSTICK, environment), run(command, environment)) for _ in range(ROUNDS)]
    ratio = statistics.median(own / yardstick for yardstick, own in pairs)
    median_ms = statistics.median(own for _, own in pairs) * 1000
    aim = AIM.get(name.rsplit(maxsplit=1)[-1])
    shown = f"<= {aim:.0f}" if aim else ""
    print(f"{name:18} {median_ms:10.0f} {ratio:20.2f} {shown:>6}")


def run(command: Sequence[str], environment: dict[str, str]) -> float:
    """Run a command to its end; seconds of wall time."""
    began = time.perf_counter()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
