"""Kolmogorov-Arnold potentials (format "kan"): splines of distances and of cosines, summed about an atom, below a small network.

The model, its equations and its file are in kernels/kan_model.py. The cut-off functions are multiplied to the splines, exactly:
value and slope are 0 at the cut-off, and the force is the derivative of the very splines that make the energy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kernels import ewald
from kernels.arrays import Array
from kernels.baseline import Baseline, push_pairs, scaled
from kernels.chebyshev import BLOCK
from kernels.descriptors.base import Chebyshev, kinds
from kernels.descriptors.numba_cpu import plan_of
from kernels.jit import entry, kernel
from kernels.kan_model import KanModel, read
from kernels.moments import distribute, raised
from kernels.native import Loops
from kernels.neighborhood import BY_COS, BY_D, BY_WEIGHT, COS, SLOPE, WEIGHT, Around, F, X, fitting, gather, workspace
from kernels.neighbors.base import Lattice, lattice
from kernels.neighbors.numba_cpu import is_usable, search
from kernels.network import Networks, energy_and_gradient, networks
from kernels.plan import Plan
from kernels.potentials.base import Evaluation
from kernels.splines import contract, look_up, look_up_each, many, pool

NO_PAIRS = Baseline(np.zeros((0, 0)), np.zeros((0, 0)), 1.0)


class Functions(NamedTuple):
    """The splines of a model, as compiled loops take them."""

    radial: Array  # (S, S, K, H)
    angular: Array  # (S, P, pairs, K', H)


@dataclass(frozen=True)
class Kan:
    """The potential of one model."""

    model: KanModel
    generation: int
    species: tuple[int, ...] = field(init=False)
    cutoff: float = field(init=False)
    _surroundings: Chebyshev = field(init=False, repr=False)  # says how neighbours are sorted and cut off
    _networks: Networks = field(init=False, repr=False)
    _baseline: Baseline = field(init=False, repr=False)  # in the networks' unit
    _functions: Functions = field(init=False, repr=False)
    _loops: Loops | None = field(init=False, repr=False, compare=False)  # None: in Numba

    def __post_init__(self) -> None:
        """Lay the parameters out for the loops."""
        model = self.model
        cuts = float(model.radial_cutoff_A), 0, float(model.angular_cutoff_A)
        unit = np.eye(model.functions)
        layers = tuple(((unit, bias), *stack) for bias, stack in zip(model.bias, model.layers, strict=True))
        ones = np.ones(np.shape(model.bias))
        walls = NO_PAIRS if model.baseline is None else scaled(model.baseline, 1 / model.energy_scale_eV)
        functions = Functions(*(np.array(part, np.float64, order="C") for part in (model.radial, model.angular)))
        object.__setattr__(self, "species", model.species)
        object.__setattr__(self, "cutoff", 0.0 if model.charges else model.radial_cutoff_A)
        object.__setattr__(self, "_surroundings", Chebyshev(model.species, "species_resolved", 0, *cuts, model.powers))
        object.__setattr__(self, "_networks", networks(layers, model.activation, 0 * ones, ones))
        object.__setattr__(self, "_baseline", walls)
        object.__setattr__(self, "_functions", functions)
        object.__setattr__(self, "_loops", in_compiled_kernels(model, self._baseline))

    def evaluate(self, positions: Array, numbers: Array, cell: Array, pbc: Array) -> Evaluation:
        """Energies and forces; stress where all three directions are periodic. Positions not finite give NaN.

        positions: (B, N, 3) A.  numbers: (N,).  cell: (3, 3) A.  pbc: (3,) bool.  Raises ValueError for a species not known.
        """
        positions = np.array(positions, dtype=np.float64, order="C")
        if positions.shape[1:] != (len(numbers), 3):
            raise ValueError(f"positions has shape {positions.shape}, expected (structures, {len(numbers)}, 3)")
        species = kinds(self._surroundings, numbers)
        if self._loops is None:
            box, plan = lattice(cell, pbc), plan_of(self._surroundings)
            raw, forces, virial = evaluate_in_numba(
                positions, species, box, plan, self._functions, self._networks, self._baseline
            )
        else:
            raw, _, forces, virial = self._loops.energy(positions, numbers, cell, pbc)
        scale = float(self.model.energy_scale_eV)
        energy = scale * raw + float(np.sum(np.asarray(self.model.reference_eV)[species]))
        stress = -scale * virial / abs(np.linalg.det(cell)) if np.all(pbc) else None
        return ewald.added(Evaluation(energy, scale * forces, stress), self.model.charges, positions, species, cell, pbc)


def in_compiled_kernels(model: KanModel, baseline: Baseline, single: bool = False) -> Loops | None:
    """The compiled kernels for a model, or None where they are not.

    They see a network on moments of B-splines (kernels/descriptors/base.py), whose first layer is the tables.
    baseline: the two-body energy in the networks' unit.  single: features and derivatives in float32.
    """
    cuts = float(model.radial_cutoff_A), model.angular.shape[3] - 1, float(model.angular_cutoff_A)
    d = Chebyshev(model.species, "species_resolved", model.radial.shape[2] - 1, *cuts, model.powers, "bspline")
    layers = []
    for radial, angular, bias, stack in zip(model.radial, model.angular, model.bias, model.layers, strict=True):
        rows = (*radial.reshape(-1, model.functions), *angular.reshape(-1, model.functions))
        layers.append(((np.stack(rows, axis=1), bias), *stack))
    zeros = np.zeros((len(layers), d.length))
    pairs = None if model.baseline is None else baseline
    try:
        return Loops(d, networks(tuple(layers), model.activation, zeros, 1 + zeros), single, pairs)
    except ValueError:
        return None


@entry
def evaluate_in_numba(
    positions: Array, species: Array, box: Lattice, plan: Plan, functions: Functions, net: Networks, baseline: Baseline
) -> tuple[Array, Array, Array]:
    """Sum of network outputs and baseline (B,), forces (B, N, 3) and virial (B, 3, 3) in the same unit; one pass over each atom.

    positions: (B, N, 3) A.  species: (N,) places in the model's list.
    """
    structures, atoms, width = positions.shape[0], positions.shape[1], functions.radial.shape[3]
    energy, forces, virial = np.zeros(structures), np.zeros((structures, atoms, 3)), np.zeros((structures, 3, 3))
    sums, gradient = np.empty(width), np.empty(width)
    scratch = np.empty(max(functions.radial.shape[2], functions.angular.shape[3]))
    nodes, slopes = np.empty((net.sizes.shape[1], net.widest)), np.empty((net.sizes.shape[1], net.widest))
    around = workspace(plan, 0, 0)
    for b in range(structures):
        if not is_usable(positions[b]):
            energy[b], forces[b], virial[b] = np.nan, np.nan, np.nan
            continue
        found = search(positions[b], box, plan.radial_cutoff)
        around = fitting(around, plan, found)
        for i in range(atoms):
            s = species[i]
            gather(plan, around, found, species, i)
            _pool(plan, around, functions.radial[s], functions.angular[s], scratch, sums)
            energy[b] += energy_and_gradient(net, s, sums, nodes, slopes, gradient)
            _differentiate(plan, around, functions.radial[s], functions.angular[s], scratch, gradient)
            distribute(plan, around, i, forces[b], virial[b])
            if baseline.repulsion.size > 0:
                energy[b] += push_pairs(baseline, around, s, i, forces[b], virial[b])
    return energy, forces, virial


@kernel
def _pool(plan: Plan, around: Around, radial: Array, angular: Array, scratch: Array, sums: Array) -> None:
    """The sums of all functions over the gathered neighbours.

    radial: (S, K, H).  angular: (P, pairs, K', H).  scratch: (largest K,).  sums: (H,).
    """
    sums[:] = 0.0
    pair, triplet = around.pair, around.triplet
    for kind in range(plan.species):
        low, high = around.begin[kind], around.begin[kind + 1]
        pool(radial[kind], pair[X, low:high], pair[F, low:high], scratch, sums)
    for power in range(plan.powers.size):
        for couple in range(around.columns.size - 1):
            low, high = around.columns[couple], around.columns[couple + 1]
            factor = triplet[BY_WEIGHT, low:high]  # free until the derivatives are taken
            raised(triplet[WEIGHT, low:high], plan.powers[power], factor)
            pool(angular[power, couple], triplet[COS, low:high], factor, scratch, sums)


@kernel
def _differentiate(plan: Plan, around: Around, radial: Array, angular: Array, scratch: Array, gradient: Array) -> None:
    """Derivatives of the energy by distances, and by weights and cosines of triplets, left in BY rows.

    radial: (S, K, H).  angular: (P, pairs, K', H).  scratch: (largest K,).  gradient: (H,).
    """
    pair, triplet, scale = around.pair, around.triplet, 2 / plan.radial_cutoff
    for kind in range(plan.species):
        low, high = around.begin[kind], around.begin[kind + 1]
        values, rates = around.block[0, : high - low], around.block[1, : high - low]
        if many(radial[kind], pair[X, low:high]):
            contract(radial[kind], gradient, scratch)
            look_up(scratch[: radial.shape[1]], pair[X, low:high], values, rates)
        else:
            look_up_each(radial[kind], pair[X, low:high], gradient, values, rates)
        by_distance, f, slope = pair[BY_D, low:high], pair[F, low:high], pair[SLOPE, low:high]
        for q in range(high - low):
            by_distance[q] = slope[q] * values[q] + f[q] * rates[q] * scale
    triplet[BY_COS, : around.columns[-1]] = 0.0
    triplet[BY_WEIGHT, : around.columns[-1]] = 0.0
    for power in range(plan.powers.size):
        for couple in range(around.columns.size - 1):
            low, high = around.columns[couple], around.columns[couple + 1]
            _by_angle(angular[power, couple], triplet[:, low:high], plan.powers[power], gradient, scratch, around.block)


@kernel
def _by_angle(table: Array, run: Array, exponent: int, gradient: Array, scratch: Array, block: Array) -> None:
    """Add one power's derivatives to the triplets of one species pair.  table: (K', H).  run: (TRIPLET_ROWS, triplets)."""
    whole = many(table, run[COS])
    if whole:
        contract(table, gradient, scratch)
    for low in range(0, run.shape[1], BLOCK):
        high = min(low + BLOCK, run.shape[1])
        x, weight, by_cosine, by_weight = (
            run[COS, low:high],
            run[WEIGHT, low:high],
            run[BY_COS, low:high],
            run[BY_WEIGHT, low:high],
        )
        values, rates, lower = block[0, : high - low], block[1, : high - low], block[2, : high - low]
        raised(weight, exponent - 1, lower)
        if whole:
            look_up(scratch[: table.shape[0]], x, values, rates)
        else:
            look_up_each(table, x, gradient, values, rates)
        for t in range(x.size):
            by_weight[t] += exponent * lower[t] * values[t]
            by_cosine[t] += lower[t] * weight[t] * rates[t]


def build(folder: Path, generation: int) -> Kan:
    """The potential of an artefact folder."""
    return Kan(read(folder), generation)
