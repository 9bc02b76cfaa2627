"""What ``--simulate`` means: which simulated GPUs a machine has.

Pure and apart from the machine itself, so that the command line can check and normalise the text
before anything is created.
"""

from __future__ import annotations

from gpuslice.errors import BadSimulationError
from gpuslice.hardware import board

MAX_GPUS = 64
"""GPUs of one simulated machine; NVML numbers them, and no machine has more."""


def parse_simulation(simulation: str) -> tuple[tuple[str, int], ...]:
    """Read ``a100-80gb:2,h100-80gb`` as boards and how many of each, in order.

    Args:
        simulation: Comma-separated ``board`` or ``board:count``.

    Returns:
        (board key, count) per entry, aliases resolved.

    Raises:
        BadSimulationError: Wrong syntax, or a count below 1 or above 64 in all.
        UnknownBoardError: A board the table does not hold.
    """
    entries = tuple(_parse_entry(text, simulation) for text in simulation.split(","))
    total = sum(count for _, count in entries)
    if total > MAX_GPUS:
        raise _bad(simulation, f"asks for {total} GPUs and a machine holds at most {MAX_GPUS}")
    return entries


def canonical_simulation(simulation: str) -> str:
    """Write a simulation the one way that equal machines share: ``a100:1`` is ``a100-80gb``.

    Neighbouring entries of one board are joined; the order of the GPUs stays.

    Raises:
        BadSimulationError: As `parse_simulation`.
        UnknownBoardError: As `parse_simulation`.
    """
    runs: list[tuple[str, int]] = []
    for key, count in parse_simulation(simulation):
        if runs and runs[-1][0] == key:
            count += runs.pop()[1]  # noqa: PLW2901 - the joined run replaces the one just read
        runs.append((key, count))
    return ",".join(key if count == 1 else f"{key}:{count}" for key, count in runs)


def _parse_entry(text: str, simulation: str) -> tuple[str, int]:
    key, colon, count_text = (part.strip() for part in text.partition(":"))
    if not key:
        raise _bad(simulation, "has an entry without a board")
    if not colon:
        return board(key).key, 1
    if not (count_text.isascii() and count_text.isdecimal()):
        raise _bad(simulation, f"has {count_text!r} where a number of GPUs belongs")
    count = int(count_text)
    if not 1 <= count <= MAX_GPUS:
        raise _bad(simulation, f"asks for {count} × {key}; 1 to {MAX_GPUS} are possible")
    return board(key).key, count


def _bad(simulation: str, problem: str) -> BadSimulationError:
    return BadSimulationError(
        f"The simulation {simulation!r} {problem}.",
        hint="Write BOARD or BOARD:COUNT, separated by commas, such as a100-80gb:2,h100-80gb.",
    )
