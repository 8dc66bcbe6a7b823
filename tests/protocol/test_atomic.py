import errno
import os
from types import SimpleNamespace

import pytest

from protocol import atomic
from protocol.errors import EnvironmentFailed, Torn

OLD, NEW = b"old" * 1000, b"new!" * 1000


def listing(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_publish_never_replaces(tmp_path):
    atomic.publish_bytes(tmp_path / "a", OLD)
    with pytest.raises(FileExistsError):
        atomic.publish_bytes(tmp_path / "a", NEW)
    assert (tmp_path / "a").read_bytes() == OLD
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("step", range(12))
def test_killed_publication_shows_all_or_nothing(tmp_path, kill_at, step):
    died = kill_at(step, lambda: atomic.publish_bytes(tmp_path / "a", NEW))
    assert listing(tmp_path) in ([], ["a"])
    if "a" in listing(tmp_path):
        assert (tmp_path / "a").read_bytes() == NEW
    assert died or listing(tmp_path) == ["a"]
    assert died == (step < 6)  # open, write, fsync, rename, and the folder's open and fsync: every one was tried


@pytest.mark.parametrize("step", range(9))
def test_killed_replacement_shows_old_or_new(tmp_path, kill_at, step):
    (tmp_path / "a").write_bytes(OLD)
    kill_at(step, lambda: atomic.replace_bytes(tmp_path / "a", NEW))
    assert (tmp_path / "a").read_bytes() in (OLD, NEW)


@pytest.mark.parametrize("step", range(25))
def test_killed_folder_publication_shows_all_or_nothing(tmp_path, kill_at, step):
    def work():
        tmp = atomic.make_temporary_folder(tmp_path / "model")
        atomic.publish_bytes(tmp / "one", OLD)
        (tmp / "two").write_bytes(NEW)
        atomic.publish_folder(tmp, tmp_path / "model")

    kill_at(step, work)
    assert listing(tmp_path) in ([], ["model"])
    if listing(tmp_path):
        assert sorted(os.listdir(tmp_path / "model")) == ["one", "two"]


def test_folder_is_an_exclusive_create(tmp_path, monkeypatch):
    """Two starts at once: the one that renames second loses, even if it looked before the first one renamed."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    monkeypatch.setattr(atomic, "_refuse_existing", lambda path: None)
    atomic.publish_folder(tmp_path / "first", tmp_path / "epoch")
    with pytest.raises(FileExistsError):
        atomic.publish_folder(tmp_path / "second", tmp_path / "epoch")
    assert (tmp_path / "epoch" / "file").read_text() == "first"


@pytest.mark.parametrize(("number", "word"), [(errno.ENOSPC, "full"), (errno.EDQUOT, "quota"), (errno.EROFS, "read-only")])
def test_full_disk_is_one_sentence(tmp_path, monkeypatch, number, word):
    def full(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(EnvironmentFailed) as caught:
        atomic.publish_bytes(tmp_path / "a", NEW)
    assert word in caught.value.what
    assert caught.value.exit_code == 5
    assert str(caught.value).count("\n") == 0
    assert "a" in caught.value.where
    assert os.listdir(tmp_path) == []


def test_stale_handles_are_tried_again_within_a_bound(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(OLD)
    monkeypatch.setattr(atomic, "time", SimpleNamespace(sleep=lambda seconds: None))
    failures = [OSError(errno.ESTALE, "stale")] * 2

    def sometimes():
        if failures:
            raise failures.pop()
        return "read"

    assert atomic._stale_retried(sometimes) == "read"
    failures += [OSError(errno.ESTALE, "stale")] * 100
    with pytest.raises(EnvironmentFailed, match="ESTALE"):
        atomic._call(sometimes)


def test_read_verified(tmp_path):
    (tmp_path / "a").write_bytes(OLD)
    digest = atomic.sha256(tmp_path / "a")
    assert atomic.read_verified(tmp_path / "a", digest) == OLD
    (tmp_path / "a").write_bytes(OLD[:-1])
    with pytest.raises(Torn, match="digest"):
        atomic.read_verified(tmp_path / "a", digest)
    with pytest.raises(Torn, match="larger"):
        atomic.read_bytes(tmp_path / "a", limit=10)


def test_a_path_through_a_file_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(EnvironmentFailed, match="file"):
        atomic.make_folder(tmp_path / "file" / "run" / "train")
    atomic.make_folder(tmp_path / "a" / "b")
    atomic.make_folder(tmp_path / "a" / "b")


def test_links_are_for_people(tmp_path, monkeypatch):
    atomic.link_name(tmp_path / "current", "epoch-0001")
    atomic.link_name(tmp_path / "current", "epoch-0002")
    assert os.readlink(tmp_path / "current") == "epoch-0002"

    def refuse(*_):
        raise PermissionError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "symlink", refuse)
    atomic.link_name(tmp_path / "current", "epoch-0003")
    assert os.readlink(tmp_path / "current") == "epoch-0002"
    assert os.listdir(tmp_path) == ["current"]
