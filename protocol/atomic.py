"""Durable files: write beside, fsync, rename, fsync the folder; read with digest. The only place that writes and renames.

Every system call goes through `_call`, which repeats a stale NFS handle within a bound and turns a full or broken disk
into one sentence. docs/protocol.md says which call makes what durable.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from protocol.errors import EnvironmentFailed, Torn

T = TypeVar("T")

LARGEST = 2**32  # bytes of a file that is read whole; what is larger is no file of ours
COPIED = 2**28  # bytes of what is copied at most
STALE_TRIES = 6  # 0.05 s doubled: 1.6 s in all
EXISTS = {errno.EEXIST, errno.ENOTEMPTY}
SENTENCES = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EIO: "the disk or the file server failed",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.ENAMETOOLONG: "the path is too long",
    errno.EMFILE: "too many open files",
    errno.ENOENT: "a folder of the path is not there (any more)",
    errno.ESTALE: "a file handle stays stale (ESTALE)",
}
REMEDIES = {
    errno.ENOSPC: "free some space, then run the same command again",
    errno.EDQUOT: "free some space, then run the same command again",
}


def publish_bytes(path: Path, data: bytes) -> None:
    """Make `path` appear whole and durable; never replaces. The same bytes again complete an attempt that failed half-way."""
    if os.path.lexists(path) and _has_bytes(path, data):
        _sync_path(path)
        _sync_folder(path.parent)
        return
    _refuse_existing(path)
    _install(path, data, durable=True)


def replace_bytes(path: Path, data: bytes, durable: bool = True) -> None:
    """Replace `path` whole: a reader sees the old bytes or the new ones. Not durable: for heartbeats, which a crash may lose."""
    _install(path, data, durable)


def publish_folder(tmp_folder: Path, path: Path) -> None:
    """Make a finished folder (not empty, on the same file system) appear whole and durable under `path`; never replaces."""
    _refuse_existing(path)
    for folder, _, files in os.walk(tmp_folder, topdown=False):
        for name in files:
            _sync_path(Path(folder, name))
        _sync_folder(Path(folder))
    _call(os.rename, tmp_folder, path)  # a folder that is not empty cannot be renamed over: this is an exclusive create
    _sync_folder(path.parent)


def move(source: Path, target: Path) -> None:
    """Rename within one folder, replacing the target; durable with the next publication in that folder."""
    _call(os.rename, source, target)


def relocate(source: Path, target: Path) -> None:
    """Rename into another folder of the same file system, made if missing; durable; never replaces."""
    make_folder(target.parent)
    _refuse_existing(target)
    _call(os.rename, source, target)
    _sync_folder(target.parent)
    _sync_folder(source.parent)


def make_folder(path: Path) -> None:
    """Make a folder and its parents, durable; one that is there is fine, a file in its place is EnvironmentFailed."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        if path.parent == path:
            break
        path = path.parent
    if path.parent != path:
        _sync_folder(path.parent)  # whoever made it may have died before its name was on disk
    for folder in reversed(missing):
        try:
            _call(os.mkdir, folder)
        except FileExistsError as error:
            if not folder.is_dir():
                raise EnvironmentFailed("cannot make this folder: a file is in its place", str(folder)) from error
        _sync_folder(folder.parent)


def make_temporary_folder(beside: Path) -> Path:
    """A new empty folder of a hidden name next to `beside`."""
    folder = _temporary(beside)
    _call(os.mkdir, folder)
    return folder


def link_name(link: Path, target: str) -> None:
    """Point a symbolic link at `target`. Links are for people: a file system without them is no error."""
    tmp = _temporary(link)
    try:
        _call(os.symlink, target, tmp)
        _call(os.rename, tmp, link)
    except (OSError, EnvironmentFailed):
        discard(tmp)


def discard(path: Path) -> None:
    """Remove a temporary file or folder of this process; a failure leaves litter, never an error."""
    try:
        if path.is_dir() and not path.is_symlink():
            for inner in path.iterdir():
                discard(inner)
            _call(os.rmdir, path)
        else:
            _call(os.unlink, path)
    except (OSError, EnvironmentFailed):
        return


def copy_tree(source: Path, target: Path) -> None:
    """Copy a file or a folder (links stay links) to a name that is free. Not durable.

    Raises Torn for what is no file or larger than COPIED, EnvironmentFailed where it cannot be read or written.
    """
    if source.is_symlink():
        _call(os.symlink, _call(os.readlink, source), target)
    elif source.is_dir():
        _call(os.mkdir, target)
        for inner in sorted(source.iterdir()):
            copy_tree(inner, target / inner.name)
    else:
        _install(target, read_bytes(source, COPIED), durable=False)


