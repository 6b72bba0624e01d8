"""The tutorial shows what its commands print."""

from __future__ import annotations

import re
import shlex
from functools import partial
from pathlib import Path

import pytest

import alteraser as ae
from alteraser.cli.main import main

TUTORIAL = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text(encoding="utf-8")
NUMBER = r"\d[\d,]*(?:\.\d+)?(?:e[-+]\d+)?"


def transcript() -> list[tuple[str, str]]:
    """(command, what is shown of its output) of every console block, in their order."""
    found: list[tuple[str, str]] = []
    for block in re.findall(r"^```console\n(.*?)^```", TUTORIAL, re.M | re.S):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, shown = part.partition("\n")
            found.append((command, " ".join(shown.split())))
    return found


def pattern(shown: str) -> re.Pattern[str]:
    """``shown`` with a group for every number and anything for every …"""
    pieces = re.split(rf"({NUMBER}|…)", shown)
    return re.compile(
        "".join(
            ".*?" if piece == "…" else f"({NUMBER})" if at % 2 else re.escape(piece)
            for at, piece in enumerate(pieces)
        )
        .replace(r"\ .*?", r"(?: .*?)?")
        .replace(r".*?\ ", r"(?:.*? )?"),
        re.S,
    )


def agrees(shown: str, printed: str, before: str, after: str) -> bool:
    """Whether a number is the one that is shown, as far as machines agree: what is counted is,
    converged scores to 1 %; what is small is small, and how long something took is anybody's."""
    one, other = (float(each.replace(",", "")) for each in (shown, printed))
    if "e" in shown or "e" in printed or before.endswith("curvature "):
        return max(one, other) < 1e-5 or 0.1 * other < one < 10 * other
    if re.match(r" s\b| rows solved|% of \d+ other", after) or re.search(
        r"(passes|read|solve|write|overlap) $", before
    ):
        return True
    if "." in shown:
        return abs(one - other) <= max(0.01 * abs(one), 2e-3)
    return shown == printed


def differences(shown: str, printed: str) -> list[str]:
    """Where ``printed`` is not what is shown; both with single spaces."""
    found = pattern(shown).fullmatch(printed)
    if found is None:
        return [f"the words differ; printed: {printed}; shown: {shown}"]
    return [
        f"{printed[: found.start(at)][-30:]}{found[at]} is shown as {number}"
        for at, number in enumerate(re.findall(NUMBER, shown), start=1)
        if not agrees(number, found[at], printed[: found.start(at)], printed[found.end(at) :])
    ]


def test_the_commands_print_what_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    steps = transcript()
    assert len(steps) >= 11
    for command, shown in steps:
        words = shlex.split(command)
        assert words[0] == "alteraser"
        assert main(words[1:]) == 0, command
        printed = " ".join(capsys.readouterr().out.split())
        assert differences(shown, printed) == [], command


@pytest.mark.parametrize(
    ("printed", "same"),
    [
        ("users 2,000 a 0.836 time 9.99 s (read 0.5) rest about 9e-05 of it", True),
        ("users 2,001 a 0.836 time 9.99 s (read 0.5) rest about 9e-05 of it", False),
        ("users 2,000 a 0.851 time 9.99 s (read 0.5) rest about 9e-05 of it", False),
        ("users 2,000 a 0.836 time 9.99 s (read 0.5) rest about 9e-03 of it", False),
        ("users 2,000 b 0.836 time 9.99 s (read 0.5) rest about 9e-05 of it", False),
        ("users 2,000 a 0.836 time 9.99 s (read 0.5) rest about 9e-05 of it, and more", False),
        ("users 2,000 a 0.836 more rest about 9e-05 of it", False),
    ],
)
def test_what_counts_as_the_same(printed: str, same: bool) -> None:
    shown = "users 2,000 a 0.836 time 1.23 s … rest about 2.8e-05 of it"
    assert (differences(shown, printed) == []) is same


def test_the_python_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On fewer people, and with the same end."""
    monkeypatch.setattr(
        ae, "generate_household", partial(ae.generate_household, users=250, items=200)
    )
    (python,) = re.findall(r"^```python\n(.*?)^```", TUTORIAL, re.M | re.S)
    exec(python, {})
    overlap = re.search(r"'rbo@10': ([\d.]+)", capsys.readouterr().out)
    assert overlap is not None
    assert float(overlap[1]) > 0.99
