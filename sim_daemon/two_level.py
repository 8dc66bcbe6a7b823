"""A two-level block: which kind of step comes next, whether the model is good enough, how many samples for each labelled ring.

The surrogate's own chain first loses the memory of its starts, then a few of its rings are labelled as probes; a bad model ends
the block there, and the probes are training data. Then come the ordinary steps that the averages are compared with, and the
long run of the surrogate, of which every so many samples are labelled; it is lengthened while its starts are not forgotten
(docs/methods.md, two levels).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from kernels import statistics, two_level
from protocol.sections import Science, TwoLevel
from sim_daemon.moves.ghmc import Segment
from sim_daemon.samplers.base import LABELLED_WALKS, LOG_WEIGHT, Info, Move, Plan
from sim_daemon.schedule import Recorded

SAMPLE_STEPS = 40  # time steps between two samples of the first level
APART_FS = 100.0  # between two labelled rings of a walker, at least
EQUILIBRATION = 100  # samples of each walker before probes, and again before the run
FEWEST_RINGS = 100  # labelled, where their number is auto
MOST_SAMPLES = 200  # of the first level for each ring of the second, where their number is auto
MOST_LENGTHENINGS = 3  # of the run, each to twice its length with half of its first rings more
PROBES_SPREAD = 0.5  # of u = beta (V_FP - V_ML) on the few probes: beyond it a better model costs less than more rings
LEVELS = (Move.LEVEL_1, Move.LEVEL_2)
SURROGATE = "surrogate_"  # before the names of observables with the surrogate's energies and forces


@dataclass
class Walk:
    """Where a two-level block stands; part of the checkpoint."""

    rules: TwoLevel
    walkers: int
    stretch_moves: int  # moves of the surrogate's chain between two samples
    apart: int  # samples between two labelled rings of a walker, at least
    steps: dict[str, int] = field(default_factory=dict)  # done, by kind
    log_weights: list[list[float]] = field(default_factory=list)  # of labelled rings, by step, by walker: probes, then the run's
    samples: list[dict[str, list[float]]] = field(default_factory=list)  # of the equilibration: observables by walker
    probes: list[dict[str, list[float]]] = field(default_factory=list)  # the same of the probes
    seconds: dict[str, float] = field(default_factory=dict)  # of the equilibration and of the engine on probes
    every: int = 0  # samples for each labelled ring; 0: not planned yet
    ring_steps: int = 0  # steps that label, of all walkers at once; of the stretch in hand
    run: dict[str, list[list[float]]] = field(default_factory=dict)  # the surrogate's numbers in the run, by sample, by walker
    lengthened: int = 0  # times
    behind: dict[str, int] = field(default_factory=dict)  # steps of the run by kind before the stretch in hand

    def plan(self, frozen: Plan, chain_steps: int, chain_length: int) -> Plan:
        """The next step's plan; chain_steps: ordinary steps done, chain_length: to be done."""
        done = self.steps
        probing = math.ceil(self.rules.probe_rings / self.walkers)
        if done.get(Move.EQUILIBRATE, 0) < EQUILIBRATION:
            move, moves = Move.EQUILIBRATE, self.stretch_moves
        elif done.get(Move.PROBE, 0) < probing:
            move, moves = Move.PROBE, self.stretch_moves * self.apart
        elif chain_steps < chain_length:
            return frozen
        elif done[Move.EQUILIBRATE] < 2 * EQUILIBRATION:
            move, moves = Move.EQUILIBRATE, self.stretch_moves
        else:
            last = (self._sampled() - self._behind() + 1) % self.every == 0
            move, moves = Move.LEVEL_2 if last else Move.LEVEL_1, self.stretch_moves
        return replace(frozen, move=move, chain_moves=moves)

    def observe(self, plan: Plan, infos: Sequence[Info], seconds: Mapping[str, float]) -> None:
        """Take one step of all walkers that the surrogate made; seconds: by activity."""
        move = plan.move
        if move is Move.METROPOLIS:
            return
        self.steps[move] = self.steps.get(move, 0) + 1
        columns = {name: [info.observables.get(name, math.nan) for info in infos] for name in infos[0].observables}
        if move in LABELLED_WALKS:
            self.log_weights.append([info.observables.get(LOG_WEIGHT, math.nan) for info in infos])
        if move in LEVELS:
            for name in (name for name in columns if name.startswith(SURROGATE)):
                self.run.setdefault(name, []).append(columns[name])
        if not self.every and move is Move.EQUILIBRATE:
            self.samples.append(columns)
            self._book("sample", sum(seconds.values()) / len(infos))
        if move is Move.PROBE:
            self.probes.append(columns)
            self._book("ring", (seconds.get("engine", 0.0) + seconds.get("imbalance", 0.0)) / len(infos))

    def probed(self) -> bool:
        """Whether the probes are complete and the run is not planned yet."""
        return not self.every and len(self.probes) >= math.ceil(self.rules.probe_rings / self.walkers)

    def ended(self) -> bool:
        """Whether every ring of the run is labelled."""
        return bool(self.every) and self._sampled() - self._behind() >= self.every * self.ring_steps

    def lengthen(self) -> str:
        """Go on for as many samples as there are if the run's starts disagree, with half of the first rings; says why, or ""."""
        ratios = {name: statistics.split_r_hat(np.array(series)) for name, series in self.run.items()}
        found = {name: ratio for name, ratio in ratios.items() if ratio >= two_level.LARGEST_R_HAT}  # not NaN
        if self.lengthened >= MOST_LENGTHENINGS or not found:
            return ""
        name = max(found, key=lambda name: found[name])
        self.ring_steps = self.ring_steps if self.lengthened else math.ceil(self.ring_steps / 2)
        self.every = math.ceil(self._sampled() / self.ring_steps)
        self.lengthened, self.behind = self.lengthened + 1, {move: self.steps.get(move, 0) for move in LEVELS}
        return f"R-hat over its starts is {found[name]:.3f} ({name}), not below {two_level.LARGEST_R_HAT}"

    def bad(self) -> str:
        """Why the model must learn more before its own run can be corrected, or ""."""
        logs = np.array(self.log_weights)
        if not np.isfinite(logs).all():
            return f"{int((~np.isfinite(logs)).sum())} of {logs.size} labelled rings of the surrogate were refused by the engine"
        effective, spread = statistics.kish(logs)[0], float(logs.std(ddof=1))
        told = f"{logs.size} labelled rings of the surrogate count as {effective:.1f}"
        if effective < 0.5 * logs.size:
            return told
        largest = two_level.LARGEST_SPREAD if self.every else PROBES_SPREAD
        if spread > largest:
            return f"{told}, the spread of beta (V_FP - V_ML) is {spread:.2f}, more than {largest:g}"
        return ""

    def proposal(self) -> dict[str, Any]:
        """The plan of the run, from variances and costs so far where the settings leave it open."""
        rules, ratio = self.rules, self._ratio()
        if rules.rings == "auto" and rules.surrogate_samples != "auto":
            rings = max(FEWEST_RINGS, round(rules.surrogate_samples / max(ratio, self.apart)))
        else:
            rings = FEWEST_RINGS if rules.rings == "auto" else rules.rings
        ring_steps = math.ceil(rings / self.walkers)
        wanted = ratio * rings if rules.surrogate_samples == "auto" else rules.surrogate_samples
        every = max(self.apart, math.ceil(wanted / (ring_steps * self.walkers)))
        costs = {f"{name}_s": self.seconds.get(name, 0.0) for name in ("sample", "ring")}
        return {"every": every, "ring_steps": ring_steps, "ratio": ratio, **costs}

    def allocate(self, block: int, recorded: Sequence[Recorded]) -> dict[str, Any]:
        """Fix the plan of the run, a recorded one where there is one; returns the ledger's row. The probes are not part of it."""
        told = next((record.allocations[block] for record in recorded if block in record.allocations), None)
        told = dict(told or {"event": "allocation", "block": block, **self.proposal()})
        self.every, self.ring_steps = int(told["every"]), int(told["ring_steps"])
        self.log_weights, self.samples, self.probes = [], [], []
        return told

    def progress(self) -> dict[str, int]:
        """Labelled rings so far, and planned."""
        return {"rings": self.steps.get(Move.LEVEL_2, 0) * self.walkers, "rings_planned": self._rings() * self.walkers}

    def dump(self) -> dict[str, Any]:
        """Plain data for the checkpoint."""
        plain = {name: value for name, value in asdict(self).items() if name != "rules"}
        return plain | {"run": {name: np.array(series) for name, series in self.run.items()}}

    def _sampled(self) -> int:
        return sum(self.steps.get(move, 0) for move in LEVELS)

    def _behind(self) -> int:
        return sum(self.behind.values())

    def _rings(self) -> int:
        """Steps that label, done and planned."""
        return self.behind.get(Move.LEVEL_2, 0) + self.ring_steps

    def _book(self, name: str, seconds: float) -> None:
        """Mean seconds of a sample or a ring."""
        count = len(self.samples) if name == "sample" else len(self.probes)
        self.seconds[name] = self.seconds.get(name, 0.0) + (seconds - self.seconds.get(name, 0.0)) / count

    def _ratio(self) -> float:
        """Median over the observables of the best number of samples for a ring, at most MOST_SAMPLES."""
        logs, found = np.array(self.log_weights).ravel(), []
        for name in self.probes[0]:
            twin = f"{SURROGATE}{name}"
            if twin not in self.probes[0]:
                continue
            series = np.array([row[twin] for row in self.samples[len(self.samples) // 2 :]])
            first = 2 * statistics.autocorrelation_time(series) * float(series.var(ddof=1))
            surrogate, target = (np.array([row[key] for row in self.probes]).ravel() for key in (twin, name))
            second = two_level.second_variance(surrogate, target, logs)
            found.append(two_level.allocation(first, second, *(max(self.seconds[key], 1e-9) for key in ("sample", "ring"))))
        return float(min(MOST_SAMPLES, max(1.0, np.median(found))))


def begin_walk(science: Science, timestep_fs: float) -> Walk:
    """A two-level block at its start."""
    verlet_steps = (science.sampler.segment or Segment()).verlet_steps
    moves = max(1, round(SAMPLE_STEPS / verlet_steps))
    apart = math.ceil(APART_FS / (moves * verlet_steps * timestep_fs) - 1e-9)
    return Walk(science.phases.production.two_level or TwoLevel(), science.sampler.walkers, moves, apart)


def restore_walk(state: Mapping[str, Any], rules: TwoLevel) -> Walk:
    """The inverse of Walk.dump."""
    return Walk(rules=rules, **{**state, "run": {name: series.tolist() for name, series in state["run"].items()}})
