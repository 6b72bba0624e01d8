"""Killed, or refused by the disk, at any durable operation, the service ends where it ends
undisturbed: to the bit.

``make test`` tries some operations, ``make test-faults`` each of them, and kills at random moments
too.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("kills.py")


def tried(
    made: Path, tmp_path: Path, kind: str, how: str, first: int, step: int
) -> tuple[dict, list[dict]]:
    out = tmp_path / "out.jsonl"
    command = [
        sys.executable,
        str(PROGRAM),
        str(made / f"state-{kind}"),
        str(tmp_path / "work"),
        how,
    ]
    subprocess.run([*command, str(first), str(step), str(out)], check=True)
    head, *lines = [json.loads(line) for line in out.read_text().splitlines()]
    return head, lines


@pytest.mark.parametrize(
    ("kind", "how", "first", "step"),
    [
        ("knn", "kill", 3, 41),
        ("enmf", "kill", 50, 60),
        ("knn", "full", 20, 70),
        ("knn", "error", 40, 70),
        *[
            pytest.param("knn", how, 1, 1, marks=pytest.mark.faults)
            for how in ("kill", "full", "error")
        ],
        pytest.param("enmf", "kill", 1, 1, marks=pytest.mark.faults),
    ],
)
def test_the_end_is_the_same(
    made: Path, tmp_path: Path, kind: str, how: str, first: int, step: int
) -> None:
    head, lines = tried(made, tmp_path, kind, how, first, step)
    assert len(lines) == len(range(first, head["operations"] + 1, step)) > 0
    expected = head["expected"]
    assert (expected["missing"], expected["open"], expected["requests"]) == ([], [], 5)
    for line in lines:
        assert line["reached"] >= line["at"], "the operation was reached"
        assert line["status"] == 9 if how == "kill" else line["status"] != 99 << 8, (
            "no other failure than the one made"
        )
        assert line["again"] == 0, line
        assert line["found"] == expected, line


@pytest.mark.faults
def test_killed_at_random_moments(made: Path, tmp_path: Path) -> None:
    """500 kills of the process, at moments that nobody chose."""
    import shutil

    sys.path.insert(0, str(PROGRAM.parent))
    import kills

    head, _ = tried(made, tmp_path, "knn", "kill", 10**6, 1)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import kills; from pathlib import Path; "
        "told = []\n"
    )
    code += (
        "try: kills.run(Path(sys.argv[2]), told)\nfinally: kills.keep(Path(sys.argv[3]), told)\n"
    )
    draw = random.Random(0)
    for number in range(500 // 5):
        place = tmp_path / f"random-{number}"
        shutil.copytree(made / "state-knn", place / "state")
        (place / "told").touch()
        command = [
            sys.executable,
            "-c",
            code,
            str(PROGRAM.parent),
            str(place / "state"),
            str(place / "told"),
        ]
        for _ in range(5):
            process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
            time.sleep(draw.uniform(0.5, 4))
            process.send_signal(signal.SIGKILL)
            process.wait()
        subprocess.run(command, check=True)
        found = kills.look(place / "state", place / "told")
        assert found == head["expected"], number
        shutil.rmtree(place)
