"""Faults of ours in the log: by their kind and their place in the code. What they say may name
somebody.
"""

from __future__ import annotations

import logging
import traceback


def told(error: BaseException) -> str:
    """The kind of ``error`` and the lines it came from, without its message."""
    return type(error).__name__ + "\n" + "".join(traceback.format_tb(error.__traceback__))


class Unnamed(logging.Filter):
    """Puts ``told`` in place of a traceback, whose last line is the message."""

    def filter(self, record: logging.LogRecord) -> bool:
        """True: every record is logged."""
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            record.msg, record.args = "%s%s", (record.getMessage(), told(error))
            record.exc_info = record.exc_text = None
        return True
