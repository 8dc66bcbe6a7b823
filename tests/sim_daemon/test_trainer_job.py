import logging
import subprocess
from types import SimpleNamespace

import pytest

from protocol.store import Store
from sim_daemon import trainer_job
from sim_daemon.trainer_job import TrainerJob


@pytest.fixture
def asked(monkeypatch):
    """Commands that were run, with their environment; `asked.code` is how they end."""

    class Asked(list):
        code = 0

    commands = Asked()

    def run(command, env, **rest):
        commands.append((command[1:], env))
        return subprocess.CompletedProcess(command, commands.code, "train: job 7", "")

    monkeypatch.setattr(trainer_job.subprocess, "run", run)
    monkeypatch.setattr(trainer_job, "threading", SimpleNamespace(Thread=AtOnce))
    return commands


class AtOnce:
    """A thread that runs where it is started."""

    def __init__(self, target, **rest):
        self.start = target


def test_a_trainer_is_called_back_once_for_each_start_that_released_its_node(tmp_path, asked, monkeypatch):
    monkeypatch.setenv("PMI_RANK", "0")
    monkeypatch.setenv("SLURM_CONF", "/there")
    job = TrainerJob(Store(tmp_path), logging.getLogger("test"))
    job.call_back()
    first = Store(tmp_path).claim("train")
    job.call_back()
    first.heartbeat.update(released=True)
    job.call_back()
    assert asked == []  # absent, alive, and about to end
    first.close()
    job.call_back()
    job.call_back()
    [(command, environment)] = asked
    assert command == ["-m", "renkei", "submit", str(tmp_path), "--only", "train"]
    assert environment["SLURM_CONF"] == "/there"
    assert "PMI_RANK" not in environment
    Store(tmp_path).claim("train").close()
    job.call_back()
    assert len(asked) == 1  # this start ended for another reason
    third = Store(tmp_path).claim("train")
    third.heartbeat.update(released=True)
    third.close()
    job.call_back()
    assert len(asked) == 2


def test_a_scheduler_that_refuses_is_a_warning(tmp_path, asked, caplog):
    trainer = Store(tmp_path).claim("train")
    trainer.heartbeat.update(released=True)
    trainer.close()
    asked.code = 6
    with caplog.at_level(logging.WARNING):
        TrainerJob(Store(tmp_path), logging.getLogger("test")).call_back()
    assert "`renkei submit" in caplog.text


def test_a_trainer_with_a_folder_of_its_own_is_not_submitted_from_here(tmp_path, asked, caplog):
    trainer = Store(tmp_path).claim("train")
    trainer.heartbeat.update(released=True)
    trainer.close()
    with caplog.at_level(logging.WARNING):
        TrainerJob(Store(tmp_path), logging.getLogger("test"), here=False).call_back()
    assert asked == []
    assert "on its own side" in caplog.text


def test_a_trainer_waits_for_labels_only_while_it_lives_and_says_so(tmp_path, asked):
    job = TrainerJob(Store(tmp_path), logging.getLogger("test"))
    assert not job.waits()
    trainer = Store(tmp_path).claim("train")
    trainer.heartbeat.update(activity="waiting")
    trainer.heartbeat._beat()
    assert job.waits()
    trainer.heartbeat.update(activity="training")
    trainer.heartbeat._beat()
    assert not job.waits()
    trainer.heartbeat.update(activity="waiting")
    trainer.close()
    assert not job.waits()
