"""Peers in another environment: what they answer, and what is told of those that cannot."""

import sys

import numpy as np
import pytest

from benchmarks import peer


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A folder of programs instead of benchmarks/peers; write one with `programs(text)`."""
    folder = tmp_path / "benchmarks" / "peers"
    folder.mkdir(parents=True)
    monkeypatch.setattr(peer, "ROOT", tmp_path)
    for package in (folder.parent, folder):
        (package / "__init__.py").write_text("")
    return lambda text: (folder / "stranger.py").write_text(text)


def test_numbers_and_arrays_arrive_and_the_last_object_is_the_answer(programs):
    programs(
        "import json, os, sys; import numpy as np\n"
        "job = json.load(open(sys.argv[1] + '/job.json')); x = np.load(sys.argv[1] + '/x.npy')\n"
        "print('{\"early\": 1}'); print('a banner')\n"
        "print(json.dumps({'sum': job['factor'] * x.sum(), 'threads': os.environ['OMP_NUM_THREADS']})); print('bye')"
    )
    assert peer.ask(sys.executable, "stranger", {"factor": 2}, {"x": np.arange(4.0)}) == {"sum": 12.0, "threads": "1"}


@pytest.mark.parametrize(
    ("text", "said"),
    [("import a_missing_peer", "No module named 'a_missing_peer'"), ("print('nothing')", "said nothing")],
)
def test_a_peer_that_fails_is_told_in_one_sentence(programs, text, said):
    programs(text)
    failed = peer.ask(sys.executable, "stranger", {}, {})["failed"]
    assert failed.startswith("stranger: ")
    assert said in failed
    assert "\n" not in failed


def test_an_interpreter_that_is_not_there(tmp_path):
    assert "No such file" in peer.ask(str(tmp_path / "python"), "ipi_step", {}, {})["failed"]
