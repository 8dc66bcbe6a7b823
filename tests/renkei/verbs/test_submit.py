"""submit, for a channel between two folders: the jobs of one side. (Submission itself: tests/renkei/schedulers, tests/pair.)"""

import pytest

TCP = "{name: tcp, connect: 'other:5871'}"


@pytest.fixture
def run(renkei, yaml_file, tmp_path):
    """run(channel) -> a run folder."""

    def make(channel):
        yaml_file.write_text(yaml_file.read_text() + f"  channel: {channel}\n")
        renkei("init", tmp_path / "run", "--config", "water-tetramer")
        with (tmp_path / "run" / "machine.yaml").open("a") as file:
            file.write(f"channel: {channel}\n")
        return tmp_path / "run"

    return make


def test_one_side_alone_is_submitted(renkei, run):
    folder = run(TCP)
    code, _, err = renkei("submit", folder, "--dry-run")
    assert code == 2
    assert "say which: --only sim, or --only train" in err
    _, out, _ = renkei("submit", folder, "--dry-run", "--only", "train")
    assert "train_daemon" in out
    assert "sim_daemon" not in out
    _, out, _ = renkei("submit", folder, "--dry-run", "--only", "sim")
    assert "train_daemon" not in out
    assert "sim_daemon" in out


def test_one_mpi_launch_is_no_pair_of_jobs(renkei, run):
    code, _, err = renkei("submit", run("{name: mpi}"), "--dry-run", "--only", "train")
    assert code == 2
    assert "start both programs by one mpiexec" in err


def test_a_finished_run_says_so_when_asked_for_its_scripts(renkei, run, monkeypatch):
    folder = run("{name: files}")
    monkeypatch.setattr("protocol.store.Store.complete", lambda store, role: True)
    assert renkei("submit", folder, "--dry-run")[1] == "nothing is submitted: production is complete\n"
