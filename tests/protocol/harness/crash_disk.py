"""A disk that forgets: what POSIX lets a crash leave of a recorded sequence of system calls.

`Recorder` stands for the module `os` inside protocol/atomic.py and writes down every call that changes something. `Disk`
repeats such a trace in memory and tells what may lie in the folder after a power cut at any point of it: data since a file's
last fsync may be lost, torn or zeros; names since a folder's last fsync may be lost, in any combination.
"""

import os
import random
import shutil
from pathlib import Path


class Recorder:
    """Passes everything on to `os`; notes what happens below `root`."""

    def __init__(self, root):
        self.root, self.trace, self._handles, self._count = str(root), [], {}, 0
        self.between = None  # what another process does once a trigger has its name and before that is on disk

    def __getattr__(self, name):
        return getattr(os, name)

    def _name(self, path):
        path = str(path)
        return path[len(self.root) + 1 :] if f"{path}/".startswith(f"{self.root}/") else None

    def _note(self, kind, fd, *what):
        if fd in self._handles:
            self.trace.append((kind, self._handles[fd], *what))

    def open(self, path, flags, mode=0o777):
        fd = os.open(path, flags, mode)
        name = self._name(path)
        if name is not None and not os.path.islink(path):
            self._count += 1
            self._handles[fd] = self._count
            self.trace.append(("open", self._count, name, bool(flags & os.O_CREAT)))
        return fd

    def write(self, fd, data):
        done = os.write(fd, data)
        self._note("write", fd, bytes(data[:done]))
        return done

    def fsync(self, fd):  # the trace is the truth here: the real disk need not hear of it
        self._note("fsync", fd)

    def ftruncate(self, fd, size):
        os.ftruncate(fd, size)
        self._note("cut", fd, size)

    def close(self, fd):
        os.close(fd)
        self._handles.pop(fd, None)

    def rename(self, old, new):
        os.rename(old, new)
        self.trace.append(("rename", self._name(old), self._name(new)))
        work, self.between = (self.between, None) if str(new).endswith(".trigger") else (None, self.between)
        if work is not None:
            work()

    def mkdir(self, path):
        os.mkdir(path)
        self.trace.append(("mkdir", self._name(path)))

    def symlink(self, target, path):
        os.symlink(target, path)
        self.trace.append(("link", self._name(path), target))

    def unlink(self, path):
        os.unlink(path)
        self.trace.append(("remove", self._name(path)))

    def rmdir(self, path):
        os.rmdir(path)
        self.trace.append(("remove", self._name(path)))


class Unsynced:
    """`os` without waiting for a disk."""

    def __getattr__(self, name):
        return getattr(os, name)

    def fsync(self, fd):
        """Nothing."""


