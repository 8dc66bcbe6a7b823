"""The pair as jobs of a real Slurm: two virtual nodes, two partitions, on this machine."""

import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from protocol import names
from protocol.store import Store
from renkei import submission
from renkei.prepare import run_folder

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.needs_slurm
PLACES = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
CONF = """
ClusterName=renkei
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=cred_expire=10,socket={folder}/munge.socket
SlurmctldPort={ports[0]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0,bf_resolution=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobRequeue=1
KillWait=5
OverTimeLimit=0
MinJobAge=300
JobAcctGatherType=jobacct_gather/none
GresTypes=gpu
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=4 RealMemory=1000 State=UNKNOWN
NodeName=g1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=4 RealMemory=1000 Gres=gpu:1 State=UNKNOWN
PartitionName=cpu Nodes=n1 Default=YES MaxTime=01:00:00 State=UP
PartitionName=gpu Nodes=g1 MaxTime=01:00:00 State=UP
"""
MACHINE = {
    "trainer": {"device": "cpu"},
    "scheduler": {
        "name": "slurm",
        "walltime": "5min",
        "chain_jobs": 1,
        "simulator": {"queue": "cpu"},
        "trainer": {"queue": "gpu", "gpus": 1},
    },
}
SMALL = ("sampler.trajectory_fs=200", "coupling.segment_steps=10", "coupling.labels_per_retrain=60")
SMALL += ("phases.production.max_blocks=1", "coupling.epochs_per_retrain=20")
ENDLESS = ("phases.production.steps=10000", "phases.adapt.max_steps=100000")


