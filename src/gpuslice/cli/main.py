"""Where the command ``gpuslice`` begins and ends: the interpreter's settings, and every error.

Separate from the commands (`gpuslice.cli.app`), because these settings must stand before typer and
pydantic are imported.
"""

from __future__ import annotations

import gc
import os
import sys

from gpuslice.errors import GpusliceError

EXIT_INTERRUPTED = 130

# Loading modules makes tens of thousands of objects that live to the end, and Python's default of
# 700 has them searched for garbage again and again: a tenth of the whole time of `gpuslice ps`.
# Commands that stay (up, top, logs) are still collected, only less often. mypy does the same.
_GC_THRESHOLD = 100_000


def main() -> None:
    """Run the command line. The only place that turns an error into an exit status."""
    gc.set_threshold(_GC_THRESHOLD)
    try:
        from gpuslice.cli.app import app

        app(prog_name="gpuslice")
    except GpusliceError as error:
        from gpuslice.cli.console import print_error

        print_error(error)
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has left (`gpuslice ps | head`); there is nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    finally:
        gc.freeze()  # the interpreter need not search all of it once more on its way out
        _end_beside_a_solver(sys.exc_info()[1])


def _end_beside_a_solver(ending: BaseException | None) -> None:
    """End at once where a solver that was left still works; taking the interpreter down would wait.

    Args:
        ending: The exception the command ends with; its exit status is kept.
    """
    solvers = sys.modules.get("gpuslice.planner.packing.highs")  # loaded only where it was needed
    if solvers is None or not solvers.still_running():
        return
    sys.stdout.flush()
    sys.stderr.flush()
    status = ending.code if isinstance(ending, SystemExit) else ending
    os._exit(status if isinstance(status, int) else int(status is not None))
