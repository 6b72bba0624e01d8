"""alteraser data: split, stats, fetch, generate"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alteraser.cli import common, completion
from alteraser.cli.options import but, grouped
from alteraser.cli.screen import Screen, unrated_rows
from alteraser.errors import InvalidInput

if TYPE_CHECKING:
    from alteraser.data.interactions import Interactions
    from alteraser.data.readers import ReadingOptions

app = typer.Typer(no_args_is_help=True)

UNCOUNTED = ("confidence", "target", "segment_column")
"""What of a row counts for a model, and for nothing here"""
EVENTS = ("session_column", "session_gap", "basket_column", "position_column")


@app.command()
@grouped
def split(
    data: common.DataArgument,
    out: Annotated[
        Path, typer.Option("--out", help="New folder for train.parquet and test.parquet.")
    ],
    test: Annotated[
        float,
        typer.Option(
            "--test", help="Share of each user's interactions to hold out; of sessions, see above."
        ),
    ] = 0.2,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the draw.")] = 0,
    *,
    how: Annotated[common.HowRead, but(*UNCOUNTED)],
    threads: common.Threads = 0,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> None:
    """Split DATA at random, per user, into train.parquet and test.parquet; every column is kept.

    Of sessions or baskets, everybody's last one is held out whole; where everybody has one alone,
    the latest of all sessions, a share of --test.

    MovieLens-1M takes 1.4 s of processor time.

    Example: alteraser data split ratings.csv --test 0.2 --out split
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from alteraser.data.files import atomic_directory, check_output
    from alteraser.data.interactions import Interactions
    from alteraser.data.readers import numbers_or_nothing, read_rows

    check_output(out)
    reading = how.options()
    screen = Screen(json, quiet)
    if reading.grouping is not None:
        return _split_events(screen, data, out, reading, test)
    with screen.phase("read", f"reading {data}"):
        whole, rows = Interactions.read(data, reading), read_rows(data, reading)
    if how.threshold is not None:
        ratings, rated = numbers_or_nothing(
            rows[reading.threshold_column],
            reading.threshold_column,
            lambda row: f"{data}, row {row + 1}",
            reading.decimal,
        )
    train, held_out = whole.split(test, seed=seed)
    if len(held_out) == 0:
        raise InvalidInput(
            f"{data}: no user has enough interactions to hold out {test:.0%} of them; raise --test"
        )
    user_rows = whole.users.rows_of(rows[reading.user_column], reading.user_column)
    item_rows = whole.items.rows_of(rows[reading.item_column], reading.item_column)
    with screen.phase("write", f"writing {out}"), atomic_directory(out) as folder:
        for name, part in (("train", train), ("test", held_out)):
            mask = part.locate(user_rows, item_rows) >= 0
            if how.threshold is not None:
                mask[np.setdiff1d(np.arange(len(mask)), rated[ratings >= how.threshold])] = False
            pq.write_table(
                rows.filter(pa.array(mask)), folder / f"{name}.parquet", compression="zstd"
            )
    document = {
        "out": str(out),
        "train": len(train),
        "test": len(held_out),
        "seed": seed,
        "seconds": screen.timing(),
    }
    screen.result(
        document,
        [("train", f"{len(train):,}"), ("test", f"{len(held_out):,}"), ("folder", str(out))],
    )


def _split_events(
    screen: Screen, data: Path, out: Path, reading: ReadingOptions, share: float
) -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from alteraser.data.events import ranks
    from alteraser.data.files import atomic_directory
    from alteraser.data.interactions import Interactions
    from alteraser.data.readers import read_rows, read_table

    if reading.threshold is not None:
        raise InvalidInput(
            "--threshold: sessions and baskets are split as they are; leave it to train"
        )
    if not 0.0 < share < 1.0:
        raise InvalidInput(f"--test {share}: expected a share between 0 and 1, for example 0.2")
    with screen.phase("read", f"reading {data}"):
        table, rows = read_table(data, reading), read_rows(data, reading)
        events = Interactions.from_table(table).events
        assert events is not None
        time, position = (
            table[name].to_numpy() if name in table.column_names else None
            for name in ("timestamp", "position")
        )
        held = np.isin(ranks(table.num_rows, time, position), events.at[events.latest(share)])
    if not held.any():
        raise InvalidInput(
            f"{data}: there are too few {events.grouping.name}s to hold out {share:.0%} of them; "
            "raise --test"
        )
    with screen.phase("write", f"writing {out}"), atomic_directory(out) as folder:
        for name, mask in (("train", ~held), ("test", held)):
            pq.write_table(
                rows.filter(pa.array(mask)), folder / f"{name}.parquet", compression="zstd"
            )
    train, test = int((~held).sum()), int(held.sum())
    document = {
        "out": str(out),
        "train": train,
        "test": test,
        "seed": None,
        "seconds": screen.timing(),
    }
    screen.result(document, [("train", f"{train:,}"), ("test", f"{test:,}"), ("folder", str(out))])


