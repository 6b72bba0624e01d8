"""Linear models of features, contexts, graphs and several relations on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from alteraser.cli import common, foreign_options
from alteraser.cli.ours import Ours
from alteraser.cli.subject import Rows
from alteraser.errors import InvalidInput

if TYPE_CHECKING:
    from alteraser.cli.beside import Beside
    from alteraser.data.deletion import Deletion
    from alteraser.data.readers import ReadingOptions
    from alteraser.data.selection import Selection
    from alteraser.data.sheet import Sheet
    from alteraser.data.side.given import Given
    from alteraser.data.side.links import Links
    from alteraser.data.side.sources import Sources
    from alteraser.models.relational.composite import CompositeModel
    from alteraser.models.relational.setup import Block
    from alteraser.verbs.erasure import Erasure
    from alteraser.verbs.evaluate import Coverage
    from alteraser.verbs.relational.request import Left
    from alteraser.verbs.verify import Verification

SETTINGS = ("factors", "missing_weight", "regularization", "seed", "max_passes", "biases")
"""Options of ``train`` that say something of kind ``linear``"""


def train(
    screen: common.Screen,
    kind: str,
    data: Path,
    out: Path,
    reading: ReadingOptions,
    given: dict[str, Any],
    threads: int,
    *,
    beside: Beside,
    context: str | None,
) -> int:
    """Train on DATA and what is beside it; ``given`` are the settings on the command line."""
    from alteraser.data.sheet import Sheet
    from alteraser.data.side.sources import notes, read_given, reading_with
    from alteraser.models.closed_form.rule import check_plain
    from alteraser.models.relational.setup import LinearSetup
    from alteraser.verbs.relational.train import train as train_model

    check_plain(reading, kind)
    other = next((name for name in given if name not in SETTINGS), None)
    if other is not None:
        raise InvalidInput(f"--{other.replace('_', '-')} means nothing to --model linear")
    sources, file = beside.sources(contexts_of(context))
    reading = reading_with(sources, reading)
    with common.options_named():
        setup = _setup(LinearSetup, file.settings(), given)
    with screen.phase("read", f"reading {data}"):
        sheet = Sheet.read(data, reading, every_column=bool(sources.contexts))
        everything = read_given(sheet, sources)
    if not len(everything.main):
        raise InvalidInput(f"{data} holds no interactions; there is nothing to train on")
    with screen.passes("solve", "training", 1e-5, beyond=True):
        model, reached = train_model(
            setup,
            everything,
            seed=given.get("seed", 0),
            max_passes=given.get("max_passes", 5000),
            reading=reading,
            threads=threads,
        )
    with screen.phase("write", f"writing {out}"):
        saved = model.save(out)
    seconds, said = screen.timing(), notes(everything)
    short = (
        None
        if reached.converged
        else f"stationarity {reached.residual:.1e}, distance {reached.distance:.1e} after "
        f"{reached.passes} passes ({reached.reason}): raise --max-passes or --regularization"
    )
    trained = saved.trained_on
    screen.result(
        {
            "model": str(out),
            "digest": saved.digest,
            "kind": saved.kind,
            "method": "train",
            "passes": reached.passes,
            "objective": reached.value,
            "residual": reached.residual,
            "distance_from_rest": reached.distance if reached.valley else None,
            "converged": reached.converged,
            "seconds": seconds,
            "interactions": trained.interactions,
            "users": trained.users,
            "items": trained.items,
            "tables": {name: x.shape[0] for name, x in saved.tables.items()},
            "relations": {x.name: len(x) for x in everything.links},
            "sources": dict(saved.sources),
            "hyper_parameters": saved.setup.model_dump(mode="json"),
            "notes": said,
            "not_reached": short,
        },
        [
            ("model", f"{out}: linear"),
            (
                "interactions",
                f"{trained.interactions:,} of {trained.users:,} users and {trained.items:,} items",
            ),
            *_beside_rows(saved, everything),
            ("passes", f"{reached.passes}"),
            ("objective", f"{reached.value:,.2f}"),
            ("rest", f"{reached.distance:.1e} of the model's size from its optimum"),
            *(("note", note) for note in said),
            ("time", common.seconds_text(seconds)),
            *([] if short is None else [("not reached", short)]),
        ],
    )
    return 0


def _setup(kind: Any, said: dict[str, Any], given: dict[str, Any]) -> Any:
    """What the file and the command line say together; the command line comes first."""
    settings = dict(said)
    for name in ("factors", "regularization", "biases"):
        if name in given:
            settings[name] = given[name]
    if given.get("missing_weight") is not None:
        relations = dict(settings.get("relations", {}))
        relations["data"] = {"missing_weight": given["missing_weight"]}
        settings["relations"] = relations
    return kind(**settings)


def _beside_rows(model: CompositeModel, given: Given) -> Rows:
    rows = []
    for table, blocks in model.blocks.items():
        said = [
            block.name + (f" ({block.ids.size:,} words)" if block.scale is None else " (a number)")
            for block in blocks
            if block.sort == "feature"
        ]
        if said:
            rows.append((f"{table} features", ", ".join(said)))
        contexts = [
            f"{block.name} ({block.ids.size:,})" for block in blocks if block.sort == "context"
        ]
        if contexts:
            rows.append(("contexts", ", ".join(contexts)))
    groups: dict[str, int] = {}
    for one in given.links[1:]:
        groups[one.group] = groups.get(one.group, 0) + len(one)
    rows += [(f"relation {name}", f"{count:,} rows") for name, count in groups.items()]
    return rows


def contexts_of(text: str | None) -> tuple[str, ...]:
    """``weekday,daytime``; InvalidInput for a name that is there twice."""
    names = [name.strip() for name in (text or "").split(",") if name.strip()]
    if len(set(names)) < len(names) or any("=" in name for name in names):
        raise InvalidInput(f"--context {text}: expected names, each once, such as weekday,daytime")
    return tuple(names)


def words_of(text: str) -> dict[str, str]:
    """``weekday=monday,daytime=evening``."""
    found = {}
    for part in text.split(","):
        name, equals, word = part.partition("=")
        if not (equals and name.strip() and word.strip()) or name.strip() in found:
            raise InvalidInput(
                f"--context {text}: expected NAME=VALUE,…, such as weekday=monday,daytime=evening"
            )
        found[name.strip()] = word.strip()
    return found


class Composite(Ours):
    """A model of kind ``linear`` that forgets."""

    given: Given
    gone: Left
    sources: Sources
    opened: Sheet

    def check_method(self, settings: dict[str, Any]) -> None:
        """The ways there are, and the settings that they have."""
        from alteraser.verbs.relational.forget import check_method

        check_method(self.asked.how.method)
        unused = {
            name: value for name, value in settings.items() if name not in ("seed", "max_passes")
        }
        foreign_options.refuse(
            unused | {"stop_at_tolerance": self.asked.how.stop_at_tolerance or None},
            "means nothing to a model of kind linear, which goes to its optimum",
        )
        if self.asked.wanted.grown:
            raise InvalidInput("--grown: a model of kind linear learns additions by train alone")

    def load(self) -> CompositeModel:
        """The model as it lies there."""
        return load(self.asked.model)

    def open(self) -> None:
        """The model, and which files it needs."""
        super().open()
        self.sources = self.asked.beside.of(self.model)

    def selection(self) -> Selection:
        """Of DATA, or of the relation that ``--from`` names."""
        from alteraser.data.selection import Selection

        wanted, forget_set = self.asked.wanted, self.asked.forget_set
        if wanted.from_ is not None and forget_set is not None:
            return _of_relation(forget_set, wanted)
        if wanted.attributes and forget_set is not None:
            table = common.read_forget(forget_set, self.reading, whole_users=True)
            return Selection(table.users)
        if forget_set is None and not wanted.window:
            return Selection(items=self.model.items.ids.slice(0, 0))
        return super().selection()

    def check_ids(self, selection: Selection) -> None:
        """Ids of DATA alone."""
        if self.asked.wanted.from_ is None:
            super().check_ids(selection)

    def sheet(self, *, every_column: bool) -> Sheet:
        """DATA, with the columns that contexts are."""
        self.opened = super().sheet(every_column=every_column or bool(self.sources.contexts))
        return self.opened

    def match(self, selection: Selection, sheet: Sheet) -> Deletion:
        """What goes, of everything that was given."""
        from dataclasses import replace

        from alteraser.data.side.sources import main_links, read_given
        from alteraser.verbs.relational.completing import lacking
        from alteraser.verbs.relational.forget import belongs, deletion
        from alteraser.verbs.relational.request import left

        request, lying = self._request(selection), main_links(sheet, self.sources.contexts)
        whole = self._whole(lying, request.selection)
        self.given = read_given(sheet, self.sources, whole)
        belongs(self.model, self.given)
        self.gone = left(self.given, request)
        if self.asked.wanted.strict and (self.gone.unmatched.num_rows or self.gone.missed):
            from alteraser.errors import NotFound

            count = self.gone.unmatched.num_rows + len(self.gone.missed)
            raise NotFound(
                f"--strict: {count:,} part(s) of the request match nothing; nothing was forgotten"
            )
        found = deletion(self.given, self.gone, request.selection)
        return found if whole is lying else replace(found, missing=lacking(self.given, lying))

    def _whole(self, main: Links, selection: Selection | None) -> Links:
        """DATA, with what of FORGET they do not have any more."""
        from alteraser.data.sheet import Sheet
        from alteraser.data.side.contexts import columns_of
        from alteraser.data.side.given import MAIN
        from alteraser.data.side.sources import main_links
        from alteraser.verbs.relational.completing import completed

        path = self.asked.forget_set
        if self.asked.wanted.of_other or main.digest == self.model.sources[MAIN]:
            return main
        rows, names = None, self.sources.contexts
        if path is not None and selection is not None and selection.kind == "pairs" and names:
            read = Sheet.read(path, self.reading, every_column=True, names=common.NOT_ASKED)
            if len(columns_of(names, read.raw, self.reading.timestamp_column)) == len(names):
                rows = main_links(read, names)
        return completed(self.model, main, selection, rows)

    def _request(self, selection: Selection) -> Any:
        from alteraser.verbs.relational.request import Request

        wanted = self.asked.wanted
        attributes = tuple(_pair(text, ":", "--attributes") for text in wanted.attributes or ())
        entities = tuple(_pair(text, "=", "--entity") for text in wanted.entity or ())
        if attributes:
            return Request(entities=entities, attributes=attributes, of=self._whose(selection))
        named = selection.table.num_rows > 0 or selection.window is not None
        return Request(selection if named else None, wanted.from_ or "data", entities)

    def _whose(self, selection: Selection) -> tuple[Any, ...] | None:
        """Whose attributes are meant: those in FORGET, or of ``--user``; None: everybody's."""
        wanted = self.asked.wanted
        if self.asked.forget_set is not None and selection.users is not None:
            return tuple(selection.users.to_pylist())
        return tuple(wanted.user) if wanted.user else None

    def forget(self, found: Deletion) -> Erasure[Any]:
        """To the optimum for what is left, under a bar."""
        from dataclasses import replace

        from alteraser.verbs.relational.forget import carry_out

        how = self.asked.how
        with self.screen.passes("solve", "forgetting", 1e-3, beyond=True):
            erasure = carry_out(
                self.model,
                self.given,
                self.gone,
                found.selection,
                method=how.method,
                seed=1 if how.seed is None else how.seed,
                max_passes=how.max_passes or 5000,
                threads=self.asked.talk.threads,
            )
        return replace(erasure, deletion=replace(erasure.deletion, missing=found.missing))

    def check_asked(self) -> None:
        """It knows them all."""

    def write_remaining(self, sheet: Sheet, found: Deletion, remaining: Path) -> bool:
        """DATA alone; where more than its rows may go, a folder with all that is left."""
        from alteraser.cli import again
        from alteraser.data.side.writing import kept_rows, write_all

        wanted, left = self.asked.wanted, self.gone.given
        rows = kept_rows(self.opened, self.given, left, found.removed, self._of_pairs(found))
        if not wanted.of_other:
            return again.written(again.table(lambda: rows), remaining)
        write_all(rows, self.opened, self.given, left, self.sources, remaining)
        return True

    def _of_pairs(self, found: Deletion) -> Selection | None:
        """The selection, where it is one of DATA."""
        of_other = self.asked.wanted.of_other
        return None if of_other else found.selection

    def title(self, erasure: Erasure[Any]) -> str:
        """The kind."""
        return ": linear"

    def standing(self, erasure: Erasure[Any]) -> Rows:
        """What went of each source, and which class came out."""
        rows = [
            (f"of {name}", f"{count:,} row(s)")
            for name, count in erasure.details["rows_forgotten"].items()
            if name != "data"
        ]
        rows += [
            (f"of {name}", f"{count:,} value(s)")
            for name, count in erasure.details["values_forgotten"].items()
        ]
        rows += [("matched nothing", name) for name in erasure.details["not_found"]]
        far = erasure.details["measured"]["distance"]
        return [
            *rows,
            ("passes", f"{erasure.work.passes}"),
            ("residual", f"{erasure.residual:.1e} of the deletion's push"),
            ("distance", f"about {far:.1e} of the model's size to an optimum for what is left"),
            ("class", f"{erasure.kind}: {erasure.class_name}"),
            *self._still_there(erasure),
        ]

    def _still_there(self, erasure: Erasure[Any]) -> Rows:
        """Of users who are gone from DATA and occur elsewhere."""
        emptied = erasure.deletion.removal.emptied_users
        ids = self.given.interactions().users.ids_of(emptied)
        there = erasure.model.users.rows_of(ids) >= 0
        if not there.any():
            return []
        return [
            (
                "note",
                f"{int(there.sum()):,} user(s) are gone from DATA and occur in other relations: "
                "--entity user=ID forgets somebody everywhere",
            )
        ]

    def shortfall(self, erasure: Erasure[Any]) -> str:
        """What was not reached, and the remedy."""
        lacks = erasure.evidence.lacks or f"{erasure.residual:.1e} of the push is left"
        return (
            f"not reached: {lacks}; the model was written and is class {erasure.kind}. Raise "
            "--max-passes, or train with more --regularization"
        )


