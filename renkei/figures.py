"""The figures of a report as PNG bytes: drawn from tables, and left out where there is no table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from scipy.stats import norm

from kernels.arrays import Array
from renkei.analysis import path_integral, structure, thermo
from renkei.analysis.ledger import Ledger, by_walker, decided
from renkei.canvas import COLOURS, GREY, INK, PALE, Figure, canvas, figure
from renkei.digits import pair
from renkei.run_view import DaemonView, RunView, SimulatorView
from renkei.trajectory import Trajectory

LARGEST_STATES = 400  # structures that a pair distribution looks at, beads apart
PAIR_REACH_A = 6.0  # of g(r)


def draw(view: RunView, simulator: SimulatorView, block: Ledger, states: Trajectory | None) -> list[Figure]:
    """Every figure of one simulator that its data allow.

    block: rows of the quoted production block.  states: its states, None while there are none.
    """
    logs = None if states is None else thermo.state_weights(block, states.step)
    makers: list[Callable[[], Figure | None]] = [
        lambda: acceptance(view, simulator),
        lambda: energies(block),
        lambda: distribution_of_dH(block),
        lambda: gyration(block),
        lambda: pairs(states, logs),
        lambda: bonds(states, logs),
        lambda: balance([*view.simulators, *([view.trainer] if view.trainer else [])]),
    ]
    return [found for make in makers if (found := make()) is not None]


def acceptance(view: RunView, simulator: SimulatorView) -> Figure | None:
    """Running acceptance over time with production shaded and swaps marked, above the held-out errors."""
    rows = decided(simulator.ledger)
    if not len(rows):
        return None
    minutes = _minutes(rows)
    errors = [row for row in (view.trainer.published if view.trainer else []) if row.get("unix") is not None]
    errors = [row for row in errors if row.get("heldout_force_rmse_eV_per_A") is not None]
    with canvas(2 if errors else 1, height=4.8 if errors else 2.9, width=11.0) as (drawing, axes):
        _, share = thermo.running_acceptance(rows)
        _shade_production(axes, rows, minutes)
        axes[0].plot(minutes, share, lw=1.6)
        axes[0].set(ylim=(-0.02, 1.05), ylabel="acceptance\n(last 25 steps)")
        _mark_swaps(axes[0], rows, minutes)
        if errors:
            _heldout(axes[1], errors, float(np.nanmin(rows.unix)))
        axes[-1].set_xlabel("time since the first step / min")
        return figure(
            drawing,
            "acceptance",
            "Acceptance and model error",
            "Running acceptance; dotted lines mark swaps to generation g (FP: first principles alone), shading marks production."
            + (" Below: errors of each published generation on held-out blocks." if errors else ""),
            wide=True,
        )


def energies(block: Ledger) -> Figure | None:
    """Means of the primitive and virial energies as they settle, with their errors."""
    series = [(name, block.observables.get(f"energy_{name}_eV")) for name in ("primitive", "virial")]
    found = [(name, values) for name, values in series if values is not None and len(values) > 1]
    if len(found) < 2:
        return None
    averages = thermo.averages(block)
    level = averages["energy_virial_eV"].mean
    with canvas(1, height=3.4) as (drawing, axes):
        logs = thermo.log_weights(block)
        logs = logs if logs is not None and np.isfinite(logs).all() else None  # the chain beside two levels has none
        for (name, values), colour in zip(found, COLOURS, strict=False):
            columns = by_walker(block, values)
            weights = np.ones_like(columns) if logs is None else np.exp(logs - logs.max())
            so_far = np.cumsum((weights * columns).sum(axis=1)) / np.cumsum(weights.sum(axis=1))
            mean, error = averages[f"energy_{name}_eV"].mean, averages[f"energy_{name}_eV"].stderr
            axes[0].plot(1e3 * (so_far - level), lw=1.6, color=colour, label=f"{name}: {pair(mean, error)} eV")
            axes[0].axhspan(1e3 * (mean - level - error), 1e3 * (mean - level + error), color=colour, alpha=0.18, lw=0)
        _settled_limits(axes[0], len(block))
        axes[0].set(xlabel="step of the block", ylabel=f"mean so far − ({level:.3f} eV) / meV")
        axes[0].legend(loc="upper right", fontsize=9)
        return figure(
            drawing,
            "energies",
            "Energy, two estimators",
            "Means of the quoted block as they settle, with their final standard errors as bands. The two must agree.",
        )


def distribution_of_dH(block: Ledger) -> Figure | None:
    """Histogram of beta dH beside the Gaussian that exactness asks for."""
    values = -block.log_ratio[np.isfinite(block.log_ratio)]
    if len(values) < 10:
        return None
    low, high = np.quantile(values, [0.005, 0.995])
    with canvas(1, height=3.2) as (drawing, axes):
        shown = np.clip(values, low, high)
        axes[0].hist(shown, bins=min(50, 8 + len(values) // 10), density=True, color=COLOURS[0], alpha=0.55)
        width = float(values.std())
        if width > 1e-9:
            x = np.linspace(low, high, 300)
            label = "Gaussian with mean = variance / 2"
            axes[0].plot(x, norm.pdf(x, 0.5 * width**2, width), color=COLOURS[1], lw=1.6, label=label)
            axes[0].legend(fontsize=9, loc="upper right")
            axes[0].set_ylim(0, 1.2 * axes[0].get_ylim()[1])
        axes[0].set(xlabel=r"$\beta\,\Delta H$", ylabel="density")
        creutz = thermo.exp_minus_beta_dH(block)
        told = f"⟨exp(−βΔH)⟩ = {pair(creutz.mean, creutz.stderr)}; it is 1 for an exact sampler."
        return figure(drawing, "dH", "Energy error of the proposals", told)


def gyration(block: Ledger) -> Figure | None:
    """Radius of gyration of the rings by element, step by step, with means."""
    prefix = "radius_of_gyration_"
    found = {name: values for name, values in block.observables.items() if name.startswith(prefix) and np.any(values)}
    if not found or len(block) < 2:
        return None
    averages = thermo.averages(block)
    with canvas(1, height=3.0) as (drawing, axes):
        for (name, values), colour in zip(found.items(), COLOURS, strict=False):
            symbol, mean = name.removeprefix(prefix).removesuffix("_A"), averages[name]
            axes[0].plot(by_walker(block, values).mean(axis=1), lw=0.7, alpha=0.5, color=colour)
            axes[0].axhline(mean.mean, color=colour, lw=1.6, label=f"{symbol}: {pair(mean.mean, mean.stderr)} Å")
        axes[0].set(xlabel="step of the block", ylabel="radius of gyration / Å", ylim=(0, None))
        axes[0].legend(fontsize=9, loc="lower right", ncols=2)
        return figure(
            drawing, "gyration", "Quantum spread", "Root of the mean squared radius of gyration of the rings, by element."
        )


def pairs(states: Trajectory | None, logs: Array | None = None) -> Figure | None:
    """g(r) of a crystal or liquid, the distribution of pair distances of a cluster.  logs: of the states' weights, (S, W)."""
    if states is None:
        return None
    rings, cells = _chosen(states, logs)
    reach = PAIR_REACH_A if states.pbc.any() else 1.02 * _widest(rings)
    found = structure.pair_distributions(rings, states.numbers, cells, states.pbc, max(reach, 0.5))
    if not found:
        return None
    with canvas(1, height=3.2) as (drawing, axes):
        for one, colour in zip(found, COLOURS * 4, strict=False):
            axes[0].plot(one.distance, one.value, lw=1.4, color=colour, label=one.pair)
        axes[0].set(xlabel="r / Å", ylabel="g(r)" if found[0].is_g else "pair distances / Å$^{-1}$", xlim=(0, reach))
        top = max(float(np.max(one.value)) for one in found)
        axes[0].set_ylim(0, 1.05 * min(top, 8 * max(float(np.median([np.max(one.value) for one in found])), 1e-9)))
        axes[0].legend(fontsize=9)
        told = (
            "Radial distribution functions, all images counted." if found[0].is_g else "Distances of all pairs, normalised to 1."
        )
        return figure(drawing, "pairs", "Pair distances", told + " Every bead counts as one structure.")


