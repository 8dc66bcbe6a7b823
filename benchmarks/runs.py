"""Ordinary run folders that a benchmark samples in, and goes on with where it was stopped."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from protocol.store import Store


def finished(folder: Path) -> bool:
    """Whether production of a run is complete."""
    return folder.exists() and any(row["event"] == "block_end" for row in Store(folder).ledger("sim/sim0"))


def bring_to_its_end(folder: Path, config: Path, changes: Sequence[str]) -> None:
    """Sample what is missing; a folder that is not there is made from the configuration with changes, each "KEY=VALUE"."""
    words = [sys.executable, "-m", "renkei", "run", "--quiet"]
    if folder.exists():
        words += [str(folder)]
    else:
        words += [str(config), "--into", str(folder), *(word for change in changes for word in ("--set", change))]
    if not finished(folder):
        subprocess.run(words, check=True)