def _pair(text: str, between: str, option: str) -> tuple[str, str]:
    first, found, second = text.rpartition(between) if between == ":" else text.partition(between)
    if not (first and found and second):
        raise InvalidInput(
            f"{option} {text}: expected "
            + ("TABLE:FEATURE, such as user:age" if between == ":" else "TABLE=ID, such as user=42")
        )
    return first, second


def _of_relation(path: Path, wanted: Any) -> Selection:
    """FORGET as rows of a relation: two columns of ids, head and tail, or one of them."""
    from alteraser.data.readers import Hints, Wanted, identifiers, plain, read_raw
    from alteraser.data.selection import Selection, Window

    names = ("head", "tail", "user_id", "item_id")
    raw = read_raw(path, Wanted(None, frozenset(names), Hints(("user_id", "item_id"))))
    columns = raw.table.column_names

    def ids(name: str) -> Any:
        return plain(identifiers(raw.table[name], name, raw.where))

    window = Window(wanted.since, wanted.end) if wanted.window else None
    for head, tail in (("head", "tail"), ("user_id", "item_id")):
        if head in columns or tail in columns:
            heads, tails = (ids(x) if x in columns else None for x in (head, tail))
            if wanted.whole_users:
                tails = None
            if wanted.whole_items:
                heads = None
            return Selection(heads, tails, window)
    if len(columns) < 2:
        raise InvalidInput(
            f"{path}: --from {wanted.from_} needs the two ids of every row: its columns are "
            f"{', '.join(columns)}; name them head and tail (one of them alone: all rows of it)"
        )
    return Selection(ids(columns[0]), ids(columns[1]), window)


