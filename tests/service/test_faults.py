"""Killed, or refused by the disk, at any durable operation, the service ends where it ends
undisturbed: to the bit.

``make test`` tries some operations, ``make test-faults`` each of them, and kills at random moments
too.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from alteraser.errors import Conflict

PROGRAM = Path(__file__).with_name("kills.py")
ALL = 10**6
SHARES = 3
"""Parts of what is tried operation by operation, for the processes that do it side by side"""


def shares(*words: object) -> list[object]:
    """Every operation, in parts."""
    return [
        pytest.param(*words, first, SHARES, marks=pytest.mark.faults)
        for first in range(1, SHARES + 1)
    ]


def tried(
    made: Path, in_memory: Path, kind: str, how: str, first: int, step: int, last: int
) -> tuple[dict, list[dict]]:
    """A killed process leaves its files to the system, on a disk or in memory."""
    out = in_memory / "out.jsonl"
    words = [made / f"state-{kind}", in_memory / "work", how, first, step, last, out]
    subprocess.run([sys.executable, str(PROGRAM), *map(str, words)], check=True)
    head, *lines = [json.loads(line) for line in out.read_text().splitlines()]
    return head, lines


@pytest.mark.parametrize(
    ("kind", "how", "first", "step"),
    [
        ("knn", "kill", 3, 41),
        ("enmf", "kill", 50, 60),
        ("knn", "torn", 5, 37),
        ("knn", "full", 20, 70),
        ("knn", "error", 40, 70),
        *shares("enmf", "kill"),
        *[each for how in ("kill", "torn", "full", "error") for each in shares("knn", how)],
    ],
)
def test_the_end_is_the_same(
    made: Path, in_memory: Path, kind: str, how: str, first: int, step: int
) -> None:
    head, lines = tried(made, in_memory, kind, how, first, step, ALL)
    assert len(lines) == len(range(first, head["operations"] + 1, step)) > 0
    expected = head["expected"]
    assert (expected["missing"], expected["open"], expected["requests"]) == ([], [], 5)
    for line in lines:
        assert line["reached"] >= line["at"], "the operation was reached"
        assert line["status"] == 9 if how in ("kill", "torn") else line["status"] != 99 << 8, (
            "no other failure than the one made"
        )
        assert line["again"] == 0, line
        assert line["found"] == expected, line


@pytest.mark.parametrize(("first", "step"), [(2, 17), *shares()])
def test_a_worker_that_stood_still_is_refused(
    made: Path, in_memory: Path, first: int, step: int
) -> None:
    """Past its lease, while another one did its work: nothing that it does then counts."""
    head, lines = tried(made, in_memory, "knn", "stopped", first, step, ALL)
    assert len(lines) == len(range(first, head["operations"] + 1, step)) > 0
    expected = head["expected"]
    assert (expected["missing"], expected["open"], expected["requests"]) == ([], [], 4)
    codes = set()
    for line in lines:
        assert line["reached"] >= line["at"]
        assert line["status"] in (0, Conflict.exit_code << 8), line
        codes.add(line["status"])
        assert line["found"] == expected, line
    assert Conflict.exit_code << 8 in codes


@pytest.mark.parametrize(
    ("first", "count"),
    [(1, 2), *[pytest.param(n, 25, marks=pytest.mark.faults) for n in (101, 201, 301, 401)]],
)
def test_killed_at_random_moments(made: Path, in_memory: Path, first: int, count: int) -> None:
    """Five kills of the process for each, at moments that nobody chose."""
    head, lines = tried(made, in_memory, "knn", "random", first, 1, first + count - 1)
    assert len(lines) == count
    assert sum(line["within"] for line in lines) > 0, "some came before the end"
    for line in lines:
        assert line["again"] == 0, line
        assert line["found"] == head["expected"], line
