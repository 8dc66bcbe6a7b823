"""Runs for schedulers that are not here: their commands are a stub."""

import sys
from pathlib import Path

import pytest
import yaml

from renkei.prepare import run_folder

ROOT = Path(__file__).parents[3]
STUB = Path(__file__).parent / "stubs" / "qsub_stub.py"
COMMANDS = {
    "pbs": ("qsub", "qstat", "qselect", "qdel"),
    "torque": ("qsub", "qstat", "qselect", "qdel"),
    "pjm": ("pjsub", "pjstat", "pjdel"),
}


@pytest.fixture
def stub(tmp_path, monkeypatch):
    """stub(flavour) -> the file of its jobs; its commands are on the PATH."""

    def install(flavour):
        bin_folder, db = tmp_path / "stub-bin", tmp_path / "jobs-of-the-stub.json"
        bin_folder.mkdir()
        for name in COMMANDS[flavour]:
            (bin_folder / name).write_text(f"#!{sys.executable}\n{STUB.read_text()}")
            (bin_folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(bin_folder), prepend=":")
        monkeypatch.setenv("STUB_DB", str(db))
        monkeypatch.setenv("STUB_FLAVOUR", flavour)
        return db

    return install


@pytest.fixture
def make_run(tmp_path):
    """make_run(machine) -> a run folder of the toy with this machine.yaml."""

    def make(machine):
        run = run_folder(ROOT / "configs" / "toy.yaml", tmp_path / "run", [])
        (run / "machine.yaml").write_text(machine if isinstance(machine, str) else yaml.safe_dump(machine))
        return run

    return make
