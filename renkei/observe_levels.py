"""Observables of a two-level block: over all states of the surrogate's run, corrected on its labelled rings, beside the chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from kernels import statistics, two_level
from kernels.arrays import Array
from kernels.reweighting import WeightHealth, weight_health
from protocol.errors import BadSetting
from protocol.store import Store
from renkei import results
from renkei.analysis import thermo
from renkei.analysis import two_level as levels
from renkei.analysis.ledger import Ledger, by_walker, production_blocks
from renkei.analysis.level_sums import LevelSums
from renkei.analysis.verdict import Outcome
from renkei.observables.base import Observable, Part, States, Values, no_more
from renkei.observe import QUOTED, Average, Curve, Findings, Selection, Sink, StoredStates, load, merged, observe
from renkei.run_view import SimulatorView

LEVELS_NOTE = (
    "two levels: {samples} samples of the surrogate's run, {rings} of them labelled; each mean is compared with the chain"
)


def observe_quoted(
    store: Store,
    simulator: SimulatorView,
    wanted: Sequence[str],
    selection: Selection = QUOTED,
    options: Mapping[str, Any] | None = None,
    sink: Sink | None = None,
) -> Findings:
    """What the report quotes: two levels where the quoted block has them, else as `observe`, whose arguments these are.

    Raises BadSetting as `observe` does, and for a selection of some of the states of two levels.
    """
    of_chain = selection.phase != "production" or selection.chain or selection.all_blocks
    block = None if of_chain else _levels(simulator)
    if block is None:
        return observe(store, simulator, wanted, selection, options, sink)
    if selection.stride != 1 or selection.skip:
        raise BadSetting("--stride and --skip are for chains: two levels need every state", next="leave them out, or add --chain")
    found = _observe(store, simulator, block, wanted, options or {}, sink)
    beside = observe(store, simulator, wanted, options=options).averages
    return replace(found, averages=_judged(found.averages, beside))


def _levels(simulator: SimulatorView) -> Ledger | None:
    """The quoted block, if it is one of two levels with enough rings."""
    number = results.quoted_block(simulator)[0]
    block = production_blocks(simulator.ledger).get(-1 if number is None else number)
    if block is None or not levels.applies(block):
        return None
    rings = _labelled(block).sum() * len(np.unique(block.walker))
    return block if rings >= statistics.FEWEST_BLOCKS else None


def _labelled(block: Ledger) -> Array:
    """(T,) bool: steps at which the rings of all walkers were labelled."""
    return np.asarray(np.isfinite(levels.weights_of(block)).all(axis=1))


def _observe(
    store: Store, simulator: SimulatorView, block: Ledger, wanted: Sequence[str], options: Mapping[str, Any], sink: Sink | None
) -> Findings:
    run, labelled = levels.run_of(block), _labelled(block)
    logs = np.where(labelled[:, None], levels.weights_of(block), np.nan)
    surrogate, target = _tables(run)
    parts = StoredStates(store, simulator, run, surrogate)
    observables = [load(name, parts.system, surrogate, options) for name in wanted]
    for name, observable in zip(wanted, observables, strict=True):
        if not observable.weighable:
            raise BadSetting(f"{name} compares states with one another, which weights cannot do", next="add --chain")
        if observable.finish is not no_more and observable.finish_levels is None:
            raise BadSetting(f"{name} is no plain average, and does not say what it is of two levels", next="add --chain")
    pass_ = _Pass(surrogate["step"], logs, target, sink)
    for states in parts:
        pass_.take(states, observables)
    first, second = pass_.joined()
    logs = logs[pass_.places()]
    health = weight_health(logs[np.isfinite(logs)])
    averages = {name: _average(name, first[name], second[name], logs, health) for name in first}
    for observable in observables:
        if observable.finish_levels is not None:
            for name, estimate in observable.finish_levels(first, second, logs).items():
                averages[name] = Average(results.unit_of(name), estimate, np.nan, None, health)
    axes = {name: axis for observable in observables for name, axis in observable.axes.items()}
    curves = {name: Curve(axes[name], sums.estimate(), health) for name, sums in pass_.sums.items()}
    notes = (LEVELS_NOTE.format(samples=logs.size, rings=int(np.isfinite(logs).sum())), *_gate(block))
    return Findings(surrogate["step"][pass_.places()], averages, curves, health, notes)


def _tables(run: Ledger) -> tuple[dict[str, Array], dict[str, Array]]:
    """The ledger's numbers (T, W) of all samples with the surrogate's energies and forces, and with the target's, by name."""
    step = {"step": by_walker(run, run.step)[:, 0]}
    columns = {name: by_walker(run, values) for name, values in run.observables.items() if name != thermo.LOG_WEIGHT}
    known = {name.removeprefix(levels.SURROGATE) for name in columns if name.startswith(levels.SURROGATE)}
    return step | {name: columns[f"{levels.SURROGATE}{name}"] for name in known}, step | {name: columns[name] for name in known}


