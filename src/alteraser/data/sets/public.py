"""Public data sets by name: where they live, on whose terms, and how they become two Parquet files.

    result = fetch("ml-1m", "data/ml-1m")
    print(result.terms)

Nothing is redistributed: a set is downloaded from its publisher, checked against the checksum that
the publisher gives, and unpacked to ``interactions.parquet`` and ``items.parquet``. Where it gives
none, the sha-256 of the first download is written down in the cache, and every later one has to
match it. A broken download is resumed where it broke.
"""

from __future__ import annotations

import csv
import errno
import gzip
import hashlib
import http.client
import json
import os
import ssl
import stat
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn, Protocol

from alteraser.data.files import (
    atomic_directory,
    atomic_write,
    check_output,
    default_cache,
    sha256_file,
    writing_errors,
)
from alteraser.errors import (
    DependencyMissing,
    IntegrityError,
    InvalidInput,
    NotFound,
    ResourceLimit,
)

if TYPE_CHECKING:
    import pyarrow as pa

PAUSES = (1.0, 3.0, 9.0)
"""Seconds before each new attempt."""

_TIMEOUT = 30.0  # seconds without a byte
_CHUNK = 1 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT)

_NETWORK = (
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
)

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and, where known, the bytes there will be."""


class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


Tables = tuple["pa.Table", "pa.Table"]


@dataclass(frozen=True)
class PublicSet:
    """One public data set."""

    name: str
    title: str
    home: str
    """The page that describes it."""

    terms: str
    """What its publisher asks of whoever uses it."""

    url: str
    unpack: Callable[[Path, Path, PublicSet], Tables]
    """From the download, and a folder for scratch, to interactions and items."""

    md5: str | None = None
    """As published beside the download."""

    sha256: str | None = None
    """As published beside the download."""

    unpacked_limit: int = 1 << 30
    """Bytes; whoever sends more is not sending this set."""

    @property
    def file(self) -> str:
        """The name of the download."""
        return self.url.rsplit("/", 1)[1]


@dataclass(frozen=True)
class FetchResult:
    """What ``fetch`` did."""

    name: str
    title: str
    path: str
    """The folder that was written."""

    home: str
    terms: str
    """To be shown to whoever fetched it."""

    url: str
    interactions: int
    users: int
    items: int
    sha256: str
    """Of the download."""

    checked: str
    """Against what: ``published md5``, ``published sha256``, ``first use`` (recorded now) or
    ``recorded``."""

    resumed_at: int
    """Bytes that were there from an earlier attempt."""

    downloaded: int
    """Bytes that came over the network."""


def fetch(
    name: str,
    out: str | Path,
    *,
    base_url: str | None = None,
    progress: Progress | None = None,
    cache: str | Path | None = None,
) -> FetchResult:
    """Download a public set into a new folder ``out``; ``base_url`` is a mirror that holds the same
    file.

    The download stays in ``cache`` (by default ``alteraser`` in the user's cache folder) and is
    used again.
    """
    entry = CATALOG.get(name)
    if entry is None:
        raise NotFound(
            f"There is no public data set {name!r}. There are: {', '.join(CATALOG)}.", name=name
        )
    check_output(out)
    folder = Path(cache) if cache is not None else default_cache()
    with writing_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    url = entry.url if base_url is None else f"{base_url.rstrip('/')}/{entry.file}"
    download = _Download(entry, url, folder, progress)
    archive = download.run()
    checked, digest = _check(entry, archive, folder)
    with tempfile.TemporaryDirectory(dir=folder, prefix=f"{name}.tmp-") as scratch:
        interactions, items = _unpack(entry, archive, Path(scratch))
    if checked == "first use":
        _record(entry, archive, folder, digest)
    _write(Path(out), interactions, items)
    return FetchResult(
        name=name,
        title=entry.title,
        path=str(out),
        home=entry.home,
        terms=entry.terms,
        url=url,
        interactions=interactions.num_rows,
        users=len(interactions["user_id"].unique()),
        items=items.num_rows,
        sha256=digest,
        checked=checked,
        resumed_at=download.resumed_at,
        downloaded=download.received,
    )


# ---------------------------------------------------------------- downloading


class _Download:
    """One file from one address, in as many attempts as it takes.

    Beside the part lies ``….part.json`` with the address and the server's ETag or date. A part is
    continued only where both still hold: the server compares them (If-Range), and the length it
    announces must fit.
    """

    def __init__(self, entry: PublicSet, url: str, folder: Path, progress: Progress | None) -> None:
        if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
            raise InvalidInput(
                f"{url!r} is not an http or https address. Correct base_url.", url=url
            )
        self.entry, self.url, self.progress = entry, url, progress
        self.file = folder / f"{entry.name}-{entry.file}"
        self.part = folder / f"{entry.name}.part"
        self.notes = folder / f"{entry.name}.part.json"
        self.resumed_at = 0
        self.received = 0

    def run(self) -> Path:
        """The file, downloaded if it is not there yet."""
        if self.file.exists():
            return self.file
        if self._notes().get("url") != self.url:
            self._forget_part()
        self.resumed_at = self._size()
        with writing_errors(self.part):
            for pause in (*PAUSES, None):
                try:
                    self._attempt()
                    os.replace(self.part, self.file)
                    self.notes.unlink(missing_ok=True)
                    return self.file
                except urllib.error.HTTPError as error:
                    error.close()
                    problem: Exception = error
                    if error.code == 416:  # the part is longer than the file: not a part of it
                        self._forget_part()
                    elif error.code < 500 and error.code not in (408, 429):
                        self._give_up(error)
                except _NETWORK as error:
                    problem = error
                except OSError as error:
                    if error.errno in _FULL:
                        self._disk_is_full(error)
                    raise
                if pause is None:
                    self._give_up(problem)
                time.sleep(pause)
        raise AssertionError("unreachable")

    def _attempt(self) -> None:
        start, notes = self._size(), self._notes()
        headers = {"User-Agent": "alteraser", "Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
            if validator := notes.get("validator"):
                headers["If-Range"] = validator
        request = urllib.request.Request(self.url, headers=headers)
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
            total = _total(response, start)
            continues = response.status == 206 and start > 0
            if continues and not (
                _starts_at(response, start) and notes.get("total") in (None, total)
            ):
                self._forget_part()
                raise ConnectionError("the file changed on the server")
            if not continues:
                self._forget_part()
                start = self.resumed_at = 0
                self.notes.write_text(
                    json.dumps({"url": self.url, "validator": _validator(response), "total": total})
                )
            with open(self.part, "ab") as file:
                self._copy(response, file, start, total)
        if total is not None and self._size() != total:
            raise ConnectionError(f"the connection ended after {self._size():,} of {total:,} bytes")

    def _copy(self, response: Any, file: IO[bytes], size: int, total: int | None) -> None:
        while size != total and (chunk := _receive(response)):
            file.write(chunk)
            size += len(chunk)
            self.received += len(chunk)
            if size > self.entry.unpacked_limit:
                self._forget_part()
                raise ResourceLimit(
                    f"{self.url}: more than {self.entry.unpacked_limit:,} bytes came, so this is "
                    f"not {self.entry.name}. Check the address.",
                    url=self.url,
                )
            if self.progress is not None:
                self.progress(size, total)

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _notes(self) -> dict[str, Any]:
        try:
            notes = json.loads(self.notes.read_text())
        except (OSError, ValueError):
            return {}
        return notes if isinstance(notes, dict) else {}

    def _forget_part(self) -> None:
        self.part.unlink(missing_ok=True)
        self.notes.unlink(missing_ok=True)

    def _give_up(self, error: Exception) -> NoReturn:
        reason = getattr(error, "reason", None) or error
        size = self._size()
        resume = f"to resume at byte {size:,}" if size else "to start again"
        raise DependencyMissing(
            f"{self.url} could not be downloaded ({reason}). Check the network and run the same "
            f"command again {resume}, or put the file at {self.file} yourself.",
            url=self.url,
            resume_at=size,
        ) from error

    def _disk_is_full(self, error: OSError) -> NoReturn:
        raise ResourceLimit(
            f"{self.part}: the disk or quota is full. The {self._size():,} bytes that came are "
            "kept: make room and run the same command again to resume, or choose another cache "
            "folder with XDG_CACHE_HOME.",
            path=str(self.part),
            resume_at=self._size(),
        ) from error


def _receive(response: Any) -> bytes:
    """What has come, without waiting for a whole chunk, so that a connection that breaks loses none
    of it.
    """
    try:
        return bytes(response.read1(_CHUNK))
    except OSError as error:  # a lost route has no class of its own
        raise ConnectionError(error.strerror or str(error)) from error


def _validator(response: Any) -> str | None:
    etag = response.headers.get("ETag")
    if etag and not etag.startswith("W/"):
        return str(etag)
    date = response.headers.get("Last-Modified")
    return str(date) if date else None


def _total(response: Any, start: int) -> int | None:
    """The length of the whole file, as announced."""
    if response.status == 206:
        length = response.headers.get("Content-Range", "").rpartition("/")[2]
        return int(length) if length.isdigit() else None
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None


def _starts_at(response: Any, start: int) -> bool:
    return str(response.headers.get("Content-Range", "")).startswith(f"bytes {start}-")


# ---------------------------------------------------------------- checking


def _check(entry: PublicSet, archive: Path, folder: Path) -> tuple[str, str]:
    """What the download was checked against, and its sha-256. A download that fails is removed."""
    digest = sha256_file(archive)
    if entry.sha256 is not None:
        _compare(entry, archive, "sha256", entry.sha256, digest)
        return "published sha256", digest
    if entry.md5 is not None:
        with open(archive, "rb") as file:
            md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        _compare(entry, archive, "md5", entry.md5, md5)
        return "published md5", digest
    record = _record_path(entry, folder)
    if not record.exists():
        return "first use", digest
    try:
        known = json.loads(record.read_text())["sha256"]
    except (ValueError, KeyError, TypeError):
        raise IntegrityError(
            f"{record} is damaged. It records the checksum of the first download of {entry.name}; "
            "remove it to trust the next download.",
            path=str(record),
        ) from None
    if known != digest:
        archive.unlink()
        raise IntegrityError(
            f"{entry.file}: its sha256 is {digest}, but the first download of {entry.name} had "
            f"{known}, recorded in {record}. The download was removed. If the publisher changed "
            "the set, remove the record and run again.",
            path=str(archive),
        )
    return "recorded", digest


def _record(entry: PublicSet, archive: Path, folder: Path, digest: str) -> None:
    """Write down what the first download was, once it has proved to be the set."""
    document = {"sha256": digest, "bytes": archive.stat().st_size, "url": entry.url}
    with atomic_write(_record_path(entry, folder)) as file:
        file.write(json.dumps(document, indent=2).encode() + b"\n")


def _record_path(entry: PublicSet, folder: Path) -> Path:
    return folder / f"{entry.name}.sha256.json"


def _compare(entry: PublicSet, archive: Path, kind: str, published: str, found: str) -> None:
    if found == published:
        return
    archive.unlink()
    raise IntegrityError(
        f"{entry.file}: its {kind} is {found}, but {entry.home} publishes {published}. The "
        "download was removed; run again, or check the mirror.",
        path=str(archive),
    )


# ---------------------------------------------------------------- unpacking


_MALFORMED = (
    zipfile.BadZipFile,
    EOFError,
    gzip.BadGzipFile,
    zlib.error,
    KeyError,
    ValueError,
    csv.Error,
    InvalidInput,
)


def _unpack(entry: PublicSet, archive: Path, scratch: Path) -> Tables:
    try:
        return entry.unpack(archive, scratch, entry)
    except _MALFORMED as error:
        raise IntegrityError(
            f"{archive} does not hold what {entry.name} should ({error}). Remove it and run again.",
            path=str(archive),
        ) from error


def _members(archive: Path, names: tuple[str, ...], scratch: Path, limit: int) -> Iterator[Path]:
    """Extract the named members of a zip, under their last names, after every member was found
    harmless.
    """
    with zipfile.ZipFile(archive) as file:
        for member in file.infolist():
            parts = member.filename.replace("\\", "/").split("/")
            if ".." in parts or member.filename.startswith(("/", "\\")) or ":" in parts[0]:
                raise IntegrityError(
                    f"{archive}: its member {member.filename!r} points outside the archive. "
                    "Nothing was unpacked; remove the download and check where it came from.",
                    path=str(archive),
                )
            if stat.S_ISLNK(member.external_attr >> 16):
                raise IntegrityError(
                    f"{archive}: its member {member.filename!r} is a link. Nothing was unpacked; "
                    "remove the download and check where it came from.",
                    path=str(archive),
                )
        for name in names:
            target = scratch / name.rsplit("/", 1)[1]
            with file.open(name) as source, writing_errors(target), open(target, "wb") as sink:
                limit -= _copy_limited(source, sink, archive, limit)
            yield target


def _copy_limited(source: _Readable, sink: IO[bytes], archive: Path, limit: int) -> int:
    size = 0
    while chunk := source.read(_CHUNK):
        size += len(chunk)
        if size > limit:
            raise ResourceLimit(
                f"{archive} unpacks to more than it should. Nothing was kept; remove the download "
                "and check where it came from.",
                path=str(archive),
            )
        sink.write(chunk)
    return size


def _movielens_100k(archive: Path, scratch: Path, entry: PublicSet) -> Tables:
    names = ("ml-100k/u.data", "ml-100k/u.item", "ml-100k/u.genre")
    ratings, movies, genres = _members(archive, names, scratch, entry.unpacked_limit)
    labels = [line.split("|")[0] for line in _lines(genres, "latin-1")]
    rows = []
    for line in _lines(movies, "latin-1"):
        item, title, *rest = line.split("|")
        flags = rest[-len(labels) :]
        rows.append((int(item), title, [g for g, f in zip(labels, flags, strict=True) if f == "1"]))
    return _ratings(ratings), _items(rows)


def _movielens_dat(archive: Path, scratch: Path, entry: PublicSet) -> Tables:
    folder = "ml-10M100K" if entry.name == "ml-10m" else entry.name
    names = (f"{folder}/ratings.dat", f"{folder}/movies.dat")
    ratings, movies = _members(archive, names, scratch, entry.unpacked_limit)
    encoding = "utf-8" if entry.name == "ml-10m" else "latin-1"
    rows = []
    for line in _lines(movies, encoding):
        item, title, genres = line.split("::")
        rows.append((int(item), title, _genres(genres)))
    return _ratings(ratings), _items(rows)


def _movielens_csv(archive: Path, scratch: Path, entry: PublicSet) -> Tables:
    names = (f"{entry.name}/ratings.csv", f"{entry.name}/movies.csv")
    ratings, movies = _members(archive, names, scratch, entry.unpacked_limit)
    with open(movies, encoding="utf-8", newline="") as file:
        rows = [
            (int(row["movieId"]), row["title"], _genres(row["genres"]))
            for row in csv.DictReader(file, strict=True)
        ]
    return _ratings(ratings, user_column="userId", item_column="movieId"), _items(rows)


def _gowalla(archive: Path, scratch: Path, entry: PublicSet) -> Tables:
    """Check-ins to one row a user and place: how often, and when last."""
    import pyarrow as pa
    import pyarrow.csv

    text = scratch / "checkins.tsv"
    with gzip.open(archive) as source, writing_errors(text), open(text, "wb") as sink:
        _copy_limited(source, sink, archive, entry.unpacked_limit)
    table = pa.csv.read_csv(
        text,
        read_options=pa.csv.ReadOptions(
            column_names=["user_id", "timestamp", "latitude", "longitude", "item_id"]
        ),
        parse_options=pa.csv.ParseOptions(delimiter="\t", quote_char=False),
        convert_options=pa.csv.ConvertOptions(
            column_types={
                "user_id": pa.int64(),
                "item_id": pa.int64(),
                "timestamp": pa.timestamp("s", tz="UTC"),
            },
            include_columns=["user_id", "item_id", "timestamp"],
        ),
    )
    visits = table.group_by(["user_id", "item_id"], use_threads=False).aggregate(
        [("timestamp", "count"), ("timestamp", "max")]
    )
    interactions = pa.table(
        {
            "user_id": visits["user_id"],
            "item_id": visits["item_id"],
            "count": visits["timestamp_count"],
            "timestamp": visits["timestamp_max"].cast(pa.int64()),
        }
    )
    return interactions, pa.table({"item_id": interactions["item_id"].unique().sort()})


def _amazon_csv(archive: Path, scratch: Path, entry: PublicSet) -> Tables:
    """Reviewer, ASIN, stars and time, without a header."""
    import pyarrow as pa
    import pyarrow.csv

    names = {
        "user_id": pa.string(),
        "item_id": pa.string(),
        "rating": pa.float64(),
        "timestamp": pa.int64(),
    }
    table = pa.csv.read_csv(
        archive,
        read_options=pa.csv.ReadOptions(column_names=list(names)),
        convert_options=pa.csv.ConvertOptions(column_types=names),
    )
    return table, pa.table({"item_id": table["item_id"].unique().sort()})


def _disease_gene(archive: Path, scratch: Path, entry: PublicSet) -> Tables:
    """Links of genes (users) and diseases (items), each once; of a disease its name as well."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv

    text = scratch / "links.tsv"
    with gzip.open(archive) as source, writing_errors(text), open(text, "wb") as sink:
        _copy_limited(source, sink, archive, entry.unpacked_limit)
    with open(text, encoding="utf-8") as file:
        header = file.readline().lstrip("# ").rstrip().split("\t")
    if header != ["Disease ID", "Disease Name", "Gene ID"]:
        raise ValueError(f"its first line names {', '.join(header)}")
    names = {"item_id": pa.string(), "title": pa.string(), "user_id": pa.int64()}
    table = pa.csv.read_csv(
        text,
        read_options=pa.csv.ReadOptions(column_names=list(names), skip_rows=1),
        parse_options=pa.csv.ParseOptions(delimiter="\t", quote_char=False),
        convert_options=pa.csv.ConvertOptions(column_types=names, null_values=[]),
    )
    links = table.group_by(["user_id", "item_id"], use_threads=False).aggregate([])
    titles = table.group_by("item_id", use_threads=False).aggregate([("title", "first")])
    titles = titles.take(pc.sort_indices(titles["item_id"])).select(["item_id", "title_first"])
    return links.select(["user_id", "item_id"]), titles.rename_columns(["item_id", "title"])


def _ratings(path: Path, user_column: str = "user_id", item_column: str = "item_id") -> pa.Table:
    import pyarrow as pa

    from alteraser.data.readers import ReadingOptions, read_table

    options = ReadingOptions(
        user_column=user_column,
        item_column=item_column,
        target="rating",
        timestamp_column="timestamp",
    )
    table = read_table(path, options)
    return pa.table(
        {("rating" if name == "target" else name): table[name] for name in table.column_names}
    )


def _items(rows: list[tuple[int, str, list[str]]]) -> pa.Table:
    import pyarrow as pa

    items, titles, genres = zip(*rows, strict=True)
    return pa.table(
        {
            "item_id": pa.array(items, pa.int64()),
            "title": pa.array(titles, pa.string()),
            "genres": pa.array(genres, pa.list_(pa.string())),
        }
    )


def _lines(path: Path, encoding: str) -> list[str]:
    # read_text makes \r\n a \n
    return [line for line in path.read_text(encoding).split("\n") if line]


def _genres(text: str) -> list[str]:
    return [] if text == "(no genres listed)" else text.split("|")


def _write(out: Path, interactions: pa.Table, items: pa.Table) -> None:
    import pyarrow.parquet as pq

    with atomic_directory(out) as folder:
        pq.write_table(interactions, folder / "interactions.parquet", compression="zstd")
        pq.write_table(items, folder / "items.parquet", compression="zstd")


# ---------------------------------------------------------------- the catalog

_GROUPLENS = (
    "GroupLens usage license: for research; acknowledge the data set (Harper and Konstan 2015, "
    "doi:10.1145/2827872); no redistribution without separate permission; no commercial use "
    "without permission; do not imply endorsement by the University of Minnesota or GroupLens."
)
_SNAP = (
    "SNAP states no license; for research. Cite Cho, Myers and Leskovec, Friendship and Mobility: "
    "User Movement in Location-Based Social Networks, KDD 2011. Do not try to identify anybody."
)
_AMAZON = (
    "No license is stated; offered for research. Cite He and McAuley, Ups and Downs: Modeling the "
    "Visual Evolution of Fashion Trends with One-Class Collaborative Filtering, WWW 2016. Do not "
    "try to identify anybody."
)

_BIOSNAP = (
    "For research; see what its page, and the sources that it names, ask for. Cite Zitnik, Sosic, "
    "Maheshwari and Leskovec, BioSNAP Datasets: Stanford Biomedical Network Dataset Collection, "
    "2018."
)


def _movielens(
    name: str, title: str, md5: str, unpack: Callable[[Path, Path, PublicSet], Tables], limit: int
) -> PublicSet:
    return PublicSet(
        name=name,
        title=title,
        home=f"https://grouplens.org/datasets/movielens/{name.removeprefix('ml-')}/",
        terms=_GROUPLENS,
        url=f"https://files.grouplens.org/datasets/movielens/{name}.zip",
        unpack=unpack,
        md5=md5,
        unpacked_limit=limit,
    )


CATALOG: dict[str, PublicSet] = {
    entry.name: entry
    for entry in (
        _movielens(
            "ml-100k",
            "MovieLens 100K",
            "0e33842e24a9c977be4e0107933c0723",
            _movielens_100k,
            64 << 20,
        ),
        _movielens(
            "ml-1m", "MovieLens 1M", "c4d9eecfca2ab87c1945afe126590906", _movielens_dat, 256 << 20
        ),
        _movielens(
            "ml-10m", "MovieLens 10M", "ce571fd55effeba0271552578f2648bd", _movielens_dat, 1 << 30
        ),
        _movielens(
            "ml-20m", "MovieLens 20M", "cd245b17a1ae2cc31bb14903e1204af3", _movielens_csv, 4 << 30
        ),
        PublicSet(
            name="gowalla",
            title="Gowalla check-ins",
            home="https://snap.stanford.edu/data/loc-gowalla.html",
            terms=_SNAP,
            url="https://snap.stanford.edu/data/loc-gowalla_totalCheckins.txt.gz",
            unpack=_gowalla,
            unpacked_limit=2 << 30,
        ),
        PublicSet(
            name="amazon-electronics",
            title="Amazon ratings 2014, Electronics",
            home="https://jmcauley.ucsd.edu/data/amazon/",
            terms=_AMAZON,
            url="https://snap.stanford.edu/data/amazon/productGraph/categoryFiles/ratings_Electronics.csv",
            unpack=_amazon_csv,
            unpacked_limit=2 << 30,
        ),
        PublicSet(
            name="disease-gene",
            title="Links of genes (user_id) and diseases (item_id), BioSNAP DG-AssocMiner",
            home="https://snap.stanford.edu/biodata/datasets/10012/10012-DG-AssocMiner.html",
            terms=_BIOSNAP,
            url="https://snap.stanford.edu/biodata/datasets/10012/files/DG-AssocMiner_miner-disease-gene.tsv.gz",
            unpack=_disease_gene,
            unpacked_limit=64 << 20,
        ),
    )
}
"""Every set that can be fetched, by name."""
