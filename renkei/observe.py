"""Observables anew from the stored states of a run: a segment at a time, with errors, in arrays or in an HDF5 file."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from kernels import statistics
from kernels.arrays import Array
from kernels.statistics import Estimate
from protocol.errors import BadSetting
from protocol.store import Store
from renkei import results, trajectory
from renkei.analysis import ledger as ledgers
from renkei.analysis import thermo
from renkei.analysis.block_sums import BlockSums, CurveEstimate
from renkei.observables.base import Axis, Observable, States, System, Values
from renkei.run_view import SimulatorView
from sim_daemon.system import masses_of

FOLDER = Path(__file__).parent / "observables"
FEWEST_SAMPLES = 50  # effective ones; below, no mean is quoted
PHASES = ("production", "adapt")


@dataclass(frozen=True)
class Average:
    """A number of every state (series), or one that is no plain average of one (series None)."""

    unit: str
    estimate: Estimate
    r_hat: float  # NaN where there is no series
    series: Array | None  # (T, W)

    @property
    def refusal(self) -> str:
        """Why the mean is not to be quoted; "" where it is."""
        ess = min(self.estimate.ess, self.estimate.samples)  # a short antithetic series claims more than it has
        return _refusal(ess)


@dataclass(frozen=True)
class Curve:
    """A function of a distance, an angle, ..."""

    axis: Axis
    estimate: CurveEstimate

    @property
    def refusal(self) -> str:
        """Why the curve is not to be quoted; "" where it is."""
        return _refusal(self.estimate.ess)


@dataclass(frozen=True)
class Findings:
    """What observables found in T states of W walkers."""

    step: Array  # (T,) int
    averages: Mapping[str, Average]  # by name, the unit at its end
    curves: Mapping[str, Curve]


Sink = Callable[[Array, Mapping[str, Array]], None]  # (steps (S,), series (S, W) by name) of one segment


def names() -> dict[str, str]:
    """Observable -> the first line of its file's docstring."""
    files = sorted(path for path in FOLDER.glob("[a-z]*.py") if path.stem != "base")
    return {path.stem: (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").partition("\n")[0] for path in files}


def observe(
    store: Store,
    simulator: SimulatorView,
    wanted: Sequence[str],
    phase: str = "production",
    stride: int = 1,
    options: Mapping[str, Any] | None = None,
    sink: Sink | None = None,
) -> Findings:
    """Go once through the states of a simulator: of its quoted production block, or of the adapt phase.

    wanted: names of observables, or of numbers of the ledger.  stride: every so many states.  options: for all of `wanted`.
    sink: is given every segment's series.  Raises BadSetting for what is unknown or not there.
    """
    rows = _rows(simulator, phase, stride)
    parts = _States(store, simulator, rows)
    observables = [load(name, parts.system, rows, options or {}) for name in wanted]
    steps: list[Array] = []
    series: dict[str, list[Array]] = {}
    sums: dict[str, BlockSums] = {}
    for states in parts:
        found = _merged([observable.add(states) for observable in observables])
        for name, values in found.series.items():
            series.setdefault(name, []).append(values)
        for name, part in found.curves.items():
            sums.setdefault(name, BlockSums(*part.total.shape[1:])).add(part.total, part.weight)
        steps.append(states.step)
        if sink:
            sink(states.step, found.series)
    whole = {name: np.concatenate(pieces) for name, pieces in series.items()}
    averages = {name: _average(name, values) for name, values in whole.items()}
    for observable in observables:
        for name, estimate in observable.finish(whole).items():
            averages[name] = Average(results.unit_of(name), estimate, np.nan, None)
    axes = {name: axis for observable in observables for name, axis in observable.axes.items()}
    curves = {name: Curve(axes[name], found.estimate()) for name, found in sums.items()}
    return Findings(np.concatenate(steps), averages, curves)


def load(name: str, system: System, rows: Mapping[str, Array], options: Mapping[str, Any]) -> Observable:
    """One observable by the name of its file, or a number that the ledger has of every step. Raises BadSetting."""
    if name in names():
        build = import_module(f"renkei.observables.{name}").build
        known = [key for key in inspect.signature(build).parameters if key != "system"]
        unknown = [key for key in options if key not in known]
        if unknown:
            raise BadSetting(f"{name} has no option {unknown[0]!r}", next=f"it has {', '.join(known) or 'none'}")
        observable: Observable = build(system, **options)
        return observable
    if name not in rows:
        listed = ", ".join([*names(), *sorted(set(rows) - {"step"})])
        raise BadSetting(f"there is no observable {name!r}", next=f"there are {listed}")
    return Observable(lambda states: Values({name: states.row(name)}))


class _States:
    """The chosen states of a run, a segment at a time, with the ledger's rows of the same steps."""

    def __init__(self, store: Store, simulator: SimulatorView, rows: Mapping[str, Array]) -> None:
        self._store, self._role, self._rows = store, simulator.role, rows
        first = next(trajectory.segments(store, simulator.role), None)
        if first is None:
            raise BadSetting("there are no stored states yet", str(store.root))
        isotopes = simulator.setting("system.isotopes") or {}
        self.system = System(
            numbers=first.numbers,
            masses_amu=masses_of(first.numbers, isotopes),
            pbc=first.pbc,
            temperature_K=float(simulator.setting("sampler.ensemble.temperature_K")),
            ensemble=str(simulator.setting("sampler.ensemble.name") or "nvt"),
            first=first.positions[0, 0],
            first_cell=first.cell,
        )

    def __iter__(self) -> Iterator[States]:
        step = self._rows["step"]
        found = 0
        for segment in trajectory.segments(self._store, self._role, int(step[0])):
            chosen = trajectory.select(segment, np.isin(segment.step, step))
            place = np.searchsorted(step, chosen.step)
            if len(chosen):
                found += len(chosen)
                table = {name: column[place] for name, column in self._rows.items() if name != "step"}
                yield States(chosen.step, chosen.positions, chosen.cells, table)
        if not found:
            raise BadSetting("no closed segment holds these steps yet", str(self._store.root))


def _rows(simulator: SimulatorView, phase: str, stride: int) -> dict[str, Array]:
    """The ledger's observables (T, W) of the chosen steps by name, and "step" (T,)."""
    if phase not in PHASES:
        raise BadSetting(f"phase must be one of {', '.join(PHASES)}, got {phase!r}")
    if stride < 1:
        raise BadSetting(f"stride must be at least 1, got {stride}")
    rows = results.quoted_block(simulator)[1] if phase == "production" else ledgers.in_phase(simulator.ledger, phase)
    if not len(rows):
        raise BadSetting(f"{simulator.name} has no steps in {phase}", next="look at `renkei status`")
    if thermo.LOG_WEIGHT in rows.observables:
        raise BadSetting("this chain samples another ensemble (log_weight); analyze does not reweight", simulator.role)
    step = ledgers.by_walker(rows, rows.step)[::stride, 0]
    return {"step": step} | {name: ledgers.by_walker(rows, values)[::stride] for name, values in rows.observables.items()}


def _merged(values: Sequence[Values]) -> Values:
    series = {name: column for one in values for name, column in one.series.items()}
    return Values(series, {name: part for one in values for name, part in one.curves.items()})


def _average(name: str, series: Array) -> Average:
    return Average(results.unit_of(name), statistics.estimate(series), statistics.split_r_hat(series), series)


def _refusal(ess: float) -> str:
    if ess >= FEWEST_SAMPLES:
        return ""
    told = f"{ess:.0f} effective samples" if np.isfinite(ess) else "too few states for an error"
    return f"not quoted: {told}, at least {FEWEST_SAMPLES} wanted"
