"""The suite that every adapter inherits: what is true of a format whatever is in it.

    class TestImplicitALS(AdapterContract):
        adapter = implicit.ADAPTER
        fixture = FIXTURES / "implicit" / "als.npz"
        options = ForeignOptions()

A format whose bytes cannot come out the same (``.pth``) overrides ``same_bytes``. ``inputs`` gives
other ways of looking at what was written, such as the tensors of the auxiliary state, in
``auxiliary``.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest
from conftest import tree

from alteraser.adapters import Adapter, Changed, Foreign, ForeignOptions, find
from alteraser.adapters.contract import ForeignOutcome
from alteraser.adapters.data import reading_of
from alteraser.adapters.forget import (
    ForeignSettings,
    Opened,
    forget_foreign,
    matched,
    open_foreign,
    plan_foreign,
)
from alteraser.adapters.verify import verify_foreign
from alteraser.data.selection import Selection
from alteraser.errors import AltEraserError, DependencyMissing, IntegrityError, OutputExists

FIXTURES = Path(__file__).parent / "fixtures"


def digests(path: Path) -> dict[str, str]:
    """sha-256 of a file, or of every file below a folder."""
    if path.is_dir():
        return tree(path)
    return {name: digest for name, digest in tree(path.parent).items() if name == path.name}


class AdapterContract:
    """Round trips, frozen rows, absence, atomicity."""

    adapter: ClassVar[Adapter]
    fixture: ClassVar[Path]
    options: ClassVar[ForeignOptions] = ForeignOptions()
    byte_identical: ClassVar[bool] = True
    """False where only the tensors come out the same."""
    shape: ClassVar[tuple[int, int, int]]
    """(m, n, d) of the fixture, as its script made it."""

    @pytest.fixture
    def copy(self, tmp_path: Path) -> Path:
        """The fixture in a folder of its own."""
        target = tmp_path / "in" / self.fixture.name
        target.parent.mkdir()
        (shutil.copytree if self.fixture.is_dir() else shutil.copyfile)(self.fixture, target)
        return target

    def read(self, path: Path) -> Foreign:
        return self.adapter.read(path, self.options)

    def absent(self, foreign: Foreign, row: int) -> bool:
        """Is this user gone, in the container's own way? By default a zero row."""
        gone = not np.any(foreign.users[row])
        return gone and (foreign.user_biases is None or foreign.user_biases[row] == 0)

    def changed(
        self, foreign: Foreign, users: list[int], erased: list[int] | None = None
    ) -> Changed:
        """Some users' rows and item 1 moved, ``erased`` users gone."""
        rng = np.random.default_rng(0)
        erased = erased or []
        new_users, new_items = np.array(foreign.users), np.array(foreign.items)
        new_users[users] = rng.standard_normal((len(users), new_users.shape[1]))
        new_users[erased] = 0
        new_items[1] = rng.standard_normal(new_items.shape[1])
        biases = None if foreign.user_biases is None else np.array(foreign.user_biases)
        if biases is not None:
            biases[users], biases[erased] = 0.25, 0
        rows = np.array(sorted({*users, *erased}), np.int64)
        pairs = (np.array(erased, np.int64), np.zeros(len(erased), np.int64))
        return Changed(
            new_users,
            new_items,
            user_biases=biases,
            user_rows=rows,
            item_rows=np.array([1], np.int64),
            erased_users=np.array(sorted(erased), np.int64),
            removed=pairs,
        )

    def as_foretold(self, old: Opened, gone: Any, out: Path, method: str) -> ForeignOutcome:
        """Forget, with what was said to be possible beforehand at hand."""
        asked = ForeignSettings(method, unchecked=True)
        found = matched(old, Selection.of(gone))
        outlook = plan_foreign(old, found, asked, threads=1).outlook
        erased = forget_foreign(
            old, found, out, method=method, unchecked=True, threads=1
        ).model.erased
        assert erased.method in outlook.methods, (erased.method, outlook)
        assert erased.level in outlook.classes, (erased.level, outlook)
        return erased

    # ------------------------------------------------------------------ the tests

    def test_is_recognized_and_nothing_else_is(self, tmp_path: Path) -> None:
        assert self.adapter.recognizes(self.fixture)
        assert find(self.fixture).name == self.adapter.name
        for name, content in (
            ("empty", b""),
            ("text", b"hello"),
            ("zip", b"PK\x03\x04" + bytes(40)),
        ):
            (tmp_path / name).write_bytes(content)
            assert not self.adapter.recognizes(tmp_path / name)
        assert not self.adapter.recognizes(tmp_path)
        assert not self.adapter.recognizes(tmp_path / "nowhere")

    def test_reads_what_the_script_made(self) -> None:
        foreign = self.read(self.fixture)
        assert foreign.shape == self.shape
        assert foreign.format == self.adapter.name
        assert foreign.users.dtype == foreign.items.dtype
        assert np.isfinite(foreign.users).all()
        assert foreign.loss.name
        assert foreign.loss.formula
        for ids, rows in ((foreign.user_ids, self.shape[0]), (foreign.item_ids, self.shape[1])):
            assert ids is None or ids.size == rows

    def test_round_trip_with_nothing_to_forget(self, copy: Path, tmp_path: Path) -> None:
        before = digests(copy)
        out = tmp_path / f"out{copy.suffix}"
        self.adapter.write(self.read(copy), Changed(), out)
        if self.byte_identical:
            assert list(digests(out).values()) == list(before.values())
        self.assert_same(self.read(out), self.read(copy))
        assert digests(copy) == before

    def test_only_changed_rows_differ_and_the_input_is_untouched(
        self, copy: Path, tmp_path: Path
    ) -> None:
        before = digests(copy)
        out = tmp_path / f"out{copy.suffix}"
        foreign = self.read(copy)
        changed = self.changed(foreign, [2, 5])
        self.adapter.write(foreign, changed, out)
        again = self.read(out)
        assert changed.users is not None
        assert changed.items is not None
        np.testing.assert_array_equal(again.users, changed.users.astype(foreign.users.dtype))
        np.testing.assert_array_equal(again.items, changed.items.astype(foreign.items.dtype))
        if changed.user_biases is not None:
            np.testing.assert_array_equal(again.user_biases, changed.user_biases)
        assert again.hyperparameters == foreign.hyperparameters
        assert again.user_ids == foreign.user_ids
        assert digests(copy) == before

    def test_a_user_erased_whole_is_absent_and_rows_do_not_move(
        self, copy: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / f"out{copy.suffix}"
        foreign = self.read(copy)
        self.adapter.write(foreign, self.changed(foreign, [2], erased=[3]), out)
        again = self.read(out)
        assert self.absent(again, 3)
        assert not self.absent(again, 2)
        if (
            foreign.user_ids is not None
            and again.user_ids is not None
            and foreign.ids_from == "the container"
        ):
            assert again.user_ids == foreign.user_ids.without([3])

    def test_an_existing_output_is_refused(self, copy: Path, tmp_path: Path) -> None:
        out = tmp_path / f"out{copy.suffix}"
        out.write_text("mine")
        with pytest.raises(OutputExists):
            self.adapter.write(self.read(copy), Changed(), out)
        assert out.read_text() == "mine"

    def test_a_cut_file_is_an_error_and_nothing_is_written(self, copy: Path) -> None:
        for path in (
            [copy]
            if copy.is_file()
            else sorted(p for p in copy.rglob("*") if p.is_file() and p.stat().st_size > 64)
        ):
            whole = path.read_bytes()
            for cut in (len(whole) // 2, len(whole) - 3):
                path.write_bytes(whole[:cut])
                with pytest.raises(AltEraserError, match=path.name if copy.is_file() else None):
                    self.read(copy)
            path.write_bytes(whole)

    def test_siblings_do_not_include_the_model(self, copy: Path) -> None:
        for sibling in self.adapter.siblings(copy):
            assert sibling.path != copy
            assert sibling.what

    def assert_same(self, left: Foreign, right: Foreign) -> None:
        """The same model in other files."""
        for name in ("users", "items", "user_biases", "item_biases"):
            a, b = getattr(left, name), getattr(right, name)
            assert (a is None) == (b is None)
            if a is not None:
                np.testing.assert_array_equal(a, b)
        assert left.hyperparameters == right.hyperparameters
        assert (left.user_ids, left.item_ids, left.kind) == (
            right.user_ids,
            right.item_ids,
            right.kind,
        )

    def test_verify_takes_what_forget_wrote_and_says_the_same(
        self, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        foreign = self.read(copy)
        options = self.options.model_copy(update={"rows_are_ids": foreign.user_ids is None})
        rng = np.random.default_rng(4)
        rows = [np.flatnonzero(rng.random(foreign.shape[1]) < 0.2) for _ in range(foreign.shape[0])]
        pairs = [(u, int(v)) for u, items in enumerate(rows) for v in items]
        names = [
            np.arange(size)
            if ids is None
            else np.array(ids.ids.to_pylist(), object)[np.argsort(ids.rows)]
            for ids, size in zip((foreign.user_ids, foreign.item_ids), foreign.shape, strict=False)
        ]
        known = [
            np.arange(size) if ids is None else np.sort(ids.rows)
            for ids, size in zip((foreign.user_ids, foreign.item_ids), foreign.shape, strict=False)
        ]
        named = [
            dict(zip(row.tolist(), name.tolist(), strict=True))
            for row, name in zip(known, names, strict=True)
        ]
        table = [(named[0][u], named[1][v]) for u, v in pairs if u in named[0] and v in named[1]]
        gone = [
            pair for place, pair in enumerate(table) if pair[0] == table[0][0] or place % 29 == 3
        ]

        def opened(path: Path, rows: list[tuple[Any, Any]]) -> Opened:
            reading = reading_of(options)
            columns = {
                reading.user_column: [u for u, _ in rows],
                reading.item_column: [v for _, v in rows],
            }
            if options.rating is not None:
                columns[options.rating] = [1.0] * len(rows)
            return open_foreign(path, pa.table(columns), options, format=self.adapter.name)

        old, out = opened(copy, table), tmp_path / f"out{copy.suffix}"
        try:
            erased = self.as_foretold(old, gone, out, "auto")
            self.as_foretold(old, gone, tmp_path / f"local{copy.suffix}", "local")
        except DependencyMissing as cause:
            pytest.skip(cause.message)
        rest = [pair for pair in table if pair not in set(gone)]
        try:
            found = verify_foreign(opened(out, rest), old, threads=1)
        except (
            IntegrityError
        ) as cause:  # of data that it was not trained on, where that can be told
            if "does not fit these data" not in cause.message:
                raise
            return
        assert (found.level, found.passed) == (erased.level, erased.reached), found
        assert found.findings[0].name == "absent"
        assert found.findings[0].passed
        again = verify_foreign(old if not rest else opened(copy, rest), old, threads=1)
        assert again.level == "D"
        assert not again.passed
