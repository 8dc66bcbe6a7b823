"""Running a benchmark as a user does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def quickly():
    """Run `python -m benchmarks.NAME --quick ...`; returns what it printed and its last line as an object."""

    def run(name, *options):
        environment = {key: value for key, value in os.environ.items() if key != "RENKEI_REFERENCE_DATA"}
        command = [sys.executable, "-m", f"benchmarks.{name}", "--quick", *options]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout, json.loads(done.stdout.splitlines()[-1])

    return run
