"""Pages of the documentation as something to run: their blocks of code, and their commands obeyed
in this process."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

from alteraser.cli.main import main

ROOT = Path(__file__).parents[2]


def blocks(page: str, heading: str, language: str = "") -> list[str]:
    """Code in ``language`` of a section of the file ``page``, one text a block."""
    found: list[str] = []
    here, inside = False, None
    for line in (ROOT / page).read_text(encoding="utf-8").splitlines():
        if inside is not None:
            if line == "```":
                found += ["\n".join(inside[1:])] if here and inside[0] == language else []
                inside = None
            else:
                inside.append(line)
        elif line.startswith("```"):
            inside = [line[3:]]
        elif line.startswith("#"):
            here = line.lstrip("# ") == heading
    assert found, (page, heading)
    return found


def commands(text: str) -> Iterator[list[str]]:
    """The words of every command, lines that end in a backslash joined."""
    for line in text.replace("\\\n", " ").splitlines():
        if words := shlex.split(line.removeprefix("$ "), comments=True):
            yield words


def obey(text: str) -> list[int]:
    """Run a block of commands in the working directory; exit codes of those of alteraser."""
    codes = []
    for words in commands(text):
        if words[0] == "alteraser":
            codes.append(main(words[1:]))
        elif words[0] == "printf":
            subprocess.run(["bash", "-c", shlex.join(words[:-2]) + " > " + words[-1]], check=True)
            assert words[-2] == ">"
        else:
            assert words[0] == "pip", words
    return codes
