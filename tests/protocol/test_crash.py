"""A power cut or a kill after every system call of both daemons: what was promised is there, and the next start goes on."""

import random
import shutil
from pathlib import Path

import pytest
from crash_disk import Disk, Recorder, Unsynced, lay_out, variants
from story import Story, check, play

from protocol import atomic

MIXED = 1  # mixtures tried at every point, beside the four pure cases


@pytest.fixture
def recorded(tmp_path, quiet, monkeypatch):
    """(story, trace) of one undisturbed run."""
    recorder = Recorder(tmp_path / "run")
    (tmp_path / "run").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(atomic, "os", recorder)
        story = Story(tmp_path / "run", lambda: len(recorder.trace))
        story.interrupt = lambda work: setattr(recorder, "between", work)
        play(story)
    return story, recorder.trace


def tree(root):
    """path -> content, as Disk.after tells it."""
    found = {}
    for path in Path(root).rglob("*"):
        name = str(path.relative_to(root))
        found[name] = str(path.readlink()) if path.is_symlink() else None if path.is_dir() else path.read_bytes()
    return found


def test_the_disk_of_the_model_is_the_real_one(recorded):
    """Without a crash the trace, repeated, gives the folder that the daemons made."""
    story, trace = recorded
    disk = Disk().fresh()
    for call in trace:
        disk.apply(call)
    assert disk.after(lambda: True, lambda: "kept") == tree(story.root)


def test_a_crash_anywhere(recorded, memory, monkeypatch, record_property):
    story, trace = recorded
    monkeypatch.setattr(atomic, "os", Unsynced())
    rng, disk, folders, tried = random.Random(1), Disk().fresh(), {}, 0
    for at, call in enumerate(trace, 1):
        for found in variants(disk, rng, MIXED) if disk.apply(call) else ():
            tried += 1
            first, _, _ = folders.setdefault(frozenset(found.items()), (at, at, found))
            folders[frozenset(found.items())] = (first, at, found)
    failures = []
    for first, last, found in folders.values():
        lay_out(found, memory / "crashed")
        try:
            check(story, memory / "crashed", first, last)
        except Exception as error:
            failures.append(f"after call {last} {trace[last - 1][:3]}: {type(error).__name__}: {error}")
        shutil.rmtree(memory / "crashed")
    lost = len(failures)
    record_property("told", f"crash points tried {tried:,} ({len(folders):,} different folders), survived {tried - lost:,}")
    assert not failures, "\n".join(failures[:20])
    assert len(folders) > 1000
