"""Ctrl-C in the middle of work, once for everything that runs long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from threadpoolctl import threadpool_limits

from alteraser.errors import Interrupted

NOTHING_CHANGED = "interrupted; nothing was changed"


@contextmanager
def whole(message: str = NOTHING_CHANGED, *, blas: int | None = 1) -> Iterator[None]:
    """Work that is done as a whole or not at all: KeyboardInterrupt in it becomes Interrupted,
    which says ``message``.

    What it changes must be copies until it ends. ``blas`` bounds BLAS's own threads meanwhile, None
    leaves them as they are: where our workers are the parallelism, they would only spin beside them
    between small products.
    """
    with nullcontext() if blas is None else threadpool_limits(blas):
        try:
            yield
        except KeyboardInterrupt:
            raise Interrupted(message) from None
