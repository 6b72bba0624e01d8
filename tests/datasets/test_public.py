"""Downloads against a server on loopback: whole, broken, resumed, forged, bombed."""

from __future__ import annotations

import dataclasses
import errno
import gzip
import hashlib
import http.client
import http.server
import io
import json
import os
import re
import sys
import threading
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from alteraser.data.sets import public
from alteraser.data.sets.public import CATALOG, FetchResult, default_cache, fetch
from alteraser.errors import (
    DependencyMissing,
    IntegrityError,
    InvalidInput,
    NotFound,
    OutputExists,
    ResourceLimit,
)


class Server(http.server.ThreadingHTTPServer):
    """Serves ``content`` under every name, and can be told how to misbehave."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = b""
        self.etag: str | None = '"v1"'
        self.ranges = True
        self.lengths = True
        self.break_after: list[int] = []  # per request: bytes until the connection drops
        self.stall = threading.Event()  # once set, a broken connection drops; until then it hangs
        self.stall.set()
        self.errors: list[int] = []  # per request: a status instead of the file
        self.requests: list[dict[str, str]] = []
        self.sent: list[int] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/mirror"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        server.requests.append({"path": self.path, **self.headers})
        if server.errors:
            self.send_error(server.errors.pop(0))
            return
        body, start = server.content, 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked and server.ranges and self.headers.get("If-Range", server.etag) == server.etag:
            start = int(asked[1])
            if start >= len(body):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        if server.lengths:
            self.send_header("Content-Length", str(len(body) - start))
        if server.etag:
            self.send_header("ETag", server.etag)
        self.end_headers()
        body = body[start:]
        if server.break_after:
            body = body[: server.break_after.pop(0)]
        server.sent.append(len(body))
        self.wfile.write(body)
        server.stall.wait(10)

    def log_message(self, *args) -> None:
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(public, "PAUSES", (0.0, 0.0))
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return buffer.getvalue()


ML_1M = {
    "ml-1m/README": b"made up",
    "ml-1m/ratings.dat": b"1::10::5::978300760\n1::20::3::978302109\n2::10::4::978301968\n",
    "ml-1m/movies.dat": "10::Caf\xe9: the Film (1999)::Comedy|Drama\n20::Other "
    "(2000)::War\n".encode("latin-1"),
}


@pytest.fixture
def one_million(server, monkeypatch):
    """The server holds a tiny ml-1m whose md5 is the published one; noise makes it long enough to
    break."""
    serve(server, monkeypatch, "ml-1m", zipped({**ML_1M, "ml-1m/noise": os.urandom(3000)}))
    return server


def serve(server, monkeypatch, name, content, **changes):
    server.content = content
    if CATALOG[name].md5:
        changes.setdefault("md5", hashlib.md5(content).hexdigest())
    monkeypatch.setitem(CATALOG, name, dataclasses.replace(CATALOG[name], **changes))


def get(server, tmp_path, name="ml-1m", out="out", **options) -> FetchResult:
    return fetch(
        name, tmp_path / out, base_url=server.url + "/", cache=tmp_path / "cache", **options
    )


def test_a_set_becomes_two_tables(one_million, tmp_path):
    seen = []
    result = get(one_million, tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert pq.read_table(tmp_path / "out" / "interactions.parquet").to_pydict() == {
        "user_id": [1, 1, 2],
        "item_id": [10, 20, 10],
        "rating": [5.0, 3.0, 4.0],
        "timestamp": [978300760, 978302109, 978301968],
    }
    assert pq.read_table(tmp_path / "out" / "items.parquet").to_pydict() == {
        "item_id": [10, 20],
        "title": ["Café: the Film (1999)", "Other (2000)"],
        "genres": [["Comedy", "Drama"], ["War"]],
    }
    size = len(one_million.content)
    assert seen[-1] == (size, size)
    assert (result.interactions, result.users, result.items) == (3, 2, 2)
    assert (result.checked, result.resumed_at, result.downloaded) == ("published md5", 0, size)
    assert result.sha256 == hashlib.sha256(one_million.content).hexdigest()
    assert "no redistribution" in result.terms
    assert one_million.requests[0]["path"] == "/mirror/ml-1m.zip"
    assert "Range" not in one_million.requests[0]
    assert sorted(os.listdir(tmp_path / "out")) == ["interactions.parquet", "items.parquet"]
    assert os.listdir(tmp_path / "cache") == ["ml-1m-ml-1m.zip"]


def test_the_download_is_used_again(one_million, tmp_path):
    get(one_million, tmp_path)
    assert get(one_million, tmp_path, out="again").downloaded == 0
    assert len(one_million.requests) == 1


def test_a_broken_download_is_resumed_where_it_broke(one_million, tmp_path):
    one_million.break_after = [1000, 500]
    result = get(one_million, tmp_path)
    size = len(one_million.content)
    assert one_million.sent == [1000, 500, size - 1500]
    assert [request.get("Range") for request in one_million.requests] == [
        None,
        "bytes=1000-",
        "bytes=1500-",
    ]
    assert one_million.requests[1]["If-Range"] == '"v1"'
    assert result.downloaded == size
    assert (tmp_path / "cache" / "ml-1m-ml-1m.zip").read_bytes() == one_million.content


def test_the_next_run_resumes(one_million, tmp_path):
    one_million.break_after = [1000, 0, 0]
    with pytest.raises(
        DependencyMissing, match=r"run the same command again to resume at byte 1,000"
    ) as caught:
        get(one_million, tmp_path)
    assert (
        "/mirror/ml-1m.zip could not be downloaded (the connection ended after 1,000 of"
        in caught.value.message
    )
    assert "--" not in caught.value.message  # the command has no option for a mirror
    assert not (tmp_path / "out").exists()
    result = get(one_million, tmp_path)
    assert one_million.requests[-1]["Range"] == "bytes=1000-"
    assert (result.resumed_at, result.downloaded) == (1000, len(one_million.content) - 1000)


def test_what_came_before_a_stall_is_kept(one_million, tmp_path, monkeypatch):
    monkeypatch.setattr(public, "PAUSES", ())
    monkeypatch.setattr(public, "_TIMEOUT", 0.3)
    one_million.break_after = [1000]
    one_million.stall.clear()
    with pytest.raises(DependencyMissing, match=r"timed out.*to resume at byte 1,000"):
        get(one_million, tmp_path)
    one_million.stall.set()
    assert get(one_million, tmp_path).resumed_at == 1000
    assert one_million.requests[-1]["Range"] == "bytes=1000-"


def test_a_lost_route_is_tried_again(one_million, tmp_path, monkeypatch):
    read, failures = (
        http.client.HTTPResponse.read1,
        [OSError(errno.EHOSTUNREACH, "No route to host")],
    )

    def lose(response, size):
        if failures:
            raise failures.pop()
        return read(response, size)

    monkeypatch.setattr(http.client.HTTPResponse, "read1", lose)
    assert get(one_million, tmp_path).interactions == 3
    assert len(one_million.requests) == 2


def test_a_full_disk_keeps_the_part(one_million, tmp_path):
    def fill(done, total):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(
        ResourceLimit, match=r"ml-1m.part: the disk or quota is full.*to resume"
    ) as caught:
        get(one_million, tmp_path, progress=fill)
    assert (
        caught.value.details["resume_at"] == (tmp_path / "cache" / "ml-1m.part").stat().st_size > 0
    )


def test_an_interrupted_download_is_resumed(one_million, tmp_path):
    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(one_million, tmp_path, progress=interrupt)
    (tmp_path / "cache" / "ml-1m.part").write_bytes(one_million.content[:700])
    assert get(one_million, tmp_path).resumed_at == 700


def test_a_server_without_ranges_sends_everything_again(one_million, tmp_path):
    one_million.ranges = False
    one_million.break_after = [1000]
    result = get(one_million, tmp_path)
    size = len(one_million.content)
    assert one_million.sent == [1000, size]
    assert one_million.requests[1]["Range"] == "bytes=1000-"
    assert (result.resumed_at, result.interactions) == (0, 3)


def test_a_file_that_changed_meanwhile_is_sent_again(one_million, tmp_path, monkeypatch):
    one_million.break_after = [1000, 0, 0]
    with pytest.raises(DependencyMissing):
        get(one_million, tmp_path)
    serve(one_million, monkeypatch, "ml-1m", zipped(ML_1M))
    one_million.etag = '"v2"'
    assert get(one_million, tmp_path).interactions == 3
    assert one_million.sent[-1] == len(one_million.content)


def test_without_a_validator_the_length_has_to_fit(one_million, tmp_path, monkeypatch):
    one_million.etag = None
    one_million.break_after = [100, 0, 0]
    with pytest.raises(DependencyMissing):
        get(one_million, tmp_path)
    serve(one_million, monkeypatch, "ml-1m", zipped(ML_1M))
    assert get(one_million, tmp_path).resumed_at == 0
    assert [request.get("Range") for request in one_million.requests[-2:]] == ["bytes=100-", None]


def test_a_part_that_is_too_long_is_dropped(one_million, tmp_path):
    one_million.break_after = [1000, 0, 0]
    with pytest.raises(DependencyMissing):
        get(one_million, tmp_path)
    with open(tmp_path / "cache" / "ml-1m.part", "ab") as part:
        part.write(b"x" * 10_000)
    assert get(one_million, tmp_path).interactions == 3


def test_a_part_from_elsewhere_is_dropped(one_million, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "ml-1m.part").write_bytes(b"something else")
    (tmp_path / "cache" / "ml-1m.part.json").write_text('{"url": "http://elsewhere/"}')
    assert get(one_million, tmp_path).interactions == 3


def test_without_a_length_the_checksum_decides(one_million, tmp_path):
    one_million.lengths = False
    one_million.break_after = [1000]
    with pytest.raises(IntegrityError, match="run again"):
        get(one_million, tmp_path)
    assert get(one_million, tmp_path).interactions == 3


def test_a_wrong_checksum_is_refused_and_removed(one_million, tmp_path, monkeypatch):
    serve(one_million, monkeypatch, "ml-1m", one_million.content, md5="0" * 32)
    with pytest.raises(
        IntegrityError, match=r"ml-1m.zip: its md5 is \w+, but https://grouplens.*publishes 0000"
    ):
        get(one_million, tmp_path)
    assert os.listdir(tmp_path / "cache") == []
    assert not (tmp_path / "out").exists()


def test_a_published_sha256_is_preferred(one_million, tmp_path, monkeypatch):
    digest = hashlib.sha256(one_million.content).hexdigest()
    serve(one_million, monkeypatch, "ml-1m", one_million.content, sha256=digest)
    assert get(one_million, tmp_path).checked == "published sha256"


CHECKINS = (
    "0\t2010-10-19T23:55:27Z\t30.2\t-97.7\t22847\n"
    "0\t2010-10-18T22:17:43Z\t30.2\t-97.7\t420315\n"
    "0\t2010-10-17T23:42:03Z\t30.2\t-97.7\t22847\n"
    "1\t2010-10-17T19:26:05Z\t30.2\t-97.7\t420315\n"
)


def test_first_use_is_recorded_and_later_downloads_have_to_match(server, tmp_path):
    server.content = gzip.compress(CHECKINS.encode())
    result = get(server, tmp_path, "gowalla")
    assert result.checked == "first use"
    record = json.loads((tmp_path / "cache" / "gowalla.sha256.json").read_text())
    assert record["sha256"] == result.sha256 == hashlib.sha256(server.content).hexdigest()
    assert pq.read_table(tmp_path / "out" / "interactions.parquet").to_pydict() == {
        "user_id": [0, 0, 1],
        "item_id": [22847, 420315, 420315],
        "count": [2, 1, 1],
        "timestamp": [1287532527, 1287440263, 1287343565],
    }
    assert pq.read_table(tmp_path / "out" / "items.parquet")["item_id"].to_pylist() == [
        22847,
        420315,
    ]
    assert get(server, tmp_path, "gowalla", out="2").checked == "recorded"

    archive = tmp_path / "cache" / "gowalla-loc-gowalla_totalCheckins.txt.gz"
    archive.unlink()
    server.content = gzip.compress(CHECKINS.encode() * 2)
    with pytest.raises(
        IntegrityError, match=r"but the first download of gowalla had .*remove the record and run"
    ):
        get(server, tmp_path, "gowalla", out="3")
    assert not archive.exists()
    (tmp_path / "cache" / "gowalla.sha256.json").write_text("{")
    with pytest.raises(IntegrityError, match=r"gowalla.sha256.json is damaged.*remove it to trust"):
        get(server, tmp_path, "gowalla", out="3")


def test_a_first_download_that_is_not_the_set_is_not_recorded(server, tmp_path):
    server.content = gzip.compress(CHECKINS.encode())[:-9]
    with pytest.raises(
        IntegrityError, match=r"does not hold what gowalla should.*Remove it and run again"
    ):
        get(server, tmp_path, "gowalla")
    assert not (tmp_path / "cache" / "gowalla.sha256.json").exists()


@pytest.mark.parametrize(
    "name", ["../evil", "ml-1m/../../evil", "/etc/evil", "..\\evil", "C:/evil"]
)
def test_members_that_point_outside_are_refused(server, tmp_path, monkeypatch, name):
    serve(server, monkeypatch, "ml-1m", zipped({**ML_1M, name: b"evil"}))
    with pytest.raises(IntegrityError, match=r"points outside the archive. Nothing was unpacked"):
        get(server, tmp_path)
    assert not (tmp_path / "out").exists()
    assert os.listdir(tmp_path / "cache") == ["ml-1m-ml-1m.zip"]


def test_links_in_an_archive_are_refused(server, tmp_path, monkeypatch):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        link = zipfile.ZipInfo("ml-1m/ratings.dat")
        link.external_attr = 0o120777 << 16
        file.writestr(link, "/etc/passwd")
    serve(server, monkeypatch, "ml-1m", buffer.getvalue())
    with pytest.raises(IntegrityError, match=r"ratings.dat' is a link. Nothing was unpacked"):
        get(server, tmp_path)


def test_sizes_are_capped(server, tmp_path, monkeypatch):
    bomb = zipped({**ML_1M, "ml-1m/ratings.dat": b"1::2::3::4\n" * 100_000})
    serve(server, monkeypatch, "ml-1m", bomb, unpacked_limit=500_000)
    with pytest.raises(ResourceLimit, match=r"unpacks to more than it should. Nothing was kept"):
        get(server, tmp_path)
    serve(server, monkeypatch, "ml-10m", os.urandom(2000), unpacked_limit=1000)
    with pytest.raises(ResourceLimit, match="more than 1,000 bytes came, so this is not ml-10m"):
        get(server, tmp_path, "ml-10m")
    assert os.listdir(tmp_path / "cache") == ["ml-1m-ml-1m.zip"]


@pytest.mark.parametrize(
    "members",
    [
        {"ml-1m/ratings.dat": b"1::2::3::4\n"},
        {**ML_1M, "ml-1m/ratings.dat": b"1::2::3::4\n1::2\n"},
        {**ML_1M, "ml-1m/movies.dat": b"x"},
    ],
)
def test_archives_that_hold_something_else(server, tmp_path, monkeypatch, members):
    serve(server, monkeypatch, "ml-1m", zipped(members))
    with pytest.raises(IntegrityError, match=r"ml-1m.zip does not hold what ml-1m should"):
        get(server, tmp_path)


def test_errors_of_the_server(one_million, tmp_path):
    one_million.errors = [503]
    assert get(one_million, tmp_path).interactions == 3
    one_million.errors = [404]
    with pytest.raises(
        DependencyMissing, match=r"could not be downloaded \(Not Found\).*again to start again"
    ):
        fetch("ml-1m", tmp_path / "2", base_url=one_million.url, cache=tmp_path / "cache2")
    assert len(one_million.requests) == 3  # a 404 is not tried again


def test_no_network(tmp_path, monkeypatch, server):
    port = server.server_port
    server.server_close()
    with pytest.raises(
        DependencyMissing, match=r"could not be downloaded.*Check the network"
    ) as caught:
        fetch(
            "ml-1m", tmp_path / "out", base_url=f"http://127.0.0.1:{port}", cache=tmp_path / "cache"
        )
    assert caught.value.exit_code == 9


def test_unknown_names_and_bad_places(tmp_path):
    with pytest.raises(
        NotFound, match=r"no public data set 'ml-2m'. There are: ml-100k, ml-1m, ml-10m"
    ):
        fetch("ml-2m", tmp_path / "out")
    (tmp_path / "there").mkdir()
    with pytest.raises(OutputExists, match="there exists already"):
        fetch("ml-1m", tmp_path / "there")
    with pytest.raises(InvalidInput, match="is not an http or https address"):
        fetch("ml-1m", tmp_path / "out", base_url="file:///etc", cache=tmp_path / "cache")


def test_the_other_movielens_layouts(server, tmp_path, monkeypatch):
    flags = "|".join(["0", "1", "1"])
    serve(
        server,
        monkeypatch,
        "ml-100k",
        zipped(
            {
                "ml-100k/u.data": b"196\t242\t3\t881250949\n",
                "ml-100k/u.item": f"242|Kolya (1996)|24-Jan-1997||http://x|{flags}\n".encode(),
                "ml-100k/u.genre": b"unknown|0\nAction|1\nComedy|2\n\n",
            }
        ),
    )
    get(server, tmp_path, "ml-100k", out="a")
    assert pq.read_table(tmp_path / "a" / "items.parquet").to_pylist() == [
        {"item_id": 242, "title": "Kolya (1996)", "genres": ["Action", "Comedy"]}
    ]
    serve(
        server,
        monkeypatch,
        "ml-10m",
        zipped(
            {
                "ml-10M100K/ratings.dat": b"1::122::5::838985046\n1::185::3.5::838983525\n",
                "ml-10M100K/movies.dat": "122::Amélie (2001)::Romance\n".encode(),
            }
        ),
    )
    get(server, tmp_path, "ml-10m", out="b")
    assert pq.read_table(tmp_path / "b" / "interactions.parquet")["rating"].to_pylist() == [
        5.0,
        3.5,
    ]
    assert pq.read_table(tmp_path / "b" / "items.parquet")["title"].to_pylist() == ["Amélie (2001)"]
    serve(
        server,
        monkeypatch,
        "ml-20m",
        zipped(
            {
                "ml-20m/ratings.csv": b"userId,movieId,rating,timestamp\r\n"
                b"1,2,3.5,1112486027\r\n1,29,4.0,1112484676\r\n",
                "ml-20m/movies.csv": b'movieId,title,genres\r\n2,"Heat, The (1995)",(no genres '
                b"listed)\r\n",
            }
        ),
    )
    get(server, tmp_path, "ml-20m", out="c")
    assert pq.read_table(tmp_path / "c" / "interactions.parquet").to_pydict() == {
        "user_id": [1, 1],
        "item_id": [2, 29],
        "rating": [3.5, 4.0],
        "timestamp": [1112486027, 1112484676],
    }
    assert pq.read_table(tmp_path / "c" / "items.parquet").to_pylist() == [
        {"item_id": 2, "title": "Heat, The (1995)", "genres": []}
    ]


def test_amazon_ratings(server, tmp_path):
    server.content = (
        b"AKM1MP6P0OYPR,0132793040,5.0,1365811200\nA2CX7LUOHB2NDG,0321732944,5.0,1341100800\n"
    )
    result = get(server, tmp_path, "amazon-electronics")
    table = pq.read_table(tmp_path / "out" / "interactions.parquet")
    assert table["item_id"].to_pylist() == ["0132793040", "0321732944"]
    assert table.schema.types == [pa.string(), pa.string(), pa.float64(), pa.int64()]
    assert (result.checked, result.users) == ("first use", 2)


LINKS = (
    "# Disease ID\tDisease Name\tGene ID\n"
    'C0036095\tTumors, of "glands"\t1462\n'
    'C0036095\tTumors, of "glands"\t1612\n'
    "C0004114\tNA\t1462\n"
    "C0004114\tNA\t1462\n"
)


def test_links_of_genes_and_diseases(server, tmp_path):
    server.content = gzip.compress(LINKS.encode())
    result = get(server, tmp_path, "disease-gene")
    assert (result.checked, result.interactions, result.users, result.items) == (
        "first use",
        3,
        2,
        2,
    )
    assert pq.read_table(tmp_path / "out" / "interactions.parquet").to_pydict() == {
        "user_id": [1462, 1612, 1462],
        "item_id": ["C0036095", "C0036095", "C0004114"],
    }
    assert pq.read_table(tmp_path / "out" / "items.parquet").to_pydict() == {
        "item_id": ["C0004114", "C0036095"],
        "title": ["NA", 'Tumors, of "glands"'],
    }
    assert get(server, tmp_path, "disease-gene", out="2").checked == "recorded"


@pytest.mark.parametrize(
    "text",
    [
        LINKS.split("\n", 1)[1],  # without a header, its first link would be taken for one
        LINKS.replace("Gene ID", "Gene Symbol"),
        LINKS + "C0004114\tNA\tBRCA1\n",
        LINKS + "C0004114\tNA\n",
    ],
)
def test_links_of_another_form_are_refused(server, tmp_path, text):
    server.content = gzip.compress(text.encode())
    with pytest.raises(IntegrityError, match=r"does not hold what disease-gene should"):
        get(server, tmp_path, "disease-gene")
    assert not (tmp_path / "cache" / "disease-gene.sha256.json").exists()


def test_the_catalog_is_complete():
    for name, entry in CATALOG.items():
        assert entry.name == name
        assert entry.url.startswith("https://")
        assert entry.home.startswith("https://")
        assert len(entry.terms) > 40
        assert entry.md5 is None or re.fullmatch(r"[0-9a-f]{32}", entry.md5)


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "alteraser"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    home = tmp_path / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    assert default_cache() == home / "alteraser"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert default_cache() == home / "alteraser"
