"""alteraser compact"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alteraser.cli import again, common, foreign_options, inputs
from alteraser.cli.options import grouped, only
from alteraser.cli.screen import Screen
from alteraser.errors import InvalidInput

if TYPE_CHECKING:
    from alteraser.data.ids import IdMap

NOT_REPLAYED = "it cannot be replayed by the trainer, whose random start has all the rows"

OutUsersMap = Annotated[
    Path | None,
    typer.Option(
        "--out-users-map",
        help="Write here which user each row of NEW is: .json or .npy (ids in row order), "
        "or a table.",
        show_default=False,
    ),
]
OutItemsMap = Annotated[
    Path | None, typer.Option("--out-items-map", help="The same for items.", show_default=False)
]


@grouped
def compact(
    model: common.ModelArgument,
    out: Annotated[Path, typer.Option("--out", help="The new model, of the same kind.")],
    out_users_map: OutUsersMap = None,
    out_items_map: OutItemsMap = None,
    *,
    theirs: Annotated[
        foreign_options.Reading,
        only(
            "format",
            "users_map",
            "items_map",
            "alpha",
            "regularization",
            "missing_weight",
            "loss",
            "implicit",
        ),
    ],
    threads: common.Threads = 0,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> int:
    """Write MODEL without the empty rows of users and items that are gone.

    The other rows move up, so NEW comes with maps of its own; rows move in no other command. Loss,
    class and verify stay as they are: NEW keeps the numbers of users and items that its objective
    was defined with. It cannot be replayed by the trainer, whose random start has all the rows.
    MODEL may also be implicit's .npz or plain arrays; then --out-users-map and --out-items-map are
    needed where rows move.

    MovieLens-1M takes 1 s of processor time.

    Example: alteraser compact model-2 --out model-small

    Example: alteraser compact als-2.npz --users-map users.json --out als-small.npz --out-users-map
    users-small.json
    """
    from alteraser.adapters.map_files import check_new
    from alteraser.data.files import check_output

    outputs = [path for path in (out, out_users_map, out_items_map) if path is not None]
    if len({path.absolute() for path in outputs}) < len(outputs):
        raise InvalidInput("--out, --out-users-map and --out-items-map name the same path twice")
    check_output(out)
    for path in outputs[1:]:
        again.check_before(out, path)
        check_new(path)
    for path in outputs:
        if model.is_dir() and model.resolve() in path.resolve().parents:
            raise InvalidInput(
                f"{path} is inside {model}, which stays as it is. Choose an output elsewhere."
            )
    screen = Screen(json, quiet)
    maps = {"user": out_users_map, "item": out_items_map}
    with inputs.blas_threads(threads):
        if foreign_options.is_foreign(model, theirs):
            return _compact_foreign(screen, model, out, maps, theirs)
        foreign_options.refuse(
            theirs.given, "is for models of other libraries: this one has its own maps"
        )
        return _compact_ours(screen, model, out, maps)


def _compact_ours(screen: Screen, path: Path, out: Path, maps: dict[str, Path | None]) -> int:
    from alteraser.models.closed_form.model import ExactModel
    from alteraser.verbs.compact import compact as compacted

    with screen.phase("read", "reading"):
        original = inputs.load_model(path)
    found = compacted(original)
    model = found.model
    with (
        screen.phase("write", "writing"),
        _written(maps, {"user": model.users, "item": model.items}),
    ):
        saved = model.save(out)
    document = {"digest": saved.digest, "parent": saved.parent, "kind": saved.kind}
    counted = isinstance(model, ExactModel) and model.settings.extra is None
    return _report(screen, out, original.shape, model.shape, document, replayable=counted)


def _compact_foreign(
    screen: Screen,
    path: Path,
    out: Path,
    maps: dict[str, Path | None],
    asked: foreign_options.Reading,
) -> int:
    from alteraser.adapters import find
    from alteraser.adapters.compacting import check_format, rows_left, with_ids, write_compacted
    from alteraser.data.erased import read_record, written_beside
    from alteraser.data.files import sha256_file
    from alteraser.verbs.compact import renumbered

    adapter = find(path, asked.format)
    check_format(adapter.name, path)
    if adapter.name == "arrays" and asked.loss is None:  # compacting asks for none, reading for any
        asked = replace(asked, loss="implicit-als", alpha=1.0, regularization=0.0)
    options = foreign_options.options_from(asked)
    with screen.phase("read", "reading"):
        original = with_ids(adapter.read(path, options), options)
        record = read_record(path)
    assert original.user_ids is not None
    assert original.item_ids is not None
    users, items = rows_left(original)
    m, n, _ = original.shape
    for side, option, rows, size in (
        ("user", "--out-users-map", users, m),
        ("item", "--out-items-map", items, n),
    ):
        if len(rows) < size and maps[side] is None and not path.is_dir():
            raise InvalidInput(
                f"{option} is missing: {size - len(rows):,} empty {side} rows go and the others "
                "move up, so without it nobody knows whose they are"
            )
    ids = {
        "user": renumbered(original.user_ids, users),
        "item": renumbered(original.item_ids, items),
    }
    with (
        screen.phase("write", "writing"),
        _written(maps, ids),
        written_beside(out, record, as_file=bool(record)),
    ):
        write_compacted(original, users, items, out)
    document = {
        "digest": sha256_file(out) if out.is_file() else None,
        "parent": sha256_file(path) if path.is_file() else None,
        "kind": original.kind,
        "format": original.format,
    }
    return _report(screen, out, (m, n), (len(users), len(items)), document)


class _written:
    """The maps are written before the block writes the model, and taken back where it does not."""

    def __init__(self, maps: dict[str, Path | None], ids: dict[str, IdMap]) -> None:
        self.maps, self.ids = {side: path for side, path in maps.items() if path is not None}, ids
        self.done: list[again.Mine] = []

    def __enter__(self) -> None:
        from alteraser.adapters.map_files import create

        try:
            for side, path in self.maps.items():
                if again.written(lambda new, side=side: create(new, self.ids[side], side), path):  # type: ignore[misc]
                    self.done.append(again.Mine.of(path))
        except BaseException:
            self._take_back()
            raise

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._take_back()

    def _take_back(self) -> None:
        for path in self.done:
            path.take_back()


def _report(
    screen: Screen,
    out: Path,
    before: tuple[int, int],
    after: tuple[int, int],
    document: dict[str, Any],
    *,
    replayable: bool = False,
) -> int:
    """``replayable``: training has no random start, so that it may be repeated in any rows."""
    gone = before[0] - after[0], before[1] - after[1]
    screen.result(
        {
            "model": str(out),
            **document,
            "users": after[0],
            "items": after[1],
            "users_removed": gone[0],
            "items_removed": gone[1],
            "replayable": replayable,
            "seconds": screen.timing(),
        },
        [
            ("model", str(out)),
            (
                "rows",
                f"{after[0]:,} users and {after[1]:,} items; {gone[0]:,} and {gone[1]:,} empty "
                "ones are gone",
            ),
            *(
                [
                    (
                        "note",
                        "rows moved: embeddings and maps that were copied from the old model do "
                        "not fit the new one",
                    )
                ]
                if any(gone)
                else []
            ),
            *([] if replayable else [("note", NOT_REPLAYED)]),
        ],
    )
    return 0