def bonds(states: Trajectory | None, logs: Array | None = None) -> Figure | None:
    """Distributions of bond lengths and bond angles over beads and steps.  logs: of the states' weights, (S, W)."""
    if states is None:
        return None
    first = path_integral.centroids(states.positions[0, 0])
    known = structure.find_bonds(first, states.numbers, states.cell, states.pbc)
    rings, cells = _chosen(states, logs)
    lengths = structure.in_own_cells(lambda x, cell: structure.bond_lengths(known, x, cell, states.pbc), rings, cells)
    angles = structure.in_own_cells(
        lambda x, cell: structure.bond_angles(known, x, states.numbers, cell, states.pbc), rings, cells
    )
    if not lengths:
        return None
    with canvas(1, height=3.2, columns=2 if angles else 1) as (drawing, axes):
        _histograms(axes[0], lengths, "bond length / Å", "Å")
        if angles:
            _histograms(axes[1], angles, "bond angle / °", "°")
        told = (
            "Bonds are those of the first state. Centroids would be narrower: the width is thermal and quantum motion together."
        )
        return figure(drawing, "bonds", "Bond lengths and angles", told)


def balance(daemons: Sequence[DaemonView]) -> Figure | None:
    """Where the wall time of each job went."""
    shown = [daemon for daemon in daemons if sum(daemon.activities.values()) > 0]
    if not shown:
        return None
    names = list(dict.fromkeys(name for daemon in shown for name in daemon.activities))
    colours = dict(zip([name for name in names if name not in PALE], COLOURS * 3, strict=False)) | dict(PALE)
    with canvas(1, height=1.3 + 0.5 * len(shown)) as (drawing, axes):
        for row, daemon in enumerate(shown):
            _bar(axes[0], row, daemon.activities, colours)
        labels = ["trainer" if daemon.role == "train" else daemon.role.partition("/")[2] for daemon in shown]
        axes[0].set_yticks(range(len(shown)), labels)
        axes[0].set(xlabel="wall time / s", ylim=(len(shown) - 0.5, -0.5))
        axes[0].grid(axis="y", visible=False)
        named = [n for n in names if any(d.activities.get(n, 0.0) > 0.005 * sum(d.activities.values()) for d in shown)]
        handles = [Patch(color=colours[name]) for name in named]
        axes[0].legend(handles, named, ncols=min(4, len(named)), loc="lower left", bbox_to_anchor=(0, 1.0), fontsize=9)
        return figure(
            drawing, "balance", "Where the time went", "All starts of each job together; each bar is its whole wall time."
        )


