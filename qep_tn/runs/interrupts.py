"""Ctrl-C: raised where it harms nothing, and raised again where it was swallowed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_PATIENCE = 8.0  # seconds that a run has to end after Ctrl-C before it is interrupted again


@contextmanager
def insistent_ctrl_c() -> Iterator[None]:
    """Raise KeyboardInterrupt again, some seconds later, if code that swallows exceptions has swallowed the first."""
    ignored = not callable(signal.getsignal(signal.SIGINT))  # as for jobs in the background of a script
    if ignored or threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, _PATIENCE)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGALRM)}
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def interrupts_deferred() -> Iterator[None]:
    """A Ctrl-C in here is raised at the end."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    received: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: received.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if received:
        raise KeyboardInterrupt
