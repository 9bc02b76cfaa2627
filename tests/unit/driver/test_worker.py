"""Calls that do not return. Nothing here depends on how long anything takes: a call that hangs
hangs until the test lets it go, and a healthy one has a minute.
"""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from functools import partial
from typing import Any, NoReturn

import pytest

from gpuslice.driver.worker import StuckError, Worker

AT_ONCE_S = 0.01
LONG_S = 60.0


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """An event that calls hang on; whatever still hangs is let go at the end."""
    event = threading.Event()
    yield event
    event.set()


def stuck_worker(released: threading.Event) -> Worker:
    worker = Worker()
    with pytest.raises(StuckError):
        worker.run("nvmlHang", released.wait, AT_ONCE_S)
    return worker


def test_a_call_gives_its_value() -> None:
    assert Worker().run("nvmlAdd", lambda: 1 + 1, LONG_S) == 2


def test_what_a_call_raises_is_raised_where_its_value_is_wanted() -> None:
    def fail() -> NoReturn:
        raise LookupError("nothing there")

    worker = Worker()
    with pytest.raises(LookupError, match="nothing there"):
        worker.run("nvmlFail", fail, LONG_S)
    assert worker.run("nvmlAdd", lambda: 1, LONG_S) == 1


def test_a_call_runs_in_a_thread_that_does_not_keep_the_program_from_ending() -> None:
    thread = Worker().run("nvmlWho", threading.current_thread, LONG_S)
    assert thread is not threading.current_thread()
    assert thread.daemon


def test_a_call_that_does_not_return_is_given_up_and_named(released: threading.Event) -> None:
    worker = Worker()
    with pytest.raises(StuckError, match=r"nvmlHang did not return within 0\.01 s"):
        worker.run("nvmlHang", released.wait, AT_ONCE_S)
    assert worker.stuck


def test_no_call_is_made_after_one_that_did_not_return(released: threading.Event) -> None:
    worker = stuck_worker(released)
    made: list[int] = []
    with pytest.raises(StuckError, match="nvmlHang"):
        worker.run("nvmlNext", lambda: made.append(1), LONG_S)
    released.set()
    with pytest.raises(StuckError, match="nvmlHang"):
        worker.run("nvmlNext", lambda: made.append(1), LONG_S)
    assert made == []


def test_what_a_given_up_call_may_still_write_to_is_kept_alive(released: threading.Event) -> None:
    class Buffer:
        pass

    def hang(_buffer: Buffer) -> None:
        released.wait()

    worker = Worker()
    buffer = Buffer()
    alive = weakref.ref(buffer)
    with pytest.raises(StuckError):
        worker.run("nvmlHang", partial(hang, buffer), AT_ONCE_S)
    del buffer, worker
    gc.collect()
    assert alive() is not None


def test_a_worker_that_nobody_needs_ends_its_thread() -> None:
    worker = Worker()
    thread = worker.run("nvmlWho", threading.current_thread, LONG_S)
    del worker
    gc.collect()
    thread.join(LONG_S)
    assert not thread.is_alive()


def interrupted_call(worker: Worker, released: threading.Event, done: list[Any]) -> None:
    """Press Ctrl-C in the middle of a call, which goes on until it is released."""

    def job() -> None:
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, signal.SIGINT)
        released.wait()
        done.append("made")

    with pytest.raises(KeyboardInterrupt):
        worker.run("nvmlCreate", job, LONG_S)


def test_ctrl_c_ends_the_waiting_and_not_the_call(released: threading.Event) -> None:
    worker, done = Worker(), list[Any]()
    interrupted_call(worker, released, done)
    assert done == []
    released.set()
    worker.settle()
    assert done == ["made"]


def test_the_call_after_ctrl_c_is_made_when_the_interrupted_one_has_returned(
    released: threading.Event,
) -> None:
    worker, done = Worker(), list[Any]()
    interrupted_call(worker, released, done)
    released.set()
    worker.run("nvmlDestroy", lambda: done.append("destroyed"), LONG_S)
    assert done == ["made", "destroyed"]


HANGING_PROGRAM = """
import time
from gpuslice.driver.worker import StuckError, Worker
try:
    Worker().run("nvmlInit", lambda: time.sleep(3600), 0.01)
except StuckError as error:
    print(error)
"""


def test_a_program_ends_although_a_call_still_hangs() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", HANGING_PROGRAM],
        capture_output=True,
        text=True,
        timeout=LONG_S,
        check=True,
    )
    assert ended.stdout == "nvmlInit did not return within 0.01 s\n"
