"""alteraser worker"""

from __future__ import annotations

import signal
from typing import Annotated, Any

import typer

from alteraser.cli import common, interrupts
from alteraser.cli.configured import ConfigOption, ConfiguredCommand
from alteraser.cli.screen import Screen
from alteraser.cli.serve import (
    HoursOption,
    StateOption,
    WaitOption,
    require_service,
    tempo_of,
)

COMMAND = ConfiguredCommand


def worker(
    state: StateOption,
    config: ConfigOption = None,
    once: Annotated[bool, typer.Option("--once", help="Do what is queued, then end.")] = False,
    wait: WaitOption = False,
    hours: HoursOption = None,
    threads: common.Threads = 0,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> None:
    """Work on the requests of a state, apart from the process that serves it (serve --no-worker).

    Only one works at a time: a second one ends with exit code 4, and one that was paused for too
    long is refused.

    MovieLens-1M takes 40 s a batch.

    Example: alteraser worker --state state --once
    """
    interrupts.end_on_sigterm()
    require_service()
    from alteraser.service import tracing
    from alteraser.service.state import open_state
    from alteraser.service.worker import Worker

    tracing.begin(role="worker")
    opened = open_state(state)
    try:
        opened.database.examine()
        found = Worker(opened, threads=threads, when=tempo_of(wait, hours))
        found.begin()

        def stop(number: int, frame: Any) -> None:
            found.stop.set()
            opened.wake.set()

        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            if once:
                batches = 0
                while found.once():
                    batches += 1
                found.end()
                done = {"state": str(state), "batches": batches}
                Screen(json, quiet).result(done, [("batches", f"{batches:,} done")])
            else:
                found.run()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    finally:
        opened.close()