def _settled_limits(axis: Axes, steps: int) -> None:
    """Show what the curves do after their first twentieth: the first few steps would hide the rest."""
    drawn = [np.asarray(line.get_ydata())[steps // 20 :] for line in axis.get_lines()]
    values = np.concatenate([curve for curve in drawn if len(curve)] or [np.zeros(1)])
    room = 0.35 * float(np.ptp(values)) + 1e-6
    axis.set_ylim(float(values.min()) - room, float(values.max()) + 2 * room)


def _bar(axis: Axes, row: int, activities: Mapping[str, float], colours: Mapping[str, str]) -> None:
    total, left = sum(activities.values()), 0.0
    for name, seconds in activities.items():
        axis.barh(row, seconds, left=left, color=colours[name], height=0.62)
        if seconds > 0.06 * total:
            ink = INK if name in PALE else "white"
            axis.text(left + seconds / 2, row, f"{seconds / total:.0%}", ha="center", va="center", fontsize=9, color=ink)
        left += seconds


def _histograms(axis: Axes, series: Mapping[str, Array], label: str, unit: str) -> None:
    for (name, values), colour in zip(series.items(), COLOURS * 4, strict=False):
        text = f"{name}: {values.mean():.3f} {unit}" if unit == "Å" else f"{name}: {values.mean():.1f}{unit}"
        axis.hist(values.ravel(), bins=80, density=True, histtype="stepfilled", alpha=0.35, color=colour, label=text)
    axis.set(xlabel=label, ylabel="density", ylim=(0, (1.08 + 0.09 * len(series)) * axis.get_ylim()[1]))
    axis.legend(fontsize=9, loc="upper right")


def _mark_swaps(axis: Axes, rows: Ledger, minutes: Array) -> None:
    """A dotted line at every swap, named where there is room."""
    free_from = -np.inf
    for time, generation in _swaps(rows, minutes):
        axis.axvline(time, color=GREY, lw=0.8, ls=":")
        if time >= free_from:
            axis.text(time, 1.06, f"g{generation}" if generation >= 0 else "FP", fontsize=8, color=INK, ha="center", va="bottom")
            free_from = time + 0.03 * (minutes[-1] - minutes[0])


def _heldout(axis: Axes, rows: Sequence[Mapping[str, Any]], origin: float) -> None:
    """Held-out force and energy errors of the published generations."""
    times = [(row["unix"] - origin) / 60 for row in rows]
    axis.plot(times, [1e3 * row["heldout_force_rmse_eV_per_A"] for row in rows], "o-", ms=4, label="forces, meV/Å")
    energy = [float(value) for row in rows if (value := row.get("heldout_energy_rmse_meV_per_atom")) is not None]
    if len(energy) == len(rows):
        axis.plot(times, energy, "s-", ms=4, label="energy, meV/atom")
    axis.set_yscale("log")
    axis.set_ylabel("held-out\nRMS error")
    axis.legend(fontsize=9, ncols=2)


def _shade_production(axes: Sequence[Axes], rows: Ledger, minutes: Array) -> None:
    production = np.zeros(len(minutes), dtype=bool)
    production[np.searchsorted(np.unique(rows.step), rows.step[rows.phase == "production"])] = True
    edges = np.flatnonzero(np.diff(np.concatenate([[0], production.astype(np.int8), [0]])))
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        for axis in axes:
            axis.axvspan(minutes[start], minutes[end - 1], color=COLOURS[2], alpha=0.09, lw=0)


def _minutes(rows: Ledger) -> Array:
    """Time of every step since the first, (K,) min, by the simulator's own clock."""
    _, first = np.unique(rows.step, return_index=True)
    return np.asarray((rows.unix[first] - np.nanmin(rows.unix)) / 60)


def _swaps(rows: Ledger, minutes: Array) -> Iterator[tuple[float, int]]:
    """Times (min) at which another generation took over for good; single rescue moves are not marked."""
    _, first = np.unique(rows.step, return_index=True)
    generations = rows.generation[first]
    newest = -2
    for time, generation in zip(minutes, generations, strict=True):
        if generation > newest:
            newest = int(generation)
            yield float(time), newest


def _chosen(states: Trajectory, logs: Array | None) -> tuple[Array, Array]:
    """Rings (R, P, N, 3) A of evenly chosen states and their cells (R, 3, 3) A; evenly in summed weights, if there are some."""
    rings, cells = states.positions.reshape(-1, *states.positions.shape[2:]), states.cells.reshape(-1, 3, 3)
    walkers = states.positions.shape[1]
    places = np.arange(len(rings)).reshape(-1, walkers)[:: max(1, len(states) // LARGEST_STATES)].ravel()
    if logs is not None:
        count = min(logs.size, LARGEST_STATES)
        summed = np.cumsum(np.exp(logs - logs.max()).ravel())
        places = np.searchsorted(summed, (np.arange(count) + 0.5) / count * summed[-1])
    return rings[places], cells[places]


def _widest(rings: Array) -> float:
    """An upper bound of all distances within a structure, A; rings: (R, P, N, 3) A."""
    return float(np.linalg.norm(np.ptp(rings, axis=2), axis=-1).max())
