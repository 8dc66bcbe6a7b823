"""The end of a demonstration: what a run was to reach, each as met or missed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from renkei.analysis.ledger import decided
from renkei.run_view import RunView, SimulatorView


@dataclass(frozen=True)
class Targets:
    """What the small water run must reach; others may ask for more."""

    generations: int = 3  # published and used
    parent_generations: int = 2  # whose labels the last generation learned
    production_steps: int = 300
    acceptance: float = 0.6
    trajectory_fs: float = 20.0  # mean length
    difference_stderr_meV: float = 60.0  # of primitive minus virial energy
    ess: float = 50.0  # of the virial energy


@dataclass(frozen=True)
class Outcome:
    """One target."""

    met: bool
    text: str

    def __str__(self) -> str:
        return f"{'met   ' if self.met else 'missed'}  {self.text}"


def summary(view: RunView, report: Mapping[str, Any], targets: Targets | None = None) -> list[Outcome]:
    """Each target with what was reached. report: from renkei.results."""
    goal = targets or Targets()
    if not view.simulators:
        return [Outcome(False, "no simulator has started")]
    main, sampling = view.simulators[0], report["sampling"]
    return [
        *_learning(view, main, goal),
        _at_least("production steps", sampling["steps"]["production"], goal.production_steps, "d"),
        _acceptance(main, sampling, goal),
        _at_least("mean trajectory, fs", sampling["trajectory_fs"], goal.trajectory_fs, ".1f"),
        *_estimators(report["observables"], goal),
        _at_least(
            "effective samples of the virial energy",
            report["observables"].get("energy_virial_eV", {}).get("ess"),
            goal.ess,
            ".0f",
        ),
    ]


def sources(view: RunView) -> dict[int, set[int]]:
    """For each published generation: the generations (-1: first principles alone) whose steps its labels come from."""
    made = {simulator.name: batch_generations(simulator) for simulator in view.simulators}
    found: dict[int, set[int]] = {}
    for row in view.trainer.published if view.trainer else []:
        learned: set[int] = set()
        for batch in row.get("batches") or ():
            simulator, _, number = str(batch).split("/")
            learned |= made.get(simulator, {}).get(int(number), set())
        found[int(row["generation"])] = learned
    return found


def batch_generations(simulator: SimulatorView) -> dict[int, set[int]]:
    """Generations that drove the steps labelled in each batch: the steps between one batch and the next."""
    found: dict[int, set[int]] = {}
    since: set[int] = set()
    for row in simulator.rows:
        if row["event"] == "step":
            since.add(int(row["generation"]))
        elif row["event"] == "batch":
            found[int(row["number"])], since = since, set()
    return found


def _learning(view: RunView, main: SimulatorView, goal: Targets) -> list[Outcome]:
    learned = sources(view)
    used = [generation for generation in learned if generation in main.used_generations]
    last = used[-1] if used else None
    earlier = sorted(g for g in learned.get(last, set()) if 0 <= g < last) if last is not None else []
    told = (
        f"the last used generation, {last}, learned from steps of generations {_listed(earlier)}" if used else "none is used yet"
    )
    return [
        _at_least("generations published and used", len(used), goal.generations, "d"),
        Outcome(len(earlier) >= goal.parent_generations, f"{told}; {goal.parent_generations} earlier ones wanted"),
    ]


def _acceptance(main: SimulatorView, sampling: Mapping[str, Any], goal: Targets) -> Outcome:
    rows = decided(main.ledger)
    first = main.used_generations[0] if main.used_generations else None
    taken = rows.accepted[(rows.generation == first) & (rows.phase == "adapt")] if first is not None else rows.accepted[:0]
    beside = f"; generation {first} began with {taken.mean():.2f}" if len(taken) else ""
    reached = _at_least("production acceptance", sampling["acceptance"]["production"], goal.acceptance, ".2f")
    return Outcome(reached.met, reached.text + beside)


def _estimators(observables: Mapping[str, Any], goal: Targets) -> list[Outcome]:
    found = observables.get("energy_difference_eV")
    if found is None:
        return [Outcome(False, "primitive and virial energies: none yet")]
    mean, error = 1e3 * found["mean"], 1e3 * found["stderr"]
    return [
        Outcome(
            abs(mean) <= 3 * error, f"primitive minus virial energy {mean:.1f} ± {error:.1f} meV; within 3 standard errors wanted"
        ),
        Outcome(
            error <= goal.difference_stderr_meV, f"its error {error:.1f} meV; at most {goal.difference_stderr_meV:.0f} wanted"
        ),
    ]


def _at_least(name: str, value: float | None, wanted: float, form: str) -> Outcome:
    told = "none yet" if value is None else format(value, form)
    return Outcome(value is not None and value >= wanted, f"{name}: {told}; at least {wanted:g} wanted")


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers)) or "none"
