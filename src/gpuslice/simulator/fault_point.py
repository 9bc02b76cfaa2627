"""Where faults strike: around one call, whoever asked for the fault.

Order at one call: it is counted and observed; clients turn up or go, cards are lost, the machine
restarts; the call hangs; it fails, or is carried out; it fails afterwards; it is observed again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, assert_never

from gpuslice.simulator import machine
from gpuslice.simulator.codes import Code, Refusal
from gpuslice.simulator.fault_file import FaultFile
from gpuslice.simulator.faults import (
    UNCOUNTED,
    Fail,
    Fault,
    Hang,
    Hold,
    LoseGpu,
    ModePending,
    Reboot,
)
from gpuslice.simulator.injector import Due, Injector
from gpuslice.simulator.store import Store

T = TypeVar("T")


@dataclass(kw_only=True)
class FaultPoint:
    """The point through which every call of one session goes.

    Attributes:
        store: The machine.
        file: Faults that every process of the machine shares.
        injector: Faults of this process, where a test gave some.
    """

    store: Store
    file: FaultFile
    injector: Injector | None = None

    @classmethod
    def of(cls, store: Store, injector: Injector | None = None) -> FaultPoint:
        """Make the fault point of a machine."""
        return cls(store=store, file=FaultFile(store.file.parent), injector=injector)

    def is_quiet(self) -> bool:
        """Tell whether nothing can go wrong and nobody looks on, as in all ordinary use."""
        return self.injector is None and not self.file.exists()

    def pass_through(self, call: str, gpu: Callable[[], int | None], act: Callable[[], T]) -> T:
        """Carry out a call with whatever befalls it.

        Args:
            call: Name of the C function.
            gpu: Finds the index of the GPU it is about, or None where it is about none.
            act: What it does.

        Returns:
            What ``act`` returns.

        Raises:
            Refusal: What ``act`` raises, or an injected error.
            BaseException: Whatever an observer raises, unchanged.
        """
        if call in UNCOUNTED or self.is_quiet():
            return act()
        concerned = gpu()
        if self.injector is None:
            return self._suffer(self.file.enter(call, concerned), (), act)
        number, own = self.injector.enter(call, concerned)
        shared = self.file.enter(call, concerned) if self.file.exists() else ()
        if self.injector.before is not None:
            self.injector.before(call, number)
        try:
            return self._suffer(shared, own, act)
        finally:
            if self.injector.after is not None:
                self.injector.after(call, number)

    def _suffer(self, shared: tuple[Due, ...], own: tuple[Due, ...], act: Callable[[], T]) -> T:
        for due in (*shared, *own):
            self._change_machine(due)
        for due in shared:
            if isinstance(due.fault.effect, Hang) and due.fault.strikes(due.number):
                self.file.hang(due.fault.effect, due.fault)
        for due in own:
            if isinstance(due.fault.effect, Hang) and due.fault.strikes(due.number):
                assert self.injector is not None
                self.injector.hang(due.fault.effect)
        failing = [due.fault.effect for due in (*shared, *own) if due.fault.strikes(due.number)]
        errors = [effect for effect in failing if isinstance(effect, Fail)]
        _raise_first(errors, after=False)
        answer = act()
        _raise_first(errors, after=True)
        return answer

    def _change_machine(self, due: Due) -> None:
        fault, directory = due.fault, self.store.file.parent
        strikes = fault.strikes(due.number)
        match fault.effect:
            case Hold() as hold:
                self._hold(hold, fault, due.number)
            case ModePending() as pending:
                self._keep_pending(pending, fault, due.number)
            case LoseGpu(gpu=gpu):
                if strikes:
                    machine.set_lost(directory, gpu, lost=True)
            case Reboot():
                if strikes:
                    machine.reboot(directory)
            case Fail() | Hang():
                pass  # the call's own fate, not the machine's
            case unknown:
                assert_never(unknown)

    def _hold(self, hold: Hold, fault: Fault, number: int) -> None:
        directory = self.store.file.parent
        if fault.strikes(number):
            machine.add_client(directory, hold.gpu, hold.pid, start=hold.start)
        elif fault.has_just_passed(number):
            machine.remove_client(directory, hold.gpu, hold.pid)

    def _keep_pending(self, pending: ModePending, fault: Fault, number: int) -> None:
        if fault.strikes(number) or fault.has_just_passed(number):
            code = pending.code if fault.strikes(number) else Code.SUCCESS
            machine.set_mode_obstacle(self.store.file.parent, pending.gpu, code)


def _raise_first(errors: list[Fail], *, after: bool) -> None:
    codes: list[Code] = [error.code for error in errors if error.after is after]
    if codes:
        raise Refusal(codes[0])