def open_append(path: Path) -> int:
    """File descriptor of a file that grows at its end, made if missing; its name is durable."""
    fd = _call(os.open, path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    _sync_folder(path.parent)
    return fd


def append(fd: int, data: bytes, where: Path | None = None) -> None:
    """Write bytes at the end of a file of `open_append`; after an error the end is undefined (see `cut`)."""
    _write_all(fd, data, where)


def open_place(path: Path) -> int:
    """File descriptor of a file that is written at given places, made if missing; its name is durable."""
    fd = _call(os.open, path, os.O_RDWR | os.O_CREAT, 0o666)
    _sync_folder(path.parent)
    return fd


def write_at(fd: int, data: bytes, place: int, where: Path | None = None) -> None:
    """Write bytes at a place of an open file; the same bytes twice change nothing."""
    rest = memoryview(data)
    while rest:
        done = _call(os.pwrite, fd, rest, place, where=where)
        rest, place = rest[done:], place + done


def cut(fd: int, size: int, where: Path | None = None) -> None:
    """Shorten an open file to `size` bytes."""
    _call(os.ftruncate, fd, size, where=where)


def close(fd: int) -> None:
    """Close a file. Its descriptor is gone whatever happens, and what had to be durable was synced before."""
    with suppress(OSError):
        os.close(fd)


def sync(fd: int, where: Path | None = None) -> None:
    """Put an open file on disk."""
    _call(os.fsync, fd, where=where)


def sha256(path: Path) -> str:
    """Digest of a file's bytes."""
    return hashlib.sha256(read_bytes(path)).hexdigest()


def digest_of(data: bytes) -> str:
    """Digest of bytes in memory."""
    return hashlib.sha256(data).hexdigest()


def read_bytes(path: Path, limit: int = LARGEST) -> bytes:
    """All bytes of a file.

    Raises Torn beyond `limit` bytes or if it is no plain file, FileNotFoundError if there is none (yet), EnvironmentFailed where
    the file system refuses.
    """

    def read() -> bytes:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a FIFO among the files must not hold the reader up
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise Torn("not a plain file", str(path))
            if status.st_size > limit:
                raise Torn(f"larger than the {limit} bytes that such a file may have", str(path))
            with os.fdopen(fd, "rb", closefd=False) as handle:
                return handle.read(status.st_size + 1)
        finally:
            close(fd)

    try:
        return _stale_retried(read)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise EnvironmentFailed(
            f"cannot read: {_reason(error)}", str(path), "mend this, then run the same command again"
        ) from error


def read_verified(path: Path, digest: str) -> bytes:
    """All bytes of a file, or Torn if their sha256 is not `digest`."""
    data = read_bytes(path)
    found = digest_of(data)
    if found != digest:
        raise Torn(
            f"its digest is {found[:12]}, its trigger says {digest[:12]}",
            str(path),
            "it is ignored; a copy is kept in quarantine/",
        )
    return data


def _install(path: Path, data: bytes, durable: bool) -> None:
    tmp = _temporary(path)
    try:
        fd = _call(os.open, tmp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            _write_all(fd, data, path)
            if durable:
                sync(fd, path)
        finally:
            close(fd)
        _call(os.rename, tmp, path)
    except (OSError, EnvironmentFailed):
        discard(tmp)
        raise
    if durable:
        _sync_folder(path.parent)


def _refuse_existing(path: Path) -> None:
    # one writer per folder: nobody can slip in between this look and the rename
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, "a published name is never replaced", str(path))


def _has_bytes(path: Path, data: bytes) -> bool:
    try:
        return read_bytes(path, len(data)) == data
    except (OSError, Torn):
        return False


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")


def _write_all(fd: int, data: bytes, where: Path | None) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[_call(os.write, fd, rest, where=where) :]


def _sync_path(path: Path) -> None:
    fd = _call(os.open, path, os.O_RDONLY)
    try:
        sync(fd, path)
    finally:
        close(fd)


def _sync_folder(path: Path) -> None:
    fd = _call(os.open, path, os.O_RDONLY)
    try:
        _call(_fsync_folder, fd, where=path)
    finally:
        close(fd)


def _fsync_folder(fd: int) -> None:
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot, and need not
            raise


def _call(function: Callable[..., T], *args: Any, where: Path | None = None) -> T:
    """One system call of the writing side, by the rules of this file."""
    try:
        return _stale_retried(lambda: function(*args))
    except OSError as error:
        raise _sentence(error, where) from error


def _sentence(error: OSError, where: Path | None) -> Exception:
    """FileExistsError, or the error as one sentence."""
    path = str(where or error.filename2 or error.filename or "")
    if error.errno in EXISTS:
        return FileExistsError(errno.EEXIST, "exists already", path)
    remedy = REMEDIES.get(error.errno or 0, "mend this, then run the same command again")
    return EnvironmentFailed(f"cannot write: {_reason(error)}", path, remedy)


def _reason(error: OSError) -> str:
    return SENTENCES.get(error.errno or 0, os.strerror(error.errno) if error.errno else str(error))


def _stale_retried(call: Callable[[], T]) -> T:
    """The call's result; an interrupted one is made again, one with a stale handle a few times."""
    for attempt in range(STALE_TRIES):
        try:
            return call()
        except InterruptedError:
            continue
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
            time.sleep(0.05 * 2**attempt)
    return call()
