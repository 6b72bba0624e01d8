"""How much memory there is for this process, before it is asked for."""

from __future__ import annotations

import os
import sys
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
MEMINFO, STATM = Path("/proc/meminfo"), Path("/proc/self/statm")


def available() -> int | None:
    """Bytes that this process can still get: what is free, its container's limit and its own; None:
    not known.
    """
    found = [
        bytes_left for bytes_left in (_machine(), _container(), _limit()) if bytes_left is not None
    ]
    return min(found) if found else None


def physical() -> int | None:
    """Bytes that the machine has, whoever uses them; None: not known. The same at every call: what
    plans go by.
    """
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not on every platform
        return None


def planned() -> int:
    """``physical``, or 8 GiB of a machine that does not say: what is kept in memory goes by it."""
    known = physical()
    return 8 << 30 if known is None else known


def text(size: float) -> str:
    """Bytes for people.

    >>> text(55_000_000), text(3.2e9)
    ('55 MB', '3.2 GB')
    """
    return f"{size / 1e6:,.0f} MB" if size < 1e9 else f"{size / 1e9:,.1f} GB"


def _machine() -> int | None:
    try:
        for line in MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return physical()


def _container() -> int | None:
    """What a control group leaves, of version 2 or 1; its cache of files counts as free."""
    for most, now, cache in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            limit, used = int((CGROUP / most).read_text()), int((CGROUP / now).read_text())
            lines = (CGROUP / now).with_name("memory.stat").read_text().splitlines()
        except (OSError, ValueError):  # no such group, or "max"
            continue
        idle = sum(int(line.split()[1]) for line in lines if line.split()[0] == cache)
        return max(limit - used + idle, 0)
    return None


def _limit() -> int | None:
    """What ``ulimit -v`` leaves."""
    if sys.platform == "win32":
        return None
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft == resource.RLIM_INFINITY:
        return None
    try:
        used = int(STATM.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        used = 0
    return max(soft - used, 0)
