"""Which engines there are, by the name the stack file uses.

Separate so that nobody who needs an engine has to know all of them.
"""

from __future__ import annotations

from gpuslice.engines.api import Engine
from gpuslice.engines.command import Command
from gpuslice.engines.llama_cpp import LlamaCpp
from gpuslice.engines.sglang import Sglang
from gpuslice.engines.vllm import Vllm
from gpuslice.errors import StackError

ENGINE_NAMES = ("vllm", "sglang", "llama.cpp", "command")


def engine_named(name: str, *, python: str) -> Engine:
    """Return the engine of that name.

    Args:
        name: As in the stack file.
        python: Interpreter for engines that are Python programs of ours; engines are pure, so
            the caller says which (``sys.executable``).

    Raises:
        StackError: There is no such engine.
    """
    match name:
        case "vllm":
            return Vllm()
        case "sglang":
            return Sglang()
        case "llama.cpp":
            return LlamaCpp(python)
        case "command":
            return Command()
        case _:
            raise StackError(
                f"there is no engine {name!r}", hint=f"use one of {', '.join(ENGINE_NAMES)}"
            )