def verify(
    screen: common.Screen,
    model: Path,
    data: Path,
    before: Path | None,
    beside: Beside,
    *,
    unrelated: bool,
    threads: int,
) -> Verification:
    """The certificate of a model of kind ``linear``."""
    from alteraser.verbs.relational.verify import verify as verify_model

    with screen.phase("read", "reading"):
        loaded = load(model)
        original = None if before is None else load(before)
        given = read(loaded, data, beside)
    with screen.shares("solve", "measuring") as watch:
        return verify_model(
            loaded,
            given,
            before=original,
            unrelated=unrelated,
            folder=model,
            threads=threads,
            watch=watch,
        )


def load(path: Path) -> CompositeModel:
    """The model; InvalidInput for one of another kind."""
    from alteraser.models.folder import load_model
    from alteraser.models.relational.composite import CompositeModel

    found = load_model(path)
    if not isinstance(found, CompositeModel):
        raise InvalidInput(f"{path} is of kind {found.kind}, not linear: it is not its original")
    return found


def read(model: CompositeModel, data: Path, beside: Beside) -> Given:
    """Everything that a model stands for, read as it was for training."""
    from alteraser.data.readers import ReadingOptions
    from alteraser.data.sheet import Sheet
    from alteraser.data.side.sources import read_given

    sources = beside.of(model)
    reading = model.reading or ReadingOptions()
    sheet = Sheet.read(data, reading, every_column=bool(sources.contexts), names=common.NOT_ASKED)
    return read_given(sheet, sources)


