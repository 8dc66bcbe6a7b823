"""A first configuration for a structure: guesses by the kind of system, written as commented YAML."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernels.arrays import Array
from protocol.process import usable_cores
from sim_daemon.system import BOND, count_molecules, file_charge, file_multiplicity

CRYSTAL, STIFF, FLOPPY, CLUSTER, METAL, LIQUID = (
    "crystal",
    "stiff molecule",
    "floppy molecule",
    "cluster of molecules",
    "metal cluster",
    "molecular crystal or liquid",
)
NONMETALS = (1, 2, *range(5, 11), *range(14, 19), *range(32, 37), *range(51, 55), 85, 86)
MARGIN_A = 2.5  # room between the start structure and the restraint's sphere


@dataclass(frozen=True)
class Guess:
    """What the structure suggests."""

    kind: str
    charge: int
    multiplicity: int
    startup: str
    beads: int
    trajectory_max_fs: int
    restraint_radius_A: float | None


def guess(atoms: Any, charge: int | None, multiplicity: int | None, temperature_K: float) -> Guess:
    """Guess what the options leave open. atoms: ASE's; a charge or multiplicity in its info counts."""
    charge = charge if charge is not None else file_charge(atoms.info) or 0
    stated = multiplicity if multiplicity is not None else file_multiplicity(atoms.info)
    electrons = int(atoms.numbers.sum()) - charge
    kind = kind_of(atoms)
    light = bool((atoms.numbers == 1).any())
    # P of a few beta hbar omega_max: about 16 for hydrogen at 300 K shows the effect; converge it for production
    at_room = 16 if light else 2 if _all_metal(atoms) else 8
    beads = 2 ** round(math.log2(max(1.0, at_room * 300 / temperature_K)))
    reach = float(np.linalg.norm(atoms.positions - atoms.positions.mean(axis=0), axis=1).max())
    return Guess(
        kind=kind,
        charge=charge,
        multiplicity=stated if stated is not None else 1 + electrons % 2,
        startup="harmonic" if kind in (CRYSTAL, STIFF) else "trajectories",
        beads=min(beads, 64),
        trajectory_max_fs=160 if light else 240,
        restraint_radius_A=math.ceil(2 * (reach + MARGIN_A)) / 2 if kind == CLUSTER else None,
    )


def kind_of(atoms: Any) -> str:
    """Kind of a system, by its bonds and its periodicity."""
    molecules = count_molecules(atoms)
    if atoms.pbc.any():
        return CRYSTAL if molecules == 1 or not (atoms.numbers == 1).any() else LIQUID
    if molecules > 1:
        return CLUSTER
    if _all_metal(atoms) and len(atoms) > 1:
        return METAL
    return FLOPPY if _has_rotor(atoms) else STIFF


def _all_metal(atoms: Any) -> bool:
    return not np.isin(atoms.numbers, NONMETALS).any()


def _has_rotor(atoms: Any) -> bool:
    """Whether a bond outside rings joins two atoms that both have other neighbours."""
    from ase.neighborlist import natural_cutoffs, neighbor_list
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, second = neighbor_list("ij", atoms, natural_cutoffs(atoms, mult=BOND))
    degree = np.bincount(first, minlength=len(atoms))

    def groups(keep: Array) -> int:
        graph = coo_array((np.ones(keep.sum()), (first[keep], second[keep])), shape=(len(atoms), len(atoms)))
        return int(connected_components(graph, directed=False)[0])

    for i, j in {(int(a), int(b)) for a, b in zip(first, second, strict=True) if a < b}:
        without = ~(((first == i) & (second == j)) | ((first == j) & (second == i)))
        if degree[i] > 1 and degree[j] > 1 and groups(without) > 1:
            return True
    return False


def science(structure: str, formula: str, engine: str, guessed: Guess, temperature_K: float, flies: bool = True) -> str:
    """Text of run.yaml. flies: whether the sampler makes trajectories, whose keys others do not know."""
    trajectories = f"""\
  timestep_fs: auto                  # chosen in adapt, then frozen
  trajectory_fs: auto                # likewise, at most trajectory_max_fs
  trajectory_max_fs: {guessed.trajectory_max_fs}
"""
    restraint = (
        f"\n  restraint: {{radius_A: {guessed.restraint_radius_A}, k_eV_per_A2: 1.0}}  # a free cluster evaporates without one"
        if guessed.restraint_radius_A
        else ""
    )
    why = {
        CRYSTAL: "relax, Hessian, quantum harmonic rings",
        STIFF: "relax, Hessian, quantum harmonic rings",
    }.get(guessed.kind, "short first-principles trajectories: harmonic modes would mislead")
    return f"""\
# {formula}: {guessed.kind}. Every key has its unit in its name; `renkei check` looks at all of it.
system:
  structure: {structure}
  charge: {guessed.charge}
  multiplicity: {guessed.multiplicity}
  isotopes: {{}}                       # e.g. {{H: D}} or {{1: 2.014}}{restraint}
engine: {engine}
sampler:
  name: sl_pihmc                     # beads: 1 is the classical method
  ensemble: {{name: nvt, temperature_K: {temperature_K:g}}}
  beads: {guessed.beads}                          # raise until the kinetic energy stops moving
{trajectories if flies else ""}  walkers: 1
  startup: {guessed.startup}                  # {why}
learner:
  name: chebyshev_bpnn
  radial: {{order: 15, cutoff_A: 6.0}}
  angular: {{order: 8, cutoff_A: 4.0}}
  hidden: [30, 30]
  activation: tanh
coupling:                            # how the two jobs share the work
  labels_per_retrain: 200            # single points, after thinning
  beads_per_ring: 4                  # beads of one ring are near-copies
  max_wait_s: 60
  first_segment_steps: 10
  segment_steps: 50
  epochs_per_retrain: auto
  keep_training_when_idle: true
phases:
  adapt: {{until: converged, max_steps: 2000}}
  production: {{steps: 1000, estimator: chain}}
simulators: {{sim0: {{}}}}
seed: 1
"""


def machine(beads: int) -> str:
    """Text of machine.yaml."""
    share = -(-beads // usable_cores())  # beads of the busiest rank; no more ranks than that needs
    ranks = -(-beads // share)
    return f"""\
# where and how the two jobs run; the result does not depend on it
simulator: {{ranks: {ranks}, ranks_per_engine: 1}}  # beads are spread over the ranks
trainer: {{device: auto}}                      # cuda if there is one
channel: {{name: files, poll_s: 0.5}}
scheduler: {{name: local}}
"""
