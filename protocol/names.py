"""Every file and folder name of a run folder; nobody else spells one."""

from __future__ import annotations

import re
from pathlib import Path

from protocol.errors import BadSetting

TRAIN = "train"
CONTROL = "control"
JOBS = "jobs"  # output of jobs that the command line started, and what it has submitted
REPORT = "report"
SIM = "sim"
REPLICA = "replica.json"  # in a role's folder: a copy, which a transport writes; no daemon of that role starts here
CURRENT = "current"  # symbolic link for people; no daemon reads it

FORMAT = "format.json"
EPOCH_JSON = "epoch.json"
RESOLVED = "run.resolved.yaml"
JOURNAL = "journal.jsonl"
HEARTBEAT = "heartbeat.json"
CHECKPOINT = "checkpoint.h5"
CHECKPOINT_PREVIOUS = "checkpoint.prev.h5"
CARD = "card.json"
BATCHES = "batches"
WEIGHTS = "weights"
TRIGGERS = "triggers"
TRAJECTORY = "trajectory"
QUARANTINE = "quarantine"

SIMULATOR_RULE = "letters, digits, - and _, beginning with a letter or digit, 64 at most, and not 'train'"
STOP, PAUSE, FREEZE = CONTROLS = "STOP", "PAUSE", "FREEZE"

_SIMULATOR = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")  # no dot: --set splits keys there
_EPOCH = re.compile(r"epoch-(\d{4,9})")
_TRIGGER = re.compile(r"(batch|weights)-(\d{6,12})\.trigger")


def simulator_role(name: str) -> str:
    """Role of a simulator: "sim/<name>"; BadSetting for what cannot be a name."""
    if not is_simulator(name):
        raise BadSetting(f"simulator name {name!r}: {SIMULATOR_RULE}")
    return f"{SIM}/{name}"


def is_simulator(name: str) -> bool:
    """Whether this can be a simulator's name."""
    return bool(_SIMULATOR.fullmatch(name)) and name != TRAIN


def sender(role: str) -> str:
    """Name of a role in messages: the simulator's name, or "train"; BadSetting for what is no role."""
    if role == TRAIN:
        return TRAIN
    prefix, _, name = role.partition("/")
    if prefix != SIM or not is_simulator(name):
        raise BadSetting(f"role {role!r}: must be 'train' or 'sim/NAME'")
    return name


def kind(role: str) -> str:
    """What a role publishes: "weights" or "batch"."""
    return "weights" if role == TRAIN else "batch"


def epoch(number: int) -> str:
    """Folder of one start of a daemon."""
    return f"epoch-{number:04d}"


def parse_epoch(name: str) -> int | None:
    """Number of an epoch's folder; None for any other name."""
    match = _EPOCH.fullmatch(name)
    return int(match[1]) if match and epoch(int(match[1])) == name else None


def payload(kind: str, number: int) -> Path:
    """Payload of a message, relative to its epoch's folder."""
    return Path(WEIGHTS, f"generation-{number:06d}") if kind == "weights" else Path(BATCHES, f"batch-{number:06d}.h5")


def trigger(kind: str, number: int) -> Path:
    """Trigger of a message, relative to its epoch's folder."""
    return Path(TRIGGERS, f"{kind}-{number:06d}.trigger")


def parse_trigger(name: str) -> tuple[str, int] | None:
    """Kind and number of a trigger's file name; None for any other name."""
    match = _TRIGGER.fullmatch(name)
    if match is None or trigger(match[1], int(match[2])).name != name:
        return None
    return match[1], int(match[2])


def trajectory(number: int) -> Path:
    """A closed trajectory segment, relative to its epoch's folder."""
    return Path(TRAJECTORY, f"{number:06d}.h5")


def control(word: str, sender: str = "") -> str:
    """Name of a control file: "STOP" for all jobs, "STOP-hot" for one of them (a simulator's name, or "train")."""
    return f"{word}-{sender}" if sender else word


def probe(host: str) -> str:
    """File below jobs/ with what was measured of the view from a node, `host`."""
    return f"probe-{host}.json"