def shown(
    model: CompositeModel, beside: Beside, context: str | None, features: Path | None
) -> CompositeModel:
    """The model as lists are asked of it: in a context, with cold items, or of somebody new."""
    from alteraser.data.side.attributes import read_attributes
    from alteraser.data.side.spec import FeatureFile

    sources = beside.of(model)
    for table, file in sources.features.items():
        known = read_attributes(file, table, f"{table}_id", option=f"--{table}-features")
        if table == "item":
            model = model.with_items(known)
        elif table == "user":
            model = model.with_users(known)
    if context is not None:
        model = model.in_context(words_of(context))
    if features is not None:
        columns = {x.column: x.kind for x in model.setup.features.get("user", ())}
        if not columns:
            raise InvalidInput(
                "--features: the model was trained without features of users, so it can say "
                "nothing of somebody it does not know; train with --user-features"
            )
        file = FeatureFile(features, tuple(columns), tuple(columns.items()))
        model = model.of_users(read_attributes(file, "user", "user_id", option="--features"))
    return model


def evaluated(
    screen: common.Screen,
    model: CompositeModel,
    test: Path,
    data: Path,
    context: str | None,
    *,
    users: Any,
    threads: int,
) -> tuple[dict[str, float], Coverage] | None:
    """Accuracy by user and context; None where there are no contexts to tell apart."""
    from alteraser.data.readers import ReadingOptions
    from alteraser.data.sheet import Sheet
    from alteraser.data.side.contexts import columns_of
    from alteraser.data.side.sources import main_links
    from alteraser.verbs.relational.evaluate import evaluate_in_contexts

    names = contexts_of(context) or model.context_names
    if not names:
        return None
    reading = model.reading or ReadingOptions()
    with screen.phase("read", "reading"):
        sheet = Sheet.read(test, reading, every_column=True, names=common.NOT_ASKED)
        if context is None:
            there = columns_of(names, sheet.raw, reading.timestamp_column)
            lacking = [name for name in names if name not in there]
            if lacking:
                screen.note(
                    f"{test} says nothing of {', '.join(lacking)}: every list is for the average"
                )
            names = there
        if not names:
            return None
        held_out = main_links(sheet, names)
        every = tuple(dict.fromkeys((*names, *model.context_names)))
        sheet = Sheet.read(data, reading, every_column=True, names=common.NOT_ASKED)
        masked = main_links(sheet, every)
    with screen.phase("solve", "ranking"), common.blas_threads(threads):
        return evaluate_in_contexts(model, held_out, data=masked, users=users)


