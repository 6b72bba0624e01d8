"""Memory that stays with the process while tables come and go."""

from __future__ import annotations

import resource
import threading
from pathlib import Path

import numpy as np
import pytest

from alteraser.runtime import allocator
from alteraser.runtime.allocator import kept

MB = 1 << 20
SIZE = 96 * MB

needs_glibc = pytest.mark.skipif(allocator._glibc() is None, reason="another C library")


def faults_of_one_array() -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.empty(SIZE, np.uint8).fill(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@needs_glibc
def test_pages_are_entered_once() -> None:
    outside = faults_of_one_array()
    with kept():
        faults_of_one_array()
        inside = faults_of_one_array()
    assert inside < outside / 4


@needs_glibc
def test_it_is_returned_afterward() -> None:
    before = resident()
    with kept():
        faults_of_one_array()
        assert resident() > before + SIZE // 2
    assert resident() < before + SIZE // 2
    assert faults_of_one_array() > 0
    assert resident() < before + SIZE // 2


@needs_glibc
def test_the_last_one_to_leave_returns_it() -> None:
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with kept():
            entered.set()
            leave.wait()

    thread = threading.Thread(target=other)
    thread.start()
    entered.wait()
    with kept():
        faults_of_one_array()
    inside = faults_of_one_array()  # the other one is still there
    leave.set()
    thread.join()
    assert inside < faults_of_one_array() / 4


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator, "_glibc", lambda: None)
    with kept():
        assert faults_of_one_array() >= 0
    assert allocator._inside == [0]