class Cluster:
    """Slurm's daemons in one folder."""

    def __init__(self, folder):
        self.folder, self.daemons = folder, []
        for name in ("state", "spool-n1", "spool-g1"):
            (folder / name).mkdir()
        with socket.socket() as a, socket.socket() as b, socket.socket() as c:
            for one in (a, b, c):
                one.bind(("127.0.0.1", 0))
            ports = [one.getsockname()[1] for one in (a, b, c)]
        host = socket.gethostname().partition(".")[0]
        (folder / "slurm.conf").write_text(CONF.format(host=host, user=getpass.getuser(), folder=folder, ports=ports))
        (folder / "gres.conf").write_text("AutoDetect=off\nNodeName=g1 Name=gpu Count=1 File=/dev/null\n")
        (folder / "munge.key").write_bytes(secrets.token_bytes(128))
        (folder / "munge.key").chmod(0o600)

    def start(self):
        """All four in the foreground, as children; ready when both nodes are idle."""
        at = self.folder
        files = [f"--{what}={at}/munge.{end}" for what, end in (("socket", "socket"), ("key-file", "key"), ("pid-file", "pid"))]
        files += [f"--seed-file={at}/munge.seed", f"--log-file={at}/munge.log"]
        self.daemon("munged", "--foreground", "--force", *files)
        self.wait_for(lambda: (at / "munge.socket").exists(), 20)
        self.daemon("slurmctld", "-D")
        for node in ("n1", "g1"):
            self.daemon("slurmd", "-D", "-N", node)
        self.wait_for(lambda: self.ask("sinfo", "-h", "-N", "-o", "%T").split() == ["idle", "idle"], 60)

    def daemon(self, name, *words):
        """Start one."""
        log = open(self.folder / f"{name}-{len(self.daemons)}.out", "wb")  # noqa: SIM115
        self.daemons.append(subprocess.Popen([shutil.which(name, path=PLACES), *words], stdout=log, stderr=log))

    def ask(self, *words):
        """What a command of Slurm prints."""
        return subprocess.run(words, capture_output=True, text=True, timeout=60).stdout

    def jobs(self):
        """Number -> (state, name) of all jobs that Slurm still knows."""
        rows = self.ask("squeue", "-h", "--states=all", "-o", "%i %T %j").splitlines()
        return {number: (state, name) for number, state, name in map(str.split, rows)}

    def wait_for(self, condition, timeout_s, what=lambda: ""):
        """Poll until true."""
        end = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < end, f"{what()}\n{self.ask('squeue', '--states=all')}{self.ask('sinfo')}"
            time.sleep(0.3)

    def stop(self):
        """Cancel what runs, then end the daemons."""
        self.ask("scancel", "--user", str(os.getuid()))
        time.sleep(0.5)
        for process in reversed(self.daemons):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Submitted:
    """A run of the toy, and what `renkei` does with it."""

    def __init__(self, cluster, run):
        self.cluster, self.run = cluster, run

    def renkei(self, verb, *words, code=0):
        """A command; its output."""
        done = subprocess.run(
            [sys.executable, "-m", "renkei", verb, str(self.run), *words], cwd=ROOT, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def ids(self, role):
        """Numbers of the jobs of a role, in order."""
        return [job.id for job in submission.newest(self.run) if job.role == role]

    def rows(self, event="step", role="sim/sim0"):
        """Rows of the ledger that count."""
        return [row for row in Store(self.run).ledger(role) if row["event"] == event]

    def has_no_gap(self):
        """Whether the ledger's steps are 1, 2, 3, ..."""
        steps = [row["step"] for row in self.rows()]  # once: more come while one looks
        return steps == list(range(1, len(steps) + 1))

    def control(self, name):
        """Make a control file."""
        (self.run / "control").mkdir(exist_ok=True)
        (self.run / "control" / name).touch()

    def output(self):
        """What all jobs have written."""
        return "\n".join(f"{path.name}: {path.read_text()[-2000:]}" for path in sorted(self.run.glob("jobs/*/*.out")))

    def wait_for(self, condition, timeout_s=90):
        """Poll until true; fail with the jobs' output otherwise."""
        self.cluster.wait_for(condition, timeout_s, self.output)

    def state(self, number):
        """Slurm's word for a job."""
        return self.cluster.jobs().get(number, ("FORGOTTEN", ""))[0]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A cluster of two nodes; SLURM_CONF points to it."""
    folder = tmp_path_factory.mktemp("slurm")
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    found = Cluster(folder)
    try:
        found.start()
        yield found
    finally:
        found.stop()
        del os.environ["SLURM_CONF"]
        if before is not None:
            os.environ["SLURM_CONF"] = before


def prepared(cluster, run, *overrides, ranks=1, **scheduler):
    """A run of the toy, not yet submitted."""
    run_folder(ROOT / "configs" / "toy.yaml", run, [*SMALL, *overrides])
    machine = MACHINE | {"simulator": {"ranks": ranks}, "scheduler": MACHINE["scheduler"] | scheduler}
    (run / "machine.yaml").write_text(yaml.safe_dump(machine))
    return Submitted(cluster, run)


@pytest.fixture(scope="module", autouse=True)
def limited(cluster, tmp_path_factory):
    """A run whose jobs may last a minute: submitted first, so that its time passes while others are tested."""
    run = tmp_path_factory.mktemp("limited") / "run"
    pair = prepared(cluster, run, *ENDLESS, walltime="1min", trainer={"queue": "gpu"})
    pair.renkei("submit")
    yield pair
    pair.renkei("cancel")


def epochs(pair, role):
    return len(Store(pair.run).epochs(role))


def test_the_pair_runs_to_its_end_though_the_trainer_is_killed(cluster, tmp_path):
    """One command; a killed trainer goes on in its chain job; both sides end by themselves; nothing is submitted twice."""
    others = set(cluster.jobs())
    endless = ("phases.adapt.labels=1000000", "phases.adapt.max_steps=10000000")  # until FREEZE, however fast the machine
    pair = prepared(cluster, tmp_path / "run", "phases.production.steps=30", *endless, ranks=2)
    pair.renkei("submit")
    known = set(cluster.jobs()) - others
    assert known == {*pair.ids("sim/sim0"), *pair.ids("train")}
    assert len(known) == 4
    pair.wait_for(lambda: pair.rows("published", "train"), 120)
    [first, second] = pair.ids("train")
    cluster.ask("scancel", "--signal=KILL", "--batch", first)
    assert "nothing is submitted" in pair.renkei("submit")
    assert set(cluster.jobs()) - others == known
    pair.wait_for(lambda: epochs(pair, "train") == 2)
    pair.control(names.FREEZE)
    pair.wait_for(lambda: {pair.state(number) for number in known} <= {"COMPLETED", "FAILED", "CANCELLED"}, 150)
    states = {number: pair.state(number) for number in known}
    assert states.pop(first) != "COMPLETED"
    assert set(states.values()) == {"COMPLETED"}, states
    assert second in states
    assert pair.has_no_gap()
    assert sum(row["phase"] == "production" for row in pair.rows()) == 30
    assert (epochs(pair, "sim/sim0"), epochs(pair, "train")) == (1, 2)  # the simulator's chain job had nothing to do
    assert "nothing is left to do" in pair.output()
    assert pair.rows("end", "train")[-1]["reason"] == "every simulator has completed its production"
    assert "production is complete" in pair.renkei("submit")
    assert set(cluster.jobs()) - others == known


def test_cancelled_resubmitted_and_requeued(cluster, tmp_path):
    pair = prepared(cluster, tmp_path / "run", *ENDLESS, chain_jobs=0)
    pair.renkei("submit")
    pair.wait_for(lambda: len(pair.rows()) >= 3)
    [sim], [train] = pair.ids("sim/sim0"), pair.ids("train")
    cluster.ask("scancel", sim)
    pair.wait_for(lambda: pair.state(sim) == "CANCELLED")
    assert f"there already: train: job {train}" in pair.renkei("submit")
    [again] = pair.ids("sim/sim0")
    assert again != sim
    pair.wait_for(lambda: len(pair.rows("start")) == 2)
    cluster.ask("scontrol", "requeue", again)
    pair.wait_for(lambda: len(pair.rows("start")) == 3, 120)
    assert pair.rows("start")[-1]["job"] == {"scheduler": "slurm", "id": again, "restarts": 1}
    kept = len(pair.rows())
    pair.wait_for(lambda: len(pair.rows()) > kept)
    assert pair.has_no_gap()
    assert "2 job(s) cancelled" in pair.renkei("cancel")
    pair.wait_for(lambda: (pair.state(again), pair.state(train)) == ("CANCELLED", "CANCELLED"))
    assert "no job waits or runs" in pair.renkei("cancel")


def test_a_job_that_waits_is_cancelled_by_name(cluster, tmp_path):
    pair = prepared(cluster, tmp_path / "run", *ENDLESS, options=["--hold"])
    pair.renkei("submit")
    waiting = pair.ids("sim/sim0")
    assert f"only waited for its turn: job {waiting[0]}, job {waiting[1]} are cancelled" in pair.renkei("stop", "--name", "sim0")
    pair.wait_for(lambda: {pair.state(number) for number in waiting} == {"CANCELLED"})
    assert {pair.state(number) for number in pair.ids("train")} == {"PENDING"}
    assert "2 job(s) cancelled" in pair.renkei("cancel")
    assert epochs(pair, "sim/sim0") == 0


def test_a_gpu_that_is_of_no_use_is_given_back_and_asked_for_again(cluster, tmp_path):
    """One simulator is in production when another one comes, whose labels need a trainer."""
    run = tmp_path / "run"
    run_folder(ROOT / "configs" / "toy.yaml", run, [*SMALL, *ENDLESS, "simulators.sim0={}", "simulators.late={}"])
    machine = MACHINE | {"trainer": {"device": "cpu", "release_after": "2s"}}
    (run / "machine.yaml").write_text(yaml.safe_dump(machine))
    pair = Submitted(cluster, run)
    pair.renkei("submit", "--only", "sim/sim0", "--only", "train")
    pair.wait_for(lambda: pair.rows("published", "train"), 120)
    before = pair.ids("train")
    pair.control(names.FREEZE)
    pair.wait_for(lambda: all(pair.state(number) == "COMPLETED" for number in before), 150)
    assert {row["reason"][:22] for row in pair.rows("end", "train")} == {"no simulator needs ano"}
    (run / "control" / names.FREEZE).unlink()
    starts = epochs(pair, "train")
    pair.renkei("submit", "--only", "sim/late")
    pair.wait_for(lambda: epochs(pair, "train") == starts + 1, 120)
    assert not set(pair.ids("train")) & set(before)
    assert "asked for again" in (run / "sim/late/epoch-0001/sim.log").read_text()
    pair.wait_for(lambda: (Store(run).heartbeat("train") or {}).get("activity") == "training")
    pair.renkei("cancel")


def test_a_true_time_limit_ends_both_in_order_and_the_chain_goes_on(limited):
    [first, second], [train, _] = limited.ids("sim/sim0"), limited.ids("train")
    limited.wait_for(lambda: limited.state(second) != "PENDING" and epochs(limited, "train") == 2, 120)
    assert [limited.state(number) for number in (first, train)] == ["COMPLETED", "COMPLETED"]  # and not TIMEOUT
    limited.control(names.STOP)
    limited.wait_for(lambda: all(limited.state(one) == "COMPLETED" for one in (*limited.ids("sim/sim0"), *limited.ids("train"))))
    ends = {row["reason"] for role in ("sim/sim0", "train") for row in limited.rows("end", role)[:1]}
    assert all(reason.startswith("time is up") for reason in ends), ends
    assert limited.has_no_gap()
