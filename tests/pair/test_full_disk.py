"""A simulator on a disk that is full, then read-only, then has space again: a real small file system where one can be mounted."""

import os
import shutil
import subprocess

import pytest

from protocol.store import Store


def mount(*words):
    return subprocess.run(["mount", *words], capture_output=True).returncode == 0


@pytest.fixture
def make_small(make_pair, tmp_path):
    """make_small(*overrides) -> a pair whose run folder is a file system of 600 kB."""
    run = tmp_path / "wet"

    def make(*overrides):
        pair = make_pair("wet", *overrides)
        files = {path.name: path.read_bytes() for path in run.iterdir()}
        if shutil.which("mount") is None or not mount("-t", "tmpfs", "-o", "size=600k", "tmpfs", str(run)):
            pytest.skip("left out: no small file system can be mounted here")
        for name, data in files.items():
            (run / name).write_bytes(data)
        return pair

    yield make
    if os.path.ismount(run):
        subprocess.run(["umount", "--lazy", str(run)], check=True)


def test_full_then_read_only_then_space_again(make_small):
    pair = make_small("phases.adapt.max_steps=100000", "coupling.first_segment_steps=2", "coupling.segment_steps=2")

    def words_of(process, code):
        pair.wait_for(lambda: process.poll() is not None, 240)
        text = process.output.read_text()
        assert process.returncode == code, text
        assert "Traceback" not in text
        return text

    said = words_of(pair.simulator(), 5)
    assert said.count("cannot write: the disk is full; free some space, then run the same command again") == 1
    kept = pair.rows()
    assert kept
    assert mount("-o", "remount,ro", str(pair.run))
    assert "cannot write: the file system is read-only" in words_of(pair.simulator(), 5)
    assert mount("-o", "remount,rw,size=50m", str(pair.run))
    words_of(pair.simulator("--steps", "3"), 0)
    rows = pair.rows()
    assert [row["step"] for row in rows] == list(range(1, len(rows) + 1))
    before = {row["step"]: row["log_ratio"] for row in kept}
    assert all(before.get(row["step"], row["log_ratio"]) == row["log_ratio"] for row in rows)
    assert not [entry for entry in Store(pair.run).entries("sim/sim0") if entry.packet is None]
