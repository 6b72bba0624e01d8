"""A line from time to time where there is no terminal for a bar: whoever reads a log sees that work
goes on, and how far it is. What is done soon says nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

FIRST, EVERY = 30.0, 60.0
"""Seconds before the first line, and between two"""


class Pulse:
    """The lines of one piece of work, called ``label``; ``said`` is how far it is, in words."""

    def __init__(self, label: str, say: Callable[[str], None]) -> None:
        self.label, self.said = label, ""
        self._say, self._began = say, time.monotonic()
        self._ended = threading.Event()

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Lines while the block runs."""
        thread = threading.Thread(target=self._beat, name="alteraser-pulse", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _beat(self) -> None:
        wait = FIRST
        while not self._ended.wait(wait):
            self._say(self.line(time.monotonic() - self._began))
            wait = EVERY

    def line(self, seconds: float) -> str:
        """What is said after so long.

        >>> pulse = Pulse("training", print)
        >>> pulse.line(30.0)
        'training: 30 s'
        >>> pulse.said = "pass 12, residual 1.2e-03"
        >>> pulse.line(90.0)
        'training: 1 min 30 s, pass 12, residual 1.2e-03'
        """
        minutes, rest = divmod(round(seconds), 60)
        took = f"{minutes} min {rest} s" if minutes else f"{rest} s"
        return f"{self.label}: {took}" + (f", {self.said}" if self.said else "")
