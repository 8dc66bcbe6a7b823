"""Two processes take the steps of one: real ones, started by torchrun."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from train_daemon.group import Group

FIT = Path(__file__).parent / "shared_fit.py"


def fitted(case, folder, processes):
    """Weights after a fit, from as many processes."""
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [*(start if processes > 1 else [sys.executable]), str(FIT), case, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(folder / f"{case}-{processes}.npz") as found:
        return dict(found)


@pytest.mark.parametrize("case", ["plain", "watched"])
def test_the_same_weights_as_alone(case, tmp_path):
    alone, shared = (fitted(case, tmp_path, processes) for processes in (1, 2))
    assert alone.keys() == shared.keys()
    moved = max(np.abs(alone[name] - alone[f"start{name}"]).max() for name in alone if name.isdecimal())
    assert moved > 0.02
    for name in alone:
        np.testing.assert_allclose(shared[name], alone[name], atol=2e-4 * moved if name.isdecimal() else 1e-4, err_msg=name)


@pytest.mark.parametrize(("count", "size"), [(16, 3), (1, 2), (5, 8)])
def test_parts_are_a_partition(count, size):
    parts = [Group(rank, size).part(count) for rank in range(size)]
    assert [n for part in parts for n in range(count)[part]] == list(range(count))
    assert max(part.stop - part.start for part in parts) <= -(-count // size)
