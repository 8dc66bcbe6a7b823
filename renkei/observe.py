"""Observables anew from the stored states of a run: a segment at a time, with errors, in arrays or in an HDF5 file."""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from kernels import statistics
from kernels.arrays import Array
from kernels.reweighting import WeightHealth, reweighted, weight_health
from kernels.statistics import Estimate
from protocol.errors import BadSetting
from protocol.setting_errors import nearest
from protocol.store import Store
from renkei import results, trajectory
from renkei.analysis import burn_in, thermo
from renkei.analysis import ledger as ledgers
from renkei.analysis.block_sums import BlockSums, CurveEstimate
from renkei.analysis.ledger import Ledger
from renkei.combine import combined
from renkei.observables.base import Axis, Observable, States, System, Values
from renkei.run_view import SimulatorView
from sim_daemon.system import masses_of

FOLDER = Path(__file__).parent / "observables"
PHASES = ("production", "adapt")


@dataclass(frozen=True)
class Average:
    """A number of every state (series), or one that is no plain average of one (series None)."""

    unit: str
    estimate: Estimate
    r_hat: float  # NaN where there is no series
    series: Array | None  # (T, W), as the states have them: without weights
    weights: WeightHealth | None = None  # None: all states weigh the same
    beside: Estimate | None = None  # of the chain beside two levels, which has to agree
    alarm: float = statistics.ALARM  # standard errors at which it does not

    @property
    def refusal(self) -> str:
        """Why the mean is not to be quoted; "" where it is."""
        if self.beside is not None:
            gap = self.estimate.mean - self.beside.mean
            error = math.hypot(self.estimate.stderr, self.beside.stderr)
            if not abs(gap) <= self.alarm * error + 1e-10 * abs(self.estimate.mean):
                told = f"{self.estimate.mean:.6g}, but {self.beside.mean:.6g} in the chain beside it"
                return f"not quoted: {told}" + (f", z = {gap / error:.1f}" if error > 0 else "")
        return _refusal(self.estimate.effective, self.weights)


@dataclass(frozen=True)
class Curve:
    """A function of a distance, an angle, ..."""

    axis: Axis
    estimate: CurveEstimate
    weights: WeightHealth | None = None

    @property
    def refusal(self) -> str:
        """Why the curve is not to be quoted; "" where it is."""
        return _refusal(self.estimate.ess, self.weights)


@dataclass(frozen=True)
class Findings:
    """What observables found in T states of W walkers."""

    step: Array  # (T,) int
    averages: Mapping[str, Average]  # by name, the unit at its end
    curves: Mapping[str, Curve]
    weights: WeightHealth | None = None  # of the states; None: all weigh the same
    notes: tuple[str, ...] = ()  # what to say beside the numbers


@dataclass(frozen=True)
class Selection:
    """Which states of a simulator are gone through. Raises BadSetting for what cannot be."""

    phase: str = "production"  # the quoted block; "adapt": all steps of adapt, which are no equilibrium
    stride: int = 1  # every so many states
    skip: int = 0  # steps at the start that are left out; of one block alone
    temperature_K: float | None = None  # of a rung of a ladder; None: of the lowest one
    all_blocks: bool = False  # every full production block, each with the surrogate and alpha that it had (combine.py)
    chain: bool = False  # of a two-level block the chain beside it alone; others are chains

    def __post_init__(self) -> None:
        if self.phase not in PHASES:
            raise BadSetting(f"phase must be one of {', '.join(PHASES)}, got {self.phase!r}")
        if self.stride < 1:
            raise BadSetting(f"stride must be at least 1, got {self.stride}")
        if self.skip < 0:
            raise BadSetting(f"skip must be at least 0, got {self.skip}")
        if self.all_blocks and (self.phase != "production" or self.skip or self.temperature_K is not None):
            raise BadSetting("all blocks: of production only, from their starts, at the lowest rung", next="leave out the rest")


QUOTED = Selection()  # what the report quotes
Sink = Callable[[Array, Mapping[str, Array]], None]  # (steps (S,), series (S, W) by name) of one segment


