"""What `renkei doctor RUN` tries on the run's file system: names, locks, the price of each durable write, room, clock."""

from __future__ import annotations

import errno
import fcntl
import getpass
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from protocol import atomic
from protocol.errors import RenkeiError
from protocol.journal import Journal

TRIALS, TRIAL_BYTES = 5, 1_000_000  # of a durable file
RUN_GB, RUN_FILES = 5.0, 10_000  # less free space, or fewer free names, is worth a word
SLOW_FILE_S = 0.1  # a step writes a few of them
QUOTA_LIMIT_S = 10.0
CLOCK_S = 60.0  # farther off, and times in listings mislead people; nothing else depends on it


@dataclass(frozen=True)
class Finding:
    """One line."""

    subject: str
    found: str
    todo: str = ""  # "": nothing
    broken: bool = False  # something that every run needs


def run_files(run: Path) -> Finding:
    """What a run relies on: a name appears whole, is durable, and is taken once."""
    try:
        folder = atomic.make_temporary_folder(run / "doctor")
    except RenkeiError as error:
        return Finding("run files", f"{run}: {error.what}", error.next, True)
    try:
        seconds = median(lambda number: atomic.publish_bytes(folder / f"trial-{number}", bytes(TRIAL_BYTES)))
        atomic.replace_bytes(folder / "trial-0", b"new")
        whole, once = (folder / "trial-0").read_bytes() == b"new", _taken_once(folder / "exclusive")
    except (RenkeiError, OSError) as error:
        return Finding("run files", f"{run}: {error}", "put runs on another file system", True)
    finally:
        atomic.discard(folder)
    if not (whole and once):
        wrong = "a file that exists can be created once more" if whole else "a renamed file is not what was written"
        return Finding("run files", f"{run}: {wrong}", "put runs on another file system", True)
    found = f"rename is whole, create is exclusive, 1 MB durable in {1e3 * seconds:.1f} ms"
    return Finding("run files", found, "a slow disk: raise coupling.segment_steps" if seconds > SLOW_FILE_S else "")


def run_costs(run: Path) -> Finding:
    """What a durable row of the ledger costs, and of it fsync and rename alone."""
    try:
        folder = atomic.make_temporary_folder(run / "doctor")
    except RenkeiError as error:
        return Finding("run costs", error.what, error.next, True)
    try:
        journal = Journal(folder / "journal.jsonl")
        row = median(lambda number: journal.append({"trial": number}, durable=True))
        journal.close()
        with open(folder / "journal.jsonl", "ab", buffering=0) as file:
            sync = median(lambda number: _write_and_sync(file.fileno()))
        os.mkdir(folder / "names")
        for number in range(TRIALS):
            (folder / "names" / f"a-{number}").touch()
        rename = median(lambda number: os.rename(folder / "names" / f"a-{number}", folder / "names" / f"b-{number}"))
    except (RenkeiError, OSError) as error:
        return Finding("run costs", str(error), "put runs on another file system", True)
    finally:
        atomic.discard(folder)
    found = f"a durable row of the ledger {1e3 * row:.2f} ms, fsync {1e3 * sync:.2f} ms, rename {1e3 * rename:.2f} ms"
    return Finding("run costs", found, "a slow disk: raise coupling.segment_steps" if row > SLOW_FILE_S else "")


def run_locks(run: Path) -> Finding:
    """Whether locks work; nothing of ours takes one, other programs may."""
    working = []
    path = run / f".doctor-{os.getpid()}.lock"
    try:
        with open(path, "xb") as file:
            for name, lock in (("flock", fcntl.flock), ("fcntl", fcntl.lockf)):
                try:
                    lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    working.append(name)
                except OSError as error:
                    working.append(f"{name} does not ({errno.errorcode.get(error.errno or 0, error)})")
    except OSError as error:
        return Finding("run locks", f"cannot be tried: {error}", "look at the line of run files", True)
    finally:
        with suppress(OSError):
            path.unlink()
    told = "; a run takes none, and its HDF5 files are opened without"
    return Finding("run locks", f"{', '.join(one if ' ' in one else f'{one} works' for one in working)}{told}")


def run_space(run: Path) -> Finding:
    """Free space and free names of the run's file system, and the quota where a command tells it."""
    finding = space("run space", run, RUN_GB, "free some space before a long run")
    files = os.statvfs(run).f_favail
    few = 0 < files < RUN_FILES
    found = f"{finding.found}, {'no limit of files' if files == 0 else f'{files:,} more files'}; {_quota(run)}"
    todo = finding.todo or ("free some names (inodes): a run makes a few files each segment" if few else "")
    return Finding("run space", found, todo, finding.broken)


def run_clock(run: Path) -> Finding:
    """How far the file server's clock is from this machine's; no part of the handshake compares them."""
    path = run / f".doctor-{os.getpid()}.clock"
    try:
        before = time.time()
        path.write_bytes(b"")
        off = path.stat().st_mtime - (before + time.time()) / 2
    except OSError as error:
        return Finding("run clock", f"cannot be read: {error}", "look at the line of run files", True)
    finally:
        with suppress(OSError):
            path.unlink()
    found = f"the file server's is {off:+.2f} s off this machine's; a run compares no clocks"
    return Finding("run clock", found, "times in listings will mislead you: ask for a time server" if abs(off) > CLOCK_S else "")


def space(subject: str, folder: Path, enough_GB: float, todo: str) -> Finding:
    """Free space of a folder that must be writable."""
    free = shutil.disk_usage(folder).free / 1e9
    writable = os.access(folder, os.W_OK)
    found = f"{folder}: {free:.1f} GB free" + ("" if writable else ", but nothing can be written there")
    return Finding(subject, found, "" if writable and free >= enough_GB else todo, not writable)


def median(work: Callable[[int], object]) -> float:
    """Median seconds of some calls, which get their numbers."""
    seconds = []
    for number in range(TRIALS):
        begun = time.perf_counter()
        work(number)
        seconds.append(time.perf_counter() - begun)
    return sorted(seconds)[TRIALS // 2]


def _write_and_sync(fd: int) -> None:
    os.write(fd, b"x")
    os.fsync(fd)


def _quota(run: Path) -> str:
    """One line of what the site's quota command says."""
    commands = (
        ("lfs", ["lfs", "quota", "-q", "-h", "-u", _user(), str(run)]),
        ("quota", ["quota", "-w", "-s", "-f", str(run)]),
    )
    for name, words in commands:
        if shutil.which(name) is None:
            continue
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=QUOTA_LIMIT_S, stdin=subprocess.DEVNULL)
        except (OSError, subprocess.SubprocessError):
            continue
        lines = [" ".join(line.split()) for line in done.stdout.splitlines() if line.strip()]
        if done.returncode == 0 and lines:
            return f"{name} says: {lines[-1]}"
    return "quota: not readable from here"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())


def _taken_once(path: Path) -> bool:
    path.open("xb").close()
    try:
        path.open("xb").close()
    except FileExistsError:
        return True
    return False
