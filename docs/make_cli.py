"""Write reference/cli.md from the commands' own help: python docs/make_cli.py."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from alteraser.cli.commands import COMMANDS as SINGLE

COMMANDS = (
    *SINGLE,
    *(f"data {name}" for name in ("split", "stats", "fetch", "generate")),
    *(
        f"request {name}"
        for name in (
            "submit",
            "status",
            "cancel",
            "verify",
            "reject",
            "hold",
            "release",
            "list",
            "receipt",
        )
    ),
    "receipt verify",
    *(f"key {name}" for name in ("add", "list", "rotate", "revoke")),
    *(f"bench {name}" for name in ("paper", "neural", "tune-paper")),
)


def main() -> None:
    """Collect the help of every command, without colors and at a fixed width."""
    command = str(Path(sys.executable).with_name("alteraser"))
    environment = os.environ | {
        "NO_COLOR": "1",
        "TERM": "dumb",
        "COLUMNS": "100",
        "TERMINAL_WIDTH": "100",
    }
    pages = [
        "# Commands\n\nThe text of `--help`; this page is written by `python docs/make_cli.py`.\n"
    ]
    for name in COMMANDS:
        answer = subprocess.run(
            [command, *name.split(), "--help"],
            check=True,
            capture_output=True,
            text=True,
            env=environment,
        )
        lines = "\n".join(line.rstrip() for line in answer.stdout.strip().splitlines())
        pages.append(f"## alteraser {name}\n\n```text\n{lines}\n```\n")
    (Path(__file__).parent / "reference" / "cli.md").write_text("\n".join(pages), encoding="utf-8")


if __name__ == "__main__":
    main()
