"""Which process this is, and whether another one of this machine still lives."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any


def identity(pid: int | None = None) -> dict[str, Any]:
    """This process, or another one of this machine: pid, host, boot (of this machine; and process namespace), born.

    born: ticks since boot, which tell a pid that is used again.
    """
    pid = os.getpid() if pid is None else pid
    return {"pid": pid, "host": socket.gethostname(), "boot": _boot(), "born": _born(pid)}


def is_gone(who: Mapping[str, Any]) -> bool:
    """True if `who` ran on this machine and has ended; False if it lives or nobody here can tell."""
    if who.get("host") != socket.gethostname() or who.get("boot") != _boot():
        return False
    pid = who.get("pid")
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    born = _born(pid)
    if born is None:
        return _has_proc()
    return who.get("born") not in (None, born)


@cache
def _boot() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"  # two containers may share host name and boot but not process numbers
    except OSError:
        return ""


def _born(pid: int) -> int | None:
    """Start time of a living process in clock ticks; None for one that has ended (a zombie too) or without /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def _has_proc() -> bool:
    return Path("/proc/self/stat").exists()


def usable_cores() -> int:
    """Cores that this process may use; a batch system or a person may have allotted fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