def names() -> dict[str, str]:
    """Observable -> the first line of its file's docstring."""
    files = sorted(path for path in FOLDER.glob("[a-z]*.py") if path.stem != "base")
    return {path.stem: (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").partition("\n")[0] for path in files}


def observe(
    store: Store,
    simulator: SimulatorView,
    wanted: Sequence[str],
    selection: Selection = QUOTED,
    options: Mapping[str, Any] | None = None,
    sink: Sink | None = None,
) -> Findings:
    """Go once through the selected states of a simulator, those of a chain; observe_levels.py knows two levels.

    Where the rows have weights (`log_weight`), all means and curves are reweighted to the target.

    wanted: names of observables, or of numbers of the ledger.  options: for all of `wanted`.
    sink: is given every segment's series, with `log_weight` where there are weights.
    Raises BadSetting for what is unknown or not there.
    """
    phase, stride = selection.phase, selection.stride
    chosen, notes = combined(store, simulator) if selection.all_blocks else (_chosen(simulator, selection), ())
    notes += _approximations(chosen)
    rows = _rows(simulator, selection, chosen)
    logs = rows.pop(thermo.LOG_WEIGHT, None)
    health = _health(logs, phase)
    logs = None if health is None else logs
    highest = 0.0 if logs is None else float(logs.max())
    parts = StoredStates(store, simulator, chosen, rows)
    observables = [load(name, parts.system, rows, options or {}) for name in wanted]
    for name, observable in zip(wanted, observables, strict=True):
        if health and not observable.weighable:
            raise BadSetting(f"{name} compares states with one another, which weights cannot do", simulator.role)
    steps: list[Array] = []
    series: dict[str, list[Array]] = {}
    sums: dict[str, BlockSums] = {}
    for states in parts:
        found = merged([observable.add(states) for observable in observables])
        here = None if logs is None else logs[np.searchsorted(rows["step"], states.step)]
        share = None if here is None else np.exp(here - highest)
        for name, values in found.series.items():
            series.setdefault(name, []).append(values)
        for name, part in found.curves.items():
            sums.setdefault(name, BlockSums(*part.total.shape[1:])).add(part.total, part.weight, share)
        steps.append(states.step)
        if sink:
            sink(states.step, found.series if here is None else {**found.series, thermo.LOG_WEIGHT: here})
    step = np.concatenate(steps)
    whole = {name: np.concatenate(pieces) for name, pieces in series.items()}
    logs = None if logs is None else logs[np.searchsorted(rows["step"], step)]
    averages = {name: _average(name, values, logs, health) for name, values in whole.items()}
    for observable in observables:
        for name, estimate in observable.finish(whole, logs).items():
            averages[name] = Average(results.unit_of(name), estimate, np.nan, None, health)
    axes = {name: axis for observable in observables for name, axis in observable.axes.items()}
    curves = {name: Curve(axes[name], found.estimate(), health) for name, found in sums.items()}
    notes += _start({} if selection.all_blocks or phase != "production" else whole, stride)
    return Findings(step, averages, curves, health, notes)


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
        listed = [*names(), *sorted(set(rows) - {"step"})]
        near = nearest(name, listed)
        raise BadSetting(f"there is no observable {name!r}{near}", next="" if near else f"there are {', '.join(listed)}")
    return Observable(lambda states: Values({name: states.row(name)}))


class StoredStates:
    """The chosen states of a run, a segment at a time, with the ledger's rows of the same steps."""

    def __init__(self, store: Store, simulator: SimulatorView, chosen: Ledger, rows: Mapping[str, Array]) -> None:
        self._store, self._role, self._rows = store, simulator.role, rows
        self._walkers, kelvin = np.unique(chosen.walker), float(chosen.temperature_K[0])
        first = next(trajectory.segments(store, simulator.role), None)
        if first is None:
            raise BadSetting("there are no stored states yet", str(store.root))
        isotopes = simulator.setting("system.isotopes") or {}
        self.system = System(
            numbers=first.numbers,
            masses_amu=masses_of(first.numbers, isotopes),
            pbc=first.pbc,
            temperature_K=kelvin if np.isfinite(kelvin) else float(simulator.setting("sampler.ensemble.temperature_K")),
            ensemble=str(simulator.setting("sampler.ensemble.name") or "nvt"),
            first=first.positions[0, 0],
            first_cell=first.cell,
        )

    def __iter__(self) -> Iterator[States]:
        step = self._rows["step"]
        found = 0
        for segment in trajectory.segments(self._store, self._role, int(step[0])):
            chosen = trajectory.of_walkers(trajectory.select(segment, np.isin(segment.step, step)), self._walkers)
            place = np.searchsorted(step, chosen.step)
            if len(chosen):
                found += len(chosen)
                table = {name: column[place] for name, column in self._rows.items() if name != "step"}
                yield States(chosen.step, chosen.positions, chosen.cells, table)
        if not found:
            raise BadSetting("no closed segment holds these steps yet", str(self._store.root))


def _chosen(simulator: SimulatorView, selection: Selection) -> Ledger:
    if selection.phase == "production":
        rows = results.quoted_block(simulator, selection.temperature_K)[1]
    else:
        rows = ledgers.rung(ledgers.in_phase(simulator.ledger, selection.phase), selection.temperature_K)
    if not selection.skip or not len(rows):
        return rows
    steps = int(rows.step.max() - rows.step.min()) + 1
    if selection.skip >= steps:
        raise BadSetting(f"skip {selection.skip} leaves nothing of the {steps} steps in {selection.phase}", next="skip fewer")
    return ledgers.select(rows, rows.step >= rows.step.min() + selection.skip)


def _rows(simulator: SimulatorView, selection: Selection, rows: Ledger) -> dict[str, Array]:
    """The ledger's observables (T, W) of the chosen steps by name, and "step" (T,); without what none of these steps has."""
    if not len(rows):
        raise BadSetting(f"{simulator.name} has no steps in {selection.phase}", next="look at `renkei status`")
    step = ledgers.by_walker(rows, rows.step)[:: selection.stride, 0]
    columns = {name: ledgers.by_walker(rows, values)[:: selection.stride] for name, values in rows.observables.items()}
    return {"step": step} | {name: column for name, column in columns.items() if np.isfinite(column).any()}


def _approximations(rows: Ledger) -> tuple[str, ...]:
    return tuple(f"approximate: {name} stood for the target" for name in np.unique(rows.approximation) if name)


def _start(series: Mapping[str, Array], stride: int) -> tuple[str, ...]:
    found = burn_in.remembered(series)
    return (f"{found.told}: --skip {found.steps * stride} leaves them out",) if found else ()


def merged(values: Sequence[Values]) -> Values:
    """The values of several observables as one."""
    series = {name: column for one in values for name, column in one.series.items()}
    return Values(series, {name: part for one in values for name, part in one.curves.items()})


def _health(logs: Array | None, phase: str) -> WeightHealth | None:
    """None where all states weigh the same, and in adapt, whose states are no ensemble with weights or without."""
    if logs is None or phase != "production":
        return None
    if not np.isfinite(logs).all():
        raise BadSetting("some states have no weight (log_weight)", next="look at `renkei audit`")
    return weight_health(logs)


def _average(name: str, series: Array, logs: Array | None, health: WeightHealth | None) -> Average:
    estimate = statistics.estimate(series) if logs is None else reweighted(series, logs)
    return Average(results.unit_of(name), estimate, statistics.split_r_hat(series), series, health)


def _refusal(ess: float, weights: WeightHealth | None) -> str:
    if weights and weights.refusal:
        return f"not quoted: {weights.refusal}"
    if ess >= statistics.FEWEST_SAMPLES:
        return ""
    told = f"{ess:.0f} effective samples" if np.isfinite(ess) else "too few states for an error"
    return f"not quoted: {told}, at least {statistics.FEWEST_SAMPLES} wanted"
