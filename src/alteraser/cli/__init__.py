"""The command line: one short file per command, one place where errors become exit codes."""

from alteraser.cli.interrupts import WhileImporting

with WhileImporting():
    from alteraser.cli.main import main

__all__ = ["main"]
