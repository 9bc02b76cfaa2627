"""How much memory planning takes, measured in a process of its own.

Separate because the memory of a process only ever shows its highest mark, and a suite that has run
for minutes has marks of its own. Run as a program it draws one instance, plans it and prints the
mark: interpreter, instance, solver and all.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

from benchmarks.planner.families import families

from gpuslice.planner.plan import plan

_ROOT = Path(__file__).parents[2]


def peak_mib(family: str, size: int, limit_s: float) -> float:
    """Plan the first instance of a size in a process of its own; return its highest memory, MiB."""
    command = [sys.executable, "-m", "benchmarks.planner.peak", family, str(size), str(limit_s)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=_ROOT)
    return float(done.stdout)


def main() -> None:
    """Print the highest memory of this process once it has planned, MiB."""
    name, size, limit_s = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    family = next(family for family in families() if family.name == name)
    instance = family.draw(size, 0)
    plan(
        instance.observed,
        instance.demands,
        instance.owned,
        instance.rules,
        limit_s=limit_s,
    )
    print(_mark_mib())


def _mark_mib() -> float:
    """Return the highest memory this process has had; Linux counts in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
