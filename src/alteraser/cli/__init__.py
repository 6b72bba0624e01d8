"""The command line: one short file per command, one place where errors become exit codes."""

from alteraser.cli.interrupts import while_importing

with while_importing():
    from alteraser.cli.main import main

__all__ = ["main"]