class _Pass:
    """One way through the states of a run."""

    def __init__(self, step: Array, logs: Array, target: Mapping[str, Array], sink: Sink | None) -> None:
        self._step, self._logs, self._target, self._sink = step, logs, target, sink
        self._highest = float(np.nanmax(logs))
        self._places: list[Array] = []
        self._first: dict[str, list[Array]] = {}
        self._second: dict[str, list[Array]] = {}
        self.sums: dict[str, LevelSums] = {}

    def take(self, states: States, observables: Sequence[Observable]) -> None:
        """The states of one segment, by the surrogate, and the labelled ones by the target too."""
        place = np.searchsorted(self._step, states.step)
        chosen = np.flatnonzero(np.isfinite(self._logs[place]).all(axis=1))
        here = merged([observable.add(states) for observable in observables])
        there = self._of_target(states, chosen, place, observables)
        second = {}
        for name, values in here.series.items():
            second[name] = np.full(values.shape, np.nan)
            if len(chosen):
                second[name][chosen] = there.series[name]
            self._first.setdefault(name, []).append(values)
            self._second.setdefault(name, []).append(second[name])
        for name, part in here.curves.items():
            shape = part.total.shape[1:]
            sums = self.sums.setdefault(name, LevelSums(len(self._step), *shape))
            sums.add(place, part.total, np.broadcast_to(part.weight, part.total.shape))
            if len(chosen):
                self._label(sums, place[chosen], Part(part.total[chosen], part.weight[chosen]), there.curves[name])
        self._places.append(place)
        if self._sink:
            by_surrogate = {f"{levels.SURROGATE}{name}": values for name, values in here.series.items()}
            self._sink(states.step, {**by_surrogate, **second, thermo.LOG_WEIGHT: self._logs[place]})

    def _of_target(self, states: States, chosen: Array, place: Array, observables: Sequence[Observable]) -> Values:
        if not len(chosen):
            return Values()
        rows = {name: column[place[chosen]] for name, column in self._target.items() if name != "step"}
        rings = States(states.step[chosen], states.positions[chosen], states.cells[chosen], rows)
        return merged([observable.add(rings) for observable in observables])

    def _label(self, sums: LevelSums, place: Array, surrogate: Part, target: Part) -> None:
        pairs = (surrogate.total, surrogate.weight), (target.total, target.weight)
        sums.add_labelled(place, *pairs, np.exp(self._logs[place] - self._highest))

    def places(self) -> Array:
        """Which steps of the run had a stored state."""
        return np.concatenate(self._places)

    def joined(self) -> tuple[dict[str, Array], dict[str, Array]]:
        """All series (T, W), by the surrogate and by the target (NaN where not labelled)."""
        first, second = ({name: np.concatenate(parts) for name, parts in level.items()} for level in (self._first, self._second))
        return first, second


def _average(name: str, first: Array, second: Array, logs: Array, health: WeightHealth) -> Average:
    found = two_level.combine(first, second, logs)
    return Average(results.unit_of(name), found.whole, statistics.split_r_hat(first), first, health)


def _judged(averages: Mapping[str, Average], beside: Mapping[str, Average]) -> dict[str, Average]:
    """The averages with those of the chain; the alarm is shared by all of them."""
    alarm = statistics.shared_alarm(statistics.ALARM, max(1, len(averages)))
    return {
        name: replace(one, beside=beside[name].estimate if name in beside else None, alarm=alarm)
        for name, one in averages.items()
    }


def _gate(block: Ledger) -> tuple[str, ...]:
    """What of the gate does not hold, as far as the ledger tells."""
    return tuple(f"do not quote: {check.said}" for check in levels.gate(block) if check.outcome is Outcome.FAILS)
