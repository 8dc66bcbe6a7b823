"""A read-only picture of a run folder: peers, phases, generations, acceptance, activities, costs. Writes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from protocol import names
from protocol.errors import BadSetting
from protocol.heartbeat import PeerWatch
from protocol.heartbeat import read as read_heartbeat
from protocol.records import Packet, PeerState
from protocol.store import Store
from renkei.analysis import ledger as ledgers
from renkei.analysis import thermo
from renkei.analysis.ledger import Ledger, Row
from renkei.analysis.thermo import Calls


@dataclass(frozen=True)
class DaemonView:
    """One daemon, over all its starts."""

    role: str  # "train" or "sim/<name>"
    state: PeerState
    heartbeat: Mapping[str, Any]  # of the newest start
    rows: Sequence[Row]  # the journal as adopted: what counts
    all_rows: Sequence[Row]  # every row ever written: what was paid for
    activities: Mapping[str, float]  # s, all starts together; they sum to the wall time
    resolved: Mapping[str, Any]  # what the newest start understood: {science: ..., machine: ...}

    def events(self, *kinds: str) -> list[Row]:
        """The adopted rows of these events, in order."""
        return [row for row in self.rows if row["event"] in kinds]


@dataclass(frozen=True)
class SimulatorView(DaemonView):
    """One simulator."""

    @property
    def name(self) -> str:
        """Its name below sim/."""
        return self.role.partition("/")[2]

    @cached_property
    def ledger(self) -> Ledger:
        """Its steps as arrays."""
        return ledgers.steps_of(self.rows)

    @cached_property
    def cost(self) -> Calls:
        """First-principles calls of every row, adopted or not."""
        return thermo.engine_calls(self.all_rows)

    @property
    def phase(self) -> str:
        """startup, adapt, production, or done when the last production block is complete and the run has ended."""
        if not len(self.ledger):
            return "startup"
        ended = self.rows[-1]["event"] == "end" and "complete" in str(self.rows[-1].get("reason", ""))
        return "done" if ended else str(self.ledger.phase[-1])

    @property
    def used_generations(self) -> list[int]:
        """Generations that drove at least one step, in order of first use."""
        return [int(g) for g in dict.fromkeys(self.ledger.generation.tolist()) if g >= 0]

    def setting(self, dotted: str) -> Any:
        """A value of the science, e.g. "sampler.beads"; None where it is not set."""
        found: Any = self.resolved.get("science", {})
        for key in dotted.split("."):
            found = found.get(key) if isinstance(found, Mapping) else None
        return found


@dataclass(frozen=True)
class TrainerView(DaemonView):
    """The trainer."""

    @property
    def published(self) -> list[Row]:
        """The journal's row of every published generation."""
        return self.events("published")

    @property
    def batches(self) -> dict[str, int]:
        """Batches that the training set has of each simulator."""
        taken = Counter(row["sender"] for row in self.events("batch"))
        return dict(sorted((taken - Counter(row["sender"] for row in self.events("retracted"))).items()))

    @property
    def attendance(self) -> list[Row]:
        """The journal's rows of simulators that joined, left, died or completed."""
        return self.events("simulator")


@dataclass(frozen=True)
class RunView:
    """The whole run."""

    root: Path
    simulators: tuple[SimulatorView, ...]
    trainer: TrainerView | None  # None while no trainer has ever started
    weights: tuple[Packet, ...]  # the generations that lie in the folder, verified
    control: frozenset[str]  # files below control/, e.g. STOP

    @property
    def calls(self) -> int:
        """First-principles calls of all simulators."""
        return sum(simulator.cost.calls for simulator in self.simulators)


def read(root: Path) -> RunView:
    """The picture of a run folder as it is now. Raises BadSetting where there is no run."""
    root = Path(root)
    if not root.is_dir():
        raise BadSetting("there is no such run folder", str(root), "give the folder that `renkei run` made")
    store = Store(root)
    roles = [role for role in map(names.simulator_role, store.simulators()) if store.epochs(role)]
    trainer = TrainerView(**_daemon(store, names.TRAIN)) if store.epochs(names.TRAIN) else None
    simulators = tuple(SimulatorView(**_daemon(store, role)) for role in roles)
    return RunView(root, simulators, trainer, tuple(store.packets("train")) if trainer else (), frozenset(store.control()))


def _daemon(store: Store, role: str) -> dict[str, Any]:
    folders = [record.folder for record in store.epochs(role)]
    all_rows = store.all_rows(role)
    watch = PeerWatch(folders[-1] / names.HEARTBEAT)
    state = watch.state()  # one look: a daemon of another machine that died without a word still looks alive
    return {
        "role": role,
        "state": state,
        "heartbeat": watch.facts(),
        "rows": store.ledger(role),
        "all_rows": all_rows,
        "activities": _activities(folders, all_rows),
        "resolved": _resolved(folders),
    }


def _activities(folders: Sequence[Path], all_rows: Sequence[Row]) -> dict[str, float]:
    """Seconds by activity over all starts: each start's last word, its end row or else its last heartbeat."""
    totals: dict[str, float] = {}
    ends = _ends(all_rows)
    for folder in folders:
        beat = read_heartbeat(folder / names.HEARTBEAT) or {}
        last_word = ends.get(names.parse_epoch(folder.name) or 0) or beat.get("activities") or {}
        for name, seconds in last_word.items():
            totals[name] = totals.get(name, 0.0) + float(seconds)
    return totals


def _ends(all_rows: Sequence[Row]) -> dict[int, Mapping[str, float]]:
    """Activities of the starts that ended in order, by epoch."""
    epoch, ends = 0, {}
    for row in all_rows:
        epoch = int(row["epoch"]) if row["event"] == "start" else epoch
        if row["event"] == "end":
            ends[epoch] = row.get("activities") or {}
    return ends


def _resolved(folders: Sequence[Path]) -> dict[str, Any]:
    for folder in reversed(folders):
        path = folder / names.RESOLVED
        if path.is_file():
            return yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    return {}
