"""A real pair under torture: rounds of kills, stops, full disks and hostile hands, each with what must be true after it."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from protocol.store import Store
from renkei import fsck

SIM, TRAIN = "sim/cold", "train"
DAEMONS = {SIM: "sim", TRAIN: "train"}
KINDS = (
    *("kill the simulator", "kill the trainer", "kill both", "stop the trainer", "take over a stopped simulator"),
    *("fill the disk", "hostile to the simulator's files", "hostile to the trainer's files", "hostile to checkpoints"),
)
STOPPED_S = 2.0
FUSE, FUSE_S = 40, 3.0  # calls, about as many as the end of a segment makes; and seconds for them
PATIENCE_S = 240.0  # a trainer reads all batches again when it starts, on a busy machine too
SMALL = "size=400m"


class Torture:
    """One run folder, its two daemons, a random hand, and what it has done."""

    def __init__(self, pair, rng):
        self.pair, self.run, self.rng = pair, pair.run, rng
        self.script = Path(__file__).with_name("tortured.py")
        self.living = {}  # role -> process
        self.damaged = {}  # file -> its bytes before
        self.counts, self.sentences, self.seen = Counter(), [], {}
        self.full_mark = self.run.with_name(f"{self.run.name}.full")
        self.mounted = self._mount()

    # --- processes ------------------------------------------------------------------------------

    def start(self, role, *options):
        """Start a daemon."""
        words = [sys.executable, str(self.script), DAEMONS[role], str(self.run), *options]
        if not self.mounted:
            words = ["env", f"TORTURE_FULL={self.full_mark}", *words]
        self.living[role] = self.pair.start(*words)

    def up(self, *roles):
        """Bring daemons up until they make progress; what they refuse for damage is restored, and told in one sentence."""
        for role in roles:
            for attempt in range(3):
                if role not in self.living:
                    self.start(role)
                if self.progresses(role):
                    break
                self.refused(role)
                assert attempt < 2, "it does not go on after its files were restored"

    def progresses(self, role):
        """Wait for a newer start's steps, or for the trainer's first turn; False if the daemon ends before."""
        process, before = self.living[role], self.mark(role)
        self.pair.wait_for(lambda: process.poll() is not None or self._is_further(self.mark(role), before, role), PATIENCE_S)
        return process.poll() is None

    def mark(self, role):
        """(epoch, step or counter of beats) of the newest start, as far as its heartbeat tells."""
        store = Store(self.run)
        beat = store.heartbeat(role) or {}
        return store.newest_epoch(role), beat.get("step", -1) if role == SIM else beat.get("counter", -1), "activity" in beat

    def _is_further(self, now, before, role):
        ahead = now[0] > before[0] or now[1] >= before[1] + (2 if role == SIM else 1)
        return ahead and (now[1] >= 0 if role == SIM else now[2])

    def refused(self, role):
        """A daemon that has ended: one sentence, no traceback; the hostile hand gives back what it took."""
        process = self.living.pop(role)
        said = process.output.read_text()
        lines = [line for line in said.splitlines() if re.match(r"(sim|train)_daemon: ", line)]
        assert "Traceback" not in said, said
        assert process.returncode in (4, 5), (process.returncode, said)
        assert len(lines) == 1, said
        self.sentences.append(lines[0])
        self.restore()

    def kill(self, role):
        """kill -9 after some more of its fsyncs and renames, or after a while; remember every row that stands there."""
        process, fuse = self.living.pop(role), self.run.with_name(f"{self.run.name}.kill-{DAEMONS[role]}")
        fuse.write_text(str(self.rng.randrange(FUSE)))
        end = time.monotonic() + FUSE_S
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        if process.poll() is None:
            self.pair.kill(process)
        else:
            assert process.returncode == -signal.SIGKILL, process.output.read_text()
            self.counts["kills by its own calls"] += 1
        fuse.unlink()
        self.remember()
        self.counts["kills"] += 1

    def remember(self):
        """Rows of steps that have been seen: none may ever change."""
        for row in Store(self.run).all_rows(SIM):
            if row["event"] == "step":
                self.seen[row["step"], row["walker"]] = row["log_ratio"]

    # --- one round ------------------------------------------------------------------------------

    def round(self, kind):
        """One act, and both daemons at work again."""
        acts = {
            "kill the simulator": lambda: self.kill(SIM),
            "kill the trainer": lambda: self.kill(TRAIN),
            "kill both": lambda: (self.kill(SIM), self.kill(TRAIN)),
            "stop the trainer": self._stop_the_trainer,
            "take over a stopped simulator": self._take_over,
            "fill the disk": self._fill,
            "hostile to the simulator's files": lambda: self._hostile(SIM),
            "hostile to the trainer's files": lambda: self._hostile(TRAIN),
            "hostile to checkpoints": self._hostile_to_checkpoints,
        }
        acts[kind]()
        self.counts["rounds"] += 1
        self.up(SIM, TRAIN)

    def _stop_the_trainer(self):
        trainer = self.living[TRAIN]
        os.killpg(trainer.pid, signal.SIGSTOP)
        assert self.progresses(SIM), "the simulator waits for nobody"
        time.sleep(STOPPED_S)
        os.killpg(trainer.pid, signal.SIGCONT)
        self.counts["stops"] += 1

    def _take_over(self):
        """The simulator hangs, another start takes over, the old one wakes up: it ends in one sentence and harms nothing."""
        old = self.living.pop(SIM)
        os.killpg(old.pid, signal.SIGSTOP)
        self.remember()
        self.start(SIM, "--takeover")
        assert self.progresses(SIM)
        os.killpg(old.pid, signal.SIGCONT)
        self.pair.wait_for(lambda: old.poll() is not None, PATIENCE_S)
        assert old.returncode == 4, old.output.read_text()
        assert "took over" in old.output.read_text() or "taken over" in old.output.read_text()
        self.counts["stops"] += 1

    def _fill(self):
        """No byte is left; whoever must write ends with one sentence and exit code 5."""
        ballast = self.run / ".ballast.tmp"
        if self.mounted:
            with open(ballast, "wb", buffering=0) as file:
                for size in (2**20, 4096):
                    try:
                        while True:
                            file.write(bytes(size))
                    except OSError:
                        continue
        else:
            self.full_mark.touch()
        simulator = self.living[SIM]
        self.pair.wait_for(lambda: simulator.poll() is not None, PATIENCE_S)
        time.sleep(STOPPED_S)
        for path in (ballast, self.full_mark):
            path.unlink(missing_ok=True)
        for role in [role for role in DAEMONS if self.living[role].poll() is not None]:
            self.refused(role)
            assert "the disk is full" in self.sentences[-1], self.sentences[-1]
        self.counts["full disks"] += 1

    # --- the hostile hand -----------------------------------------------------------------------

    def _hostile(self, role):
        """Some published files are deleted or cut; then somebody must read them again."""
        inside = "batches/* triggers/* trajectory/*" if role == SIM else "weights/* triggers/*"
        files = [path for pattern in inside.split() for path in (self.run / role).glob(f"epoch-*/{pattern}")]
        taken = {key(path) for path in self.damaged}
        free = [path for path in sorted(files) if key(path) not in taken and not path.name.startswith(".")]
        for path in self.rng.sample(free, min(2, len(free))):
            if key(path) not in {key(other) for other in self.damaged}:
                self.damage(path)
        for victim in self.rng.choice([(SIM,), (TRAIN,), (SIM, TRAIN)]):
            self.kill(victim)

    def _hostile_to_checkpoints(self):
        """The newest checkpoint of a dead daemon, or both of them."""
        role = self.rng.choice([SIM, TRAIN])
        self.kill(role)
        folder = self.run / role / f"epoch-{Store(self.run).newest_epoch(role):04d}"
        names = ["checkpoint.h5", "checkpoint.prev.h5"][: self.rng.choice([1, 2])]
        for path in (folder / name for name in names):
            if path.is_file():
                self.damage(path)

    def damage(self, path):
        """Delete it, or cut it: a folder as a whole, or a file of it."""
        if path.is_dir() and self.rng.random() < 0.5:
            path = self.rng.choice(sorted(path.iterdir()))
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            self.damaged[file] = file.read_bytes()
        if path.is_dir():
            shutil.rmtree(path)
        elif self.rng.random() < 0.5:
            path.unlink()
        else:
            path.write_bytes(self.damaged[path][: len(self.damaged[path]) // 2])
        self.counts["hostile acts"] += 1

    def restore(self):
        """From the backup."""
        for path, data in self.damaged.items():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
        self.damaged.clear()

    def unnamed(self):
        """Damaged files that count and that fsck says nothing of."""
        lines = [f"{finding.where} {finding.what}" for finding in fsck.check(self.run)]
        files = [path for path in self.damaged if not path.name.startswith("checkpoint")]
        return [path for path in files if not any(_speaks_of(line, path) for line in lines)]

    # --- a small disk ---------------------------------------------------------------------------

    def _mount(self):
        files = {path.name: path.read_bytes() for path in self.run.iterdir()}
        words = ["mount", "-t", "tmpfs", "-o", SMALL, "tmpfs", str(self.run)]
        if shutil.which("mount") is None or subprocess.run(words, capture_output=True, check=False).returncode:
            return False
        for name, data in files.items():
            (self.run / name).write_bytes(data)
        return True

    def close(self):
        """End what runs, and unmount."""
        self.pair.close()
        if self.mounted:
            subprocess.run(["umount", "--lazy", str(self.run)], check=True)


def key(path):
    """What message or segment a published file belongs to: (role and epoch, kind, number)."""
    found = re.search(r"(.*/epoch-\d{4})/(?:(trajectory)/)?.*?(\d{6})", str(path))
    return found.groups() if found else (str(path),)


def _speaks_of(line, path):
    epoch, _, number = key(path)
    return Path(epoch).name in line and (number in line or f"number {int(number)}" in line)
