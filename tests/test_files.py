"""Files appear whole or not at all, whatever goes wrong."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from alteraser.data import files
from alteraser.data.files import (
    atomic_directory,
    atomic_write,
    check_output,
    sha256_file,
    writing_errors,
)
from alteraser.errors import InvalidInput, NotFound, OutputExists, ResourceLimit


def refuse_with(number: int):
    def fail(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    return fail


def interrupt(*args, **kwargs):
    raise KeyboardInterrupt


def test_a_file_appears_with_its_bytes(tmp_path):
    with atomic_write(tmp_path / "a.bin") as file:
        file.write(b"whole")
        assert ".tmp-" in file.name
        assert not (tmp_path / "a.bin").exists()
    assert (tmp_path / "a.bin").read_bytes() == b"whole"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_a_folder_appears_with_its_files(tmp_path):
    with atomic_directory(tmp_path / "model") as folder:
        assert ".tmp-" in folder.name
        (folder / "deep").mkdir()
        (folder / "deep" / "x").write_bytes(b"1")
        assert not (tmp_path / "model").exists()
    assert (tmp_path / "model" / "deep" / "x").read_bytes() == b"1"
    assert os.listdir(tmp_path) == ["model"]


def test_permissions_follow_the_umask(tmp_path):
    old = os.umask(0o027)
    try:
        with atomic_write(tmp_path / "a"):
            pass
    finally:
        os.umask(old)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("make", [atomic_write, atomic_directory])
def test_an_existing_output_is_refused_before_the_block_runs(tmp_path, make):
    (tmp_path / "out").write_bytes(b"old")
    with (
        pytest.raises(OutputExists, match=r"out exists already.*another output"),
        make(tmp_path / "out"),
    ):
        pytest.fail("the block ran")
    assert (tmp_path / "out").read_bytes() == b"old"
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputExists), make(tmp_path / "dangling"):
        pytest.fail("the block ran")


def test_an_output_that_appears_meanwhile_is_kept(tmp_path):
    target = tmp_path / "out"
    with pytest.raises(OutputExists), atomic_write(target):
        target.write_bytes(b"theirs")
    assert target.read_bytes() == b"theirs"
    assert os.listdir(tmp_path) == ["out"]


def test_a_folder_that_appears_meanwhile_is_kept(tmp_path, monkeypatch):
    target = tmp_path / "out"
    monkeypatch.setattr(files.os.path, "lexists", lambda path: False)  # both looks come too early
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "y").write_bytes(b"1")
    with pytest.raises(OutputExists), atomic_directory(target):
        (tmp_path / "theirs").rename(target)
    assert os.listdir(target) == ["y"]
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP])
def test_without_hard_links_the_name_is_claimed(tmp_path, monkeypatch, number):
    monkeypatch.setattr(files.os, "link", refuse_with(number))
    with atomic_write(tmp_path / "a") as file:
        file.write(b"1")
    assert (tmp_path / "a").read_bytes() == b"1"
    with pytest.raises(OutputExists), atomic_write(tmp_path / "b"):
        (tmp_path / "b").write_bytes(b"theirs")
    assert (tmp_path / "b").read_bytes() == b"theirs"
    monkeypatch.setattr(files.os, "replace", refuse_with(errno.ENOSPC))
    with pytest.raises(ResourceLimit), atomic_write(tmp_path / "c"):
        pass
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize(
    ("make", "call"),
    [
        (atomic_write, "fsync"),
        (atomic_write, "link"),
        (atomic_directory, "fsync"),
        (atomic_directory, "rename"),
    ],
)
def test_a_full_disk_leaves_nothing_and_says_so(tmp_path, monkeypatch, make, call, number):
    monkeypatch.setattr(files.os, call, refuse_with(number))
    with (
        pytest.raises(
            ResourceLimit, match=r"out: the disk or quota is full \([\d,]+ MiB free\).*room"
        ),
        make(tmp_path / "out"),
    ):
        pass
    assert os.listdir(tmp_path) == []


def test_a_write_into_a_full_disk_leaves_nothing(tmp_path):
    with pytest.raises(ResourceLimit, match="out"), atomic_write(tmp_path / "out"):
        refuse_with(errno.ENOSPC)()
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_really_full_device_is_translated():
    with (
        pytest.raises(ResourceLimit, match="/dev/full"),
        writing_errors("/dev/full"),
        open("/dev/full", "wb", buffering=0) as file,
    ):
        file.write(b"x")


@pytest.mark.parametrize("make", [atomic_write, atomic_directory])
def test_ctrl_c_anywhere_leaves_nothing(tmp_path, monkeypatch, make):
    with pytest.raises(KeyboardInterrupt), make(tmp_path / "out"):
        raise KeyboardInterrupt
    for name in ("fsync", "link", "rename"):
        if name == ("rename" if make is atomic_write else "link"):
            continue
        with monkeypatch.context() as patch:
            patch.setattr(files.os, name, interrupt)
            with pytest.raises(KeyboardInterrupt), make(tmp_path / "out"):
                pass
        assert os.listdir(tmp_path) == [], name


@pytest.mark.parametrize("make", [atomic_write, atomic_directory])
def test_ctrl_c_after_the_name_was_taken_takes_it_back(tmp_path, monkeypatch, make):
    real, calls = os.fsync, []

    def last_one_fails(descriptor):
        calls.append(descriptor)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(descriptor)

    monkeypatch.setattr(files.os, "fsync", last_one_fails)
    with pytest.raises(KeyboardInterrupt), make(tmp_path / "out"):
        pass
    assert len(calls) == 2
    assert os.listdir(tmp_path) == []


def test_a_forbidden_place_is_an_input_error(tmp_path, monkeypatch):
    for number in (errno.EACCES, errno.EROFS):
        with monkeypatch.context() as patch:
            patch.setattr(files.os, "fsync", refuse_with(number))
            with (
                pytest.raises(InvalidInput, match=r"out: writing is not permitted.*may write"),
                atomic_write(tmp_path / "out"),
            ):
                pass
    assert os.listdir(tmp_path) == []


def test_an_impossible_name_is_an_input_error(tmp_path):
    with (
        pytest.raises(InvalidInput, match="cannot have this name"),
        atomic_write(tmp_path / ("x" * 300)),
    ):
        pass
    assert os.listdir(tmp_path) == []


def test_errors_inside_a_folder_being_built_are_translated(tmp_path):
    with (
        pytest.raises(ResourceLimit, match="model"),
        atomic_directory(tmp_path / "model") as folder,
    ):
        raise OSError(errno.ENOSPC, "full", str(folder / "users.parquet"))
    assert os.listdir(tmp_path) == []


def test_an_error_of_another_file_passes_unchanged(tmp_path):
    with pytest.raises(PermissionError), atomic_write(tmp_path / "out"):
        raise PermissionError(errno.EACCES, "denied", "/elsewhere/input.csv")
    assert os.listdir(tmp_path) == []


def test_the_folder_must_exist(tmp_path):
    with pytest.raises(NotFound, match=r"no/out: the folder .*no does not exist. Make it first"):
        check_output(tmp_path / "no" / "out")
    (tmp_path / "plain").write_bytes(b"")
    with pytest.raises(InvalidInput, match="plain is not a folder"):
        check_output(tmp_path / "plain" / "out")


def test_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_file(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()
    with pytest.raises(NotFound, match="nowhere does not exist"):
        sha256_file(Path(tmp_path, "nowhere"))
