"""The folder of a job: what was asked, and the answer."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np


def read() -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """Folder, plain settings and arrays of the job that the command line names."""
    folder = Path(sys.argv[1]).resolve()
    arrays = {path.stem: np.load(path) for path in folder.glob("*.npy")}
    return folder, json.loads((folder / "job.json").read_text("utf-8")), arrays


def answer(**figures: Any) -> None:
    """The last line."""
    print(json.dumps(figures), flush=True)
