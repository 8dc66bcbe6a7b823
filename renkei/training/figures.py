"""The figures of a training: learning curve, parity of energies and forces, errors by species and by size of force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kernels.arrays import Array
from renkei.canvas import COLOURS, GREY, Figure, canvas, figure
from renkei.labels.frames import Frame
from renkei.labels.parity import Predictions

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_POINTS = 20_000  # of one set in a parity plot
Sets = Mapping[str, tuple[Sequence[Frame], Predictions]]  # by name: training, validation, test


def draw(found: Mapping[str, Any], sets: Sets, references: Mapping[int, float]) -> list[Figure]:
    """Every figure that the numbers allow.

    found: content of train.json.  references: eV of an atom of each element, taken off the energies that are shown.
    """
    made = [
        learning(found["rows"], found["validations"], found["best"]["step"]),
        energies(sets, references),
        forces(sets),
        by_species(found["errors"]),
        by_force(found["errors"]),
    ]
    return [one for one in made if one is not None]


def learning(rows: Sequence[Mapping[str, Any]], validations: Sequence[Mapping[str, Any]], best: int) -> Figure | None:
    """Errors of energies and forces over the steps, both axes logarithmic."""
    kinds = (
        ("rmse_energy_meV_per_atom", "energy_rmse_meV_per_atom", "energy RMSE / (meV/atom)"),
        ("rmse_force_eV_per_A", "force_rmse_eV_per_A", "force RMSE / (eV/Å)"),
    )
    if not validations and not any((row.get(key) or 0.0) > 0.0 for row in rows for key, _, _ in kinds):
        return None
    with canvas(1, height=3.6, columns=2, width=11.0) as (drawing, axes):
        for axis, (training, validation, label) in zip(axes, kinds, strict=True):
            curves = (("training", rows, training), ("validation", validations, validation))
            for (name, source, key), colour in zip(curves, COLOURS, strict=False):
                points = [(row["step"], row[key]) for row in source if (row.get(key) or 0.0) > 0.0]
                if points:
                    axis.plot(*zip(*points, strict=True), color=colour, lw=1.4, marker="o", ms=3, label=name)
            if validations and best:
                axis.axvline(best, color=GREY, lw=1.0, ls=":", label=f"kept: step {best}")
            axis.set(xscale="log", yscale="log", xlabel="optimiser step", ylabel=label)
            axis.grid(which="minor", lw=0.4)
            if axis.get_legend_handles_labels()[0]:
                axis.legend(fontsize=9)
        told = "The dotted line marks the model that was kept, the best on the validation frames." if validations else ""
        return figure(drawing, "learning", "Learning curve", f"Errors while training. {told}".strip(), wide=True)


def energies(sets: Sets, references: Mapping[int, float]) -> Figure | None:
    """Energies per atom, predicted against given, without the reference energies of the elements."""
    series = {}
    for name, (frames, predictions) in sets.items():
        base = np.array([sum(references[int(z)] for z in frame.structure.numbers) for frame in frames])
        sizes = np.array([len(frame.forces) for frame in frames])
        given = np.array([frame.energy for frame in frames])
        series[name] = ((given - base) / sizes, (predictions.energies - base) / sizes)
    return _parity(series, "energies", "Energies", "eV/atom", "One fitted energy per element is taken off both.")


def forces(sets: Sets) -> Figure | None:
    """Components of the forces, predicted against given."""
    series = {
        name: (np.concatenate([f.forces.ravel() for f in frames]), np.concatenate([f.ravel() for f in predictions.forces]))
        for name, (frames, predictions) in sets.items()
    }
    return _parity(series, "forces", "Forces", "eV/Å", "Every component of every atom.")


def by_species(errors: Mapping[str, Any]) -> Figure | None:
    """Force errors by element."""
    names = list(dict.fromkeys(symbol for found in errors.values() for symbol in found["species"]))
    with canvas(1, height=3.2) as (drawing, axes):
        width = 0.8 / len(errors)
        for k, ((name, found), colour) in enumerate(zip(errors.items(), COLOURS, strict=False)):
            values = [found["species"].get(symbol, {}).get("force_rmse_eV_per_A", np.nan) for symbol in names]
            axes[0].bar(np.arange(len(names)) - 0.4 + (k + 0.5) * width, values, 0.92 * width, color=colour, label=name)
        axes[0].set_xticks(range(len(names)), names)
        axes[0].set_ylabel("force RMSE / (eV/Å)")
        axes[0].grid(axis="x", visible=False)
        axes[0].legend(fontsize=9, ncols=3, loc="lower left", bbox_to_anchor=(0, 1.0))
        return figure(drawing, "species", "Force errors by element", "Root mean square error of a component.")


def by_force(errors: Mapping[str, Any]) -> Figure | None:
    """Force errors by the size of the reference force."""
    with canvas(1, height=3.2) as (drawing, axes):
        for (name, found), colour in zip(errors.items(), COLOURS, strict=False):
            rows = [row for row in found["by_force"] if row["reference_rms_eV_per_A"] > 0]
            size = [np.sqrt(3.0) * row["reference_rms_eV_per_A"] for row in rows]
            axes[0].plot(size, [row["force_rmse_eV_per_A"] for row in rows], "o-", ms=4, color=colour, label=name)
        axes[0].set(xscale="log", yscale="log", xlabel="size of the reference force / (eV/Å)", ylabel="force RMSE / (eV/Å)")
        axes[0].legend(fontsize=9)
        return figure(
            drawing,
            "by-force",
            "Force errors by size",
            "Root mean square error of a component, by true force.",
        )


def _parity(series: Mapping[str, tuple[Array, Array]], name: str, title: str, unit: str, told: str) -> Figure | None:
    draw_from = np.random.default_rng(0)
    finite = [np.concatenate(pair)[np.isfinite(np.concatenate(pair))] for pair in series.values()]
    if not sum(map(len, finite)):
        return None
    low, high = float(min(map(np.min, finite))), float(max(map(np.max, finite)))
    room = 0.04 * (high - low) or 0.1
    limits = (low - room, high + room)
    with canvas(1, height=4.6, width=5.6) as (drawing, axes):
        axes[0].plot(limits, limits, color=GREY, lw=1.0, zorder=1)
        thinned = False
        for (label, (given, mine)), colour in zip(series.items(), COLOURS, strict=False):
            thinned |= len(given) > MOST_POINTS
            shown = draw_from.permutation(len(given))[:MOST_POINTS]
            _dots(axes[0], given[shown], mine[shown], colour, f"{label}: RMSE {_rmse(given, mine):.3g} {unit}")
        axes[0].set(xlabel=f"given / ({unit})", ylabel=f"predicted / ({unit})", xlim=limits, ylim=limits, aspect="equal")
        axes[0].legend(fontsize=9, loc="upper left", markerscale=2.0)
        told += f" At most {MOST_POINTS:,} points of a set are drawn." if thinned else ""
        return figure(drawing, name, title, told)


def _dots(axis: Axes, given: Array, mine: Array, colour: str, label: str) -> None:
    size = 14.0 if len(given) < 500 else 4.0
    axis.scatter(given, mine, s=size, color=colour, alpha=0.6 if len(given) < 500 else 0.35, lw=0, label=label, zorder=2)


def _rmse(given: Array, mine: Array) -> float:
    return float(np.sqrt(np.mean((given - mine) ** 2)))
