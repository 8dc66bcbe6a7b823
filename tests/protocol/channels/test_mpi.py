import os
import subprocess
import sys
from pathlib import Path

import pytest

from protocol.channels import mpi
from protocol.errors import EnvironmentFailed
from protocol.store import Store

ROOT = Path(__file__).parents[3]
MPIEXEC = str(Path(sys.executable).parent / "mpiexec")
SIDE = Path(__file__).with_name("mpi_side.py")


def launch(folder, *programs, words=()):
    """mpiexec with (ranks, side, word...) as its programs."""
    command = [MPIEXEC]
    for ranks, side, *own in programs:
        command += [*([":"] if len(command) > 1 else []), "-n", str(ranks), sys.executable, str(SIDE), side, str(folder / side)]
        command += [*own, *words]
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests/protocol/harness"), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False
    )


def said(folder, side):
    return (folder / f"{side}.txt").read_text().splitlines()


def batches(sender):
    return [(sender, 1, number) for number in range(5)]


@pytest.mark.parametrize("words", [(), ("funneled",)], ids=["threads", "one thread"])
def test_each_program_has_its_world_and_the_messages_cross(tmp_path, words):
    done = launch(tmp_path, (2, "sim0"), (1, "train"), words=words)
    assert done.returncode == 0, done.stderr
    assert sorted(said(tmp_path, "sim0")) == ["got [('train', 1, 0)]", "own 0 2", "own 1 2"]
    assert said(tmp_path, "train") == ["own 0 1", f"got {batches('sim0')}"]
    assert Store(tmp_path / "sim0").packets("train")[0].path.is_relative_to(tmp_path / "sim0")
    copies = [Store(tmp_path / "sim0").heartbeat("train"), Store(tmp_path / "train").heartbeat("sim/sim0")]
    assert "gone" in [beat["state"] for beat in copies if beat]  # of the one that ended first; the other may never have come


def test_several_simulators(tmp_path):
    done = launch(tmp_path, (1, "cold"), (1, "train"), (2, "hot"))
    assert done.returncode == 0, done.stderr
    assert f"got {batches('cold') + batches('hot')}" in said(tmp_path, "train")
    assert "own 1 2" in said(tmp_path, "hot")


@pytest.mark.parametrize("end", ["die", "fail"])
def test_the_death_of_one_ends_all_and_the_next_launch_goes_on(tmp_path, end):
    done = launch(tmp_path, (1, "sim0"), (1, "train", end))
    assert done.returncode == (3 if end == "fail" else 9)
    assert said(tmp_path, "train") == ["own 0 1"]
    again = launch(tmp_path, (1, "sim0"), (1, "train"))
    assert again.returncode == 0, again.stderr
    found = Store(tmp_path / "train")
    assert found.refused == []
    assert [record.number for record in found.epochs("sim/sim0")] == [1, 2]
    assert [packet.digest for packet in found.packets("sim/sim0")] == [
        packet.digest for packet in Store(tmp_path / "sim0").packets("sim/sim0")
    ]


def test_alone_it_says_how_to_start_both(tmp_path):
    store = Store(tmp_path)
    epoch = store.claim("train")
    with pytest.raises(EnvironmentFailed, match="start both: mpiexec"):
        mpi.build(mpi.Settings(), store, "train", epoch)
    epoch.close()