def inspect(screen: common.Screen, path: Path, data: Path | None) -> int:
    """What a model of kind ``linear`` is, and what it learned from; nothing is written."""
    if data is not None:
        raise InvalidInput(
            "--data: a model of kind linear learned from more; verify holds it against all of it"
        )
    with screen.phase("read", "reading"):
        model = load(path)
    m, n = model.shape
    settings = model.setup.model_dump(mode="json")
    trained = model.trained_on
    screen.result(
        {
            "model": str(path),
            "format": "alteraser",
            "kind": model.kind,
            "users": m,
            "items": n,
            "factors": model.setup.factors,
            "dtype": "float64",
            "arrays": {name: list(x.shape) for name, x in model.tables.items()},
            "hyperparameters": settings,
            "sources": dict(model.sources),
            "digest": model.digest,
            "parent": model.parent,
            "trained_on": trained.to_document(),
            "training": dict(model.training),
            "seconds": screen.timing(),
        },
        [
            ("model", f"{path}: alteraser linear"),
            ("shape", f"{m:,} users, {n:,} items, {model.setup.factors} factors"),
            *(
                (f"table {table}", ", ".join(_block_words(block) for block in blocks))
                for table, blocks in model.blocks.items()
            ),
            *(
                (f"learned from {name}", f"{digest[:12]}…")
                for name, digest in model.sources.items()
            ),
            (
                "trained on",
                f"{trained.interactions:,} interactions of {trained.users:,} users and "
                f"{trained.items:,} items",
            ),
        ],
    )
    return 0


def _block_words(block: Block) -> str:
    if block.sort == "entity":
        return f"{block.ids.size:,} ids"
    if block.scale is None:
        return f"{block.sort} {block.name} ({block.ids.size:,} words)"
    return f"{block.name} (mean {block.scale[0]:.4g}, deviation {block.scale[1]:.4g})"
