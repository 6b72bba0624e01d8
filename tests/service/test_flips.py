"""One bit of a file changes: what is served, and what proves an erasure, is refused."""

from __future__ import annotations

import itertools
import json
import random
import shutil
from pathlib import Path

import pytest

from alteraser.engines.store import version as on_disk
from alteraser.errors import IntegrityError
from alteraser.ledger import log, receipts

from .conftest import BASE


@pytest.mark.parametrize("kind", ["knn", "enmf"])
@pytest.mark.parametrize("count", [150, pytest.param(5_000, marks=pytest.mark.faults)])
def test_no_bit_of_a_version_may_change(service, in_memory: Path, kind: str, count: int) -> None:
    """Any bit of any file of it, small files as often as large ones."""
    opened = service(kind)
    opened.send({"users": [BASE + 5]})
    opened.work()
    folder = in_memory / opened.state.load_serving().id
    shutil.copytree(opened.state.load_serving().folder, folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    assert len(files) >= 5
    draw = random.Random(count)
    for path in itertools.islice(itertools.cycle(files), count):
        whole = path.read_bytes()
        place, bit = draw.randrange(len(whole)), 1 << draw.randrange(8)
        path.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
        with pytest.raises(IntegrityError):
            on_disk.load(folder)
        path.write_bytes(whole)
    assert on_disk.load(folder).id == folder.name


@pytest.mark.parametrize(
    ("count", "step"), [(2, 97), pytest.param(100, 7, marks=pytest.mark.faults)]
)
def test_no_bit_of_a_receipt_may_change(service, count: int, step: int) -> None:
    """Everywhere in it, each time another bit; with the log and without."""
    opened = service()
    names = [
        opened.send({"users": [BASE + number % 50]}, str(number))
        for number in range(min(count, 50))
    ]
    names += [opened.send({"items": [1000 + number]}) for number in range(count - len(names))]
    opened.work()
    whole = log.Log(opened.state.folders.log)
    with opened.state.database.reading() as connection:
        written = [log.receipt(connection, name, opened.state.signer.public) for name in names]
    for number, content in enumerate(written):
        assert content is not None
        assert receipts.check(content, log=whole).trusted
        for place in range(number % step, len(content), step):
            bit = 1 << (number + place) % 8
            flipped = content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :]
            for known in (whole, None):
                with pytest.raises(IntegrityError):
                    receipts.check(flipped, log=known)


def test_no_bit_of_the_log_may_change(service) -> None:
    """Of its leaves, its checkpoint and its key: it is refused, or still says what a receipt
    needs."""
    opened = service()
    name = opened.send({"users": [BASE + 5]})
    opened.work()
    folder = opened.state.folders.log
    with opened.state.database.reading() as connection:
        content = log.receipt(connection, name, opened.state.signer.public)
    assert content is not None
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        for place in range(len(whole)):
            path.write_bytes(
                whole[:place] + bytes([whole[place] ^ (1 << place % 8)]) + whole[place + 1 :]
            )
            try:
                found = receipts.check(content, log=log.Log(folder))
            except IntegrityError:
                continue
            # white space around a line, the case of a digit: the same numbers
            assert bytes(path.read_bytes()).split() == whole.split() or (
                path.read_bytes().lower().split() == whole.split()
            ), (path.name, place)
            assert found.leaf == 0
        path.write_bytes(whole)
    assert json.loads(content)["public_key"] == opened.state.signer.public.hex()
