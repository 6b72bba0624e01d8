"""Without a terminal, what takes long says from time to time how far it is, and what does not says
nothing."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from alteraser.cli import pulse
from alteraser.cli.screen import Screen
from alteraser.erasers import PassRecord
from alteraser.runtime import events

Work = Callable[[Screen], AbstractContextManager[None]]
WORK: dict[str, tuple[Work, Callable[[], None], str]] = {
    "phase": (
        lambda screen: screen.phase("read", "reading data"),
        lambda: None,
        r"reading data: \d+ s",
    ),
    "passes": (
        lambda screen: screen.passes("solve", "training", 1e-3),
        lambda: told_pass(),
        r"training: \d+ s, pass 7, residual 2.5e-02",
    ),
    "steps": (
        lambda screen: screen.steps("solve", "tuning"),
        lambda: events.steps()("3 of 4: d = 8", 0.75),
        r"tuning: \d+ s, 75%, 3 of 4: d = 8",
    ),
}


def told_pass() -> None:
    on_pass = events.passes(None)
    assert on_pass is not None
    on_pass(PassRecord(7, "all", 1.0, 2.5e-2, 0.1, 5, False))


@pytest.mark.parametrize("work", list(WORK))
def test_a_line_from_time_to_time(
    work: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pulse, "FIRST", 0.05)
    monkeypatch.setattr(pulse, "EVERY", 0.05)
    begin, happens, words = WORK[work]
    text, until = "", time.monotonic() + 60
    with begin(Screen(False, False)):
        happens()
        while len(re.findall(words, text)) < 2 and time.monotonic() < until:
            time.sleep(0.01)
            text += capsys.readouterr().err
    assert len(re.findall(words, text)) >= 2, text
    label = words.partition(":")[0]
    assert all(line.startswith(f"{label}: ") for line in text.splitlines())
    assert not [each for each in threading.enumerate() if each.name == "alteraser-pulse"]


@pytest.mark.parametrize("work", list(WORK))
def test_what_is_quiet_or_soon_done_says_nothing(
    work: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begin, happens, _ = WORK[work]
    with begin(Screen(True, False)):
        happens()
    monkeypatch.setattr(pulse, "FIRST", 0.01)
    with begin(Screen(False, True)):
        assert not [each for each in threading.enumerate() if each.name == "alteraser-pulse"]
    assert capsys.readouterr() == ("", "")