@app.command()
@grouped
def stats(
    data: common.DataArgument,
    *,
    how: Annotated[common.HowRead, but(*UNCOUNTED, *EVENTS)],
    threads: common.Threads = 0,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> None:
    """Users, items, interactions, density; the digest that models refer to; the default
    hyper-parameters.

    MovieLens-1M takes 1 s of processor time.

    Example: alteraser data stats ratings.csv --threshold 4
    """
    from alteraser.data.interactions import Interactions
    from alteraser.models.factorization.defaults import defaults

    reading = how.options()
    screen = Screen(json, quiet)
    with screen.phase("read", f"reading {data}"):
        whole = Interactions.read(data, reading)
    found = whole.statistics()
    document = {
        **asdict(found),
        "digest": whole.digest,
        "id_types": {"user_id": whole.users.kind, "item_id": whole.items.kind},
        "converted": dict(whole.converted),
        "timestamps": _period(whole),
        "rows_without_rating": whole.unrated,
        "defaults": asdict(defaults(whole)) if len(whole) else None,
        "seconds": screen.timing(),
    }
    rows = [
        ("users", f"{found.users:,}"),
        ("items", f"{found.items:,}"),
        ("interactions", f"{found.interactions:,}"),
        ("density", f"{found.density:.4%}"),
        (
            "per user",
            f"{found.per_user[0]:,} to {found.per_user[2]:,}, mean {found.per_user[1]:.1f}",
        ),
        (
            "per item",
            f"{found.per_item[0]:,} to {found.per_item[2]:,}, mean {found.per_item[1]:.1f}",
        ),
        *(
            [("timestamps", f"{period['first']} to {period['last']}")]
            if (period := _period(whole))
            else []
        ),
        *[(f"{side.removesuffix('_id')} ids", words) for side, words in whole.converted.items()],
        *unrated_rows(whole),
        ("digest", whole.digest),
    ]
    screen.result(document, rows)


def _period(data: Interactions) -> dict[str, int] | None:
    """The first and the last timestamp, where they were read."""
    if data.timestamp is None or not len(data):
        return None
    return {"first": int(data.timestamp.min()), "last": int(data.timestamp.max())}


@app.command()
def fetch(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            autocompletion=completion.PUBLIC_SET,
            help="Name of a public data set, such as ml-1m.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="New folder; NAME by default.", show_default=False)
    ] = None,
    threads: common.Threads = 0,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> None:
    """Download a public data set, check it, and write interactions.parquet and items.parquet.

    Takes as long as the download, 6 MB for ml-1m; an interrupted one is resumed. Read the terms:
    most sets are for research and may not be passed on.

    Example: alteraser data fetch ml-1m
    """
    from rich.markup import escape
    from rich.progress import Progress

    from alteraser.data.sets.public import fetch as fetch_dataset

    screen = Screen(json, quiet)
    folder = Path(name) if out is None else out
    with Progress(
        console=screen.stderr, transient=True, disable=quiet or not screen.stderr.is_terminal
    ) as bar:
        task = bar.add_task(f"downloading {escape(name)}", total=None)
        result = fetch_dataset(
            name, folder, progress=lambda done, total: bar.update(task, completed=done, total=total)
        )
    document = {key: str(v) if isinstance(v, Path) else v for key, v in vars(result).items()}
    screen.result(
        document,
        [
            (key.replace("_", " "), f"{value:,}" if isinstance(value, int) else str(value))
            for key, value in document.items()
        ],
    )


@app.command()
def generate(
    out: Annotated[Path, typer.Option("--out", help="New folder.")],
    kind: Annotated[
        str,
        typer.Option(
            "--kind",
            autocompletion=completion.GENERATED,
            help="household, sessions (of clicks) or baskets (of a shop).",
        ),
    ] = "household",
    users: Annotated[
        int, typer.Option("--users", help="Number of accounts, of a household service from 100.")
    ] = 2000,
    items: Annotated[
        int, typer.Option("--items", help="Number of items, of a household service from 200.")
    ] = 1500,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same data.")] = 0,
    threads: common.Threads = 0,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> None:
    """Generate a household service: interactions, named items, and stories worth forgetting. Or
    sessions, or baskets.

    Takes 1 s for 2,000 accounts.

    Example: alteraser data generate --out household

    Example: alteraser data generate --kind sessions --out clicks
    """
    from alteraser.data.files import atomic_directory
    from alteraser.data.sets import generate_household

    screen = Screen(json, quiet)
    if kind != "household":
        return _generate_events(screen, kind, out, users, items, seed)
    with screen.phase("write", f"generating {out}"), atomic_directory(out) as folder:
        made = generate_household(seed=seed, users=users, items=items)
        made.write(folder)
    document = {
        "out": str(out),
        "interactions": made.interactions.num_rows,
        "items": made.items.num_rows,
        "seed": seed,
        "stories": {story.name: story.forget.num_rows for story in made.stories},
        "seconds": screen.timing(),
    }
    screen.result(
        document,
        [("folder", str(out)), ("interactions", f"{made.interactions.num_rows:,}")]
        + [
            (f"forget-{story.name}.parquet", f"{story.forget.num_rows:,}: {story.title}")
            for story in made.stories
        ],
    )


def _generate_events(
    screen: Screen, kind: str, out: Path, users: int, items: int, seed: int
) -> None:
    import pyarrow.parquet as pq

    from alteraser.data.files import atomic_directory
    from alteraser.data.sets import generate_baskets, generate_sessions

    makers = {"sessions": generate_sessions, "baskets": generate_baskets}
    if kind not in makers:
        raise InvalidInput(f"--kind {kind!r}: there are household, {', '.join(makers)}")
    with screen.phase("write", f"generating {out}"), atomic_directory(out) as folder:
        made = makers[kind](seed=seed, users=users, items=items)
        pq.write_table(made, folder / "interactions.parquet", compression="zstd")
    document = {
        "out": str(out),
        "interactions": made.num_rows,
        "items": len(made["item_id"].unique()),
        "seed": seed,
        "stories": {},
        "seconds": screen.timing(),
    }
    screen.result(document, [("folder", str(out)), ("interactions", f"{made.num_rows:,}")])
