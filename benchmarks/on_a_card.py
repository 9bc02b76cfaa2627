"""Start a real vLLM on a whole card, as gpuslice starts one on a slice, and end it again.

By the engine's own command line, through the process runtime, with what was predicted as the limit
of its memory. Uses no MIG, changes no setting of the card, and ends what it started. Separate,
because memory and speed are measured on the same servers.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.random_models import Outline, write_model

from gpuslice.engines.api import ServeRequest
from gpuslice.engines.vllm import Vllm
from gpuslice.model.demand import ReplicaId
from gpuslice.model.machine import Machine
from gpuslice.model.server import Launch
from gpuslice.runtime.ports import free_port
from gpuslice.runtime.process import ProcessRuntime
from gpuslice.runtime.ready import ask
from gpuslice.sizing.estimate import Sized
from gpuslice.sizing.size import size_model

CONTEXT_TOKENS, CONCURRENCY = 8192, 32
STARTED_WITHIN_S = 300.0
_DUMMY = ("--load-format", "dummy")


class NotStartedError(Exception):
    """A server ended, or did not answer in time; its message has the end of the log.

    Args:
        what: What was seen.
        log: The server's log.
    """

    def __init__(self, what: str, log: str) -> None:
        super().__init__(f"{what}\n{log[-3000:]}")
        self.log = log


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The vLLM to start.

    Attributes:
        path: Path of the program ``vllm``.
        python_path: PYTHONPATH of the server, "" for none.
        environment: Further variables of the server.
    """

    path: str
    python_path: str = ""
    environment: tuple[tuple[str, str], ...] = ()

    @property
    def variables(self) -> tuple[tuple[str, str], ...]:
        """All variables of the server beside gpuslice's own."""
        python_path = (("PYTHONPATH", self.python_path),) if self.python_path else ()
        return (*python_path, *self.environment)


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A server that answers.

    Attributes:
        model: Folder of its model.
        sized: What was predicted for it.
        request: How it was to be started.
        launch: How it was started.
        log: What it has logged so far.
        used_mib: Memory of the card that is used since it was started, MiB.
        took_s: From start to the first answered request, seconds.
        before_mib: Memory of the card that was used before, MiB.
        log_file: Where it goes on logging, while it runs.
    """

    model: Path
    sized: Sized
    request: ServeRequest
    launch: Launch
    log: str
    used_mib: int
    took_s: float
    before_mib: int = 0
    log_file: Path | None = None


@contextmanager
def serving(
    outline: Outline,
    folder: Path,
    program: Program,
    *,
    eager: bool,
    within_s: float = STARTED_WITHIN_S,
) -> Iterator[Started]:
    """Start a server, yield it once it answers, and end it.

    Args:
        outline: The model.
        folder: An empty folder for the model, the log and the state.
        program: The vLLM.
        eager: Whether graphs are left out.
        within_s: How long it may take to answer, seconds.

    Raises:
        NotStartedError: It ended, or did not answer in time.
    """
    model = folder / "model"
    write_model(outline, model)
    sized = size_model(
        str(model),
        engine="vllm",
        context_tokens=CONTEXT_TOKENS,
        concurrency=CONCURRENCY,
        arguments=outline.arguments,
    )
    request = ServeRequest(
        stack="sizing",
        replica=ReplicaId(outline.name.lower().replace(".", "-"), 0),
        source=str(model),
        slice_uuid="0",
        slice_memory_mib=_cuda_total_mib(program) or card_mib("memory.total"),
        memory_limit_mib=sized.memory_mib,
        port=free_port([]),
        context_tokens=CONTEXT_TOKENS,
        concurrency=CONCURRENCY,
        args=(*_DUMMY, *(("--enforce-eager",) if eager else ()), *outline.arguments),
        environment=program.variables,
        program=program.path,
    )
    machine = Machine(root=folder / "state")
    runtime = ProcessRuntime(machine)
    launch = Vllm().launch(request)
    before_mib, began = card_mib("memory.used"), time.monotonic()
    server = runtime.start(launch)
    log = machine.log_dir / f"{launch.name}.log"
    try:
        _await(runtime, launch, log, began + within_s)
        yield Started(
            model=model,
            sized=sized,
            request=request,
            launch=launch,
            log=log.read_text(errors="replace"),
            used_mib=card_mib("memory.used") - before_mib,
            took_s=time.monotonic() - began,
            before_mib=before_mib,
            log_file=log,
        )
    finally:
        runtime.stop(server)


def _await(runtime: ProcessRuntime, launch: Launch, log: Path, until: float) -> None:
    while not (answer := ask(launch)).ready:
        if not runtime.list() or answer.refused or time.monotonic() > until:
            raise NotStartedError(
                f"{launch.name} did not start: {answer.said}", log.read_text(errors="replace")
            )
        time.sleep(0.5)


def card_mib(field: str) -> int:
    """Ask nvidia-smi for a figure of the card's memory, MiB."""
    command = ["nvidia-smi", "-i", "0", f"--query-gpu={field}", "--format=csv,noheader,nounits"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return int(done.stdout.strip())


def _cuda_total_mib(program: Program) -> int:
    """Ask CUDA for the device's total, which is what the engine's share is of."""
    first = Path(program.path).read_text(errors="replace").partition("\n")[0]
    python = first.removeprefix("#!").strip()
    script = "import torch; print(torch.cuda.mem_get_info(0)[1] >> 20)"
    environment = {"PYTHONPATH": program.python_path, "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [python or "python3", "-c", script],
        capture_output=True, text=True, check=False, timeout=120, env=environment,
    )  # fmt: skip
    return int(done.stdout.strip() or 0)
