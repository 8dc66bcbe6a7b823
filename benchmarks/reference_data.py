"""Where the labelled data of others are."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def folder(name: str, given: Path | None) -> Path:
    """The folder of a data set: the one given, or the one of that name below RENKEI_REFERENCE_DATA; ends the program without."""
    root = os.environ.get("RENKEI_REFERENCE_DATA")
    found = given or (Path(root) / name if root else None)
    if found is None or not found.is_dir():
        sys.exit(f"no folder {found or name}: name it with --data, or its parent in RENKEI_REFERENCE_DATA")
    return found