class File:
    def __init__(self):
        self.now, self.safe, self.loose = b"", b"", []  # loose: (offset, data) written, or (size, None) cut, since the last fsync

    def after(self, fate):
        """Bytes after a crash. fate() -> "kept", "lost", "torn" or "zeros", for every loose operation."""
        if not self.loose:
            return self.safe
        found = bytearray(self.safe)
        for place, data in self.loose:
            what = fate()
            if what == "lost":
                continue
            if data is None:
                del found[place:]
                continue
            if what == "torn":
                data = data[: len(data) // 2]
            elif what == "zeros":
                data = bytes(len(data))
            found.extend(bytes(max(0, place - len(found))))
            found[place : place + len(data)] = data
        return bytes(found)


class Folder:
    def __init__(self):
        self.now, self.safe, self.loose = (
            {},
            {},
            [],
        )  # name -> File, Folder or str (a link); loose: (old name or None, name, node or None)

    def change(self, gone, name, node):
        _rename(self.now, gone, name, node)
        self.loose.append((gone, name, node))

    def after(self, keep):
        """Names after a crash. keep() -> whether a loose operation has reached the disk."""
        found = dict(self.safe)
        for gone, name, node in self.loose:
            if keep():
                _rename(found, gone, name, node)
        return found


def _rename(names, gone, name, node):
    names.pop(gone, None)
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node


class Disk:
    def __init__(self):
        self.root, self._handles = Folder(), {}
        self.root.safe = self.root.now  # the run folder's own names: see `fresh`

    def fresh(self):
        """An empty run folder whose own entries are made durable as any others."""
        self.root = Folder()
        return self

    def _at(self, name):
        node = self.root
        for part in Path(name).parts:
            node = node.now[part]
        return node

    def _place(self, name):
        path = Path(name)
        return self._at(path.parent), path.name

    def apply(self, call):
        """Repeat one call; returns whether anything changed that a crash could show."""
        kind, first, *rest = call
        if kind == "open":
            name, makes = rest
            made = False
            if makes:
                folder, last = self._place(name)
                if last not in folder.now:
                    folder.change(None, last, File())
                    made = True
            self._handles[first] = self._at(name)
            return made
        if kind in ("write", "fsync", "cut"):
            self._data(kind, self._handles[first], *rest)
        elif kind == "rename":
            (old, gone), (new, name) = self._place(first), self._place(rest[0])
            assert old is new, "every rename stays within its folder"
            old.change(gone, name, old.now[gone])
        else:
            folder, name = self._place(first)
            folder.change(None, name, {"mkdir": Folder, "link": lambda: rest[0], "remove": lambda: None}[kind]())
        return True

    def _data(self, kind, node, value=None):
        if kind == "fsync":
            node.safe, node.loose = node.now if isinstance(node, File) else dict(node.now), []
        elif kind == "cut":
            node.now = node.now[:value]
            node.loose.append((value, None))
        else:
            node.loose.append((len(node.now), value))
            node.now += value

    def after(self, keep, fate):
        """path -> bytes (a file), None (a folder) or str (a link) after a crash."""
        found = {}

        def walk(folder, where):
            for name, node in folder.after(keep).items():
                path = f"{where}/{name}" if where else name
                if isinstance(node, Folder):
                    found[path] = None
                    walk(node, path)
                else:
                    found[path] = node.after(fate) if isinstance(node, File) else node

        walk(self.root, "")
        return found


def variants(disk, rng, mixed):
    """What may lie on the disk now: after a kill; without what was not synced; its names alone, empty or zeros; and mixtures."""
    always, never = (lambda: True), (lambda: False)
    yield disk.after(always, lambda: "kept")
    yield disk.after(never, lambda: "lost")
    yield disk.after(always, lambda: "lost")
    yield disk.after(always, lambda: "zeros")
    for _ in range(mixed):
        share = rng.random()
        yield disk.after(lambda share=share: rng.random() < share, lambda: rng.choice(["kept", "lost", "torn", "zeros"]))


def lay_out(found, root):
    """Write what was found into an empty folder."""
    os.makedirs(root)
    for path, content in found.items():
        full = f"{root}/{path}"
        if content is None:
            os.mkdir(full)
        elif isinstance(content, str):
            os.symlink(content, full)
        else:
            fd = os.open(full, os.O_WRONLY | os.O_CREAT, 0o666)
            os.write(fd, content)
            os.close(fd)


def some_crashes(trace, count, began=0):
    """Up to `count` of the different folders that a crash may leave from call `began` on, and how many there are."""
    disk, rng, folders = Disk().fresh(), random.Random(1), {}
    for at, call in enumerate(trace):
        for found in variants(disk, rng, 1) if disk.apply(call) and at >= began else ():
            folders.setdefault(frozenset(found.items()), found)
    different = list(folders.values())
    return random.Random(2).sample(different, min(count, len(different))), len(different)


def survive(folders, run, crashed, go_on):
    """go_on(crashed) in each of these folders, with what lies in `run` beside the daemons' own; returns what failed, in words."""
    files, failures = [path for path in run.iterdir() if path.is_file() and path.name != "format.json"], []
    for number, found in enumerate(folders):
        lay_out(found, crashed)
        for path in files:
            shutil.copy(path, crashed)
        try:
            go_on(crashed)
        except Exception as error:
            failures.append(f"folder {number}: {type(error).__name__}: {error}")
        shutil.rmtree(crashed)
    return failures
