"""Exploration: the surrogate's own ensemble, a few random beads labelled; adapt phase only, training data and no averages.

The surrogate walks freely to where its own mistakes lead it, so its holes are found and labelled for two engine calls a ring, and
the walk cannot stick (docs/methods.md). A ring with a bead that is off by more than HOLE_KT is a hole: its labels are kept, and
the walker returns to an earlier good ring.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kernels.arrays import Array
from kernels.potentials.base import Potential
from kernels.random_numbers import Rng
from kernels.ring_polymer import RingPolymer
from sim_daemon.moves.accept import accept
from sim_daemon.moves.ring_move import Flight, fly, motion_energy
from sim_daemon.samplers.base import Info, Plan, Point, State
from sim_daemon.target import Target, TargetValues

LABELLED_BEADS = 2  # of a ring: the residual is mostly common to its beads
EXPLORE_HEAT = 1.5  # temperature of exploration over that of the run: slow modes are crossed sooner, and edges are learned
HOLE_KT = 12.0  # residual of one bead
HOLE = "explored: hole"  # the outcome of such a step
REFUGES = 8  # good rings kept; the newest two are too near to a hole to return to


class _Labelled(NamedTuple):
    beads: Array  # (W, L) which beads of each walker
    values: TargetValues  # of W * L structures

    def rows(self, w: int) -> slice:
        """Where walker w's structures stand in `values`."""
        count = self.beads.shape[1]
        return slice(w * count, (w + 1) * count)


def explore_step(
    ring: RingPolymer, target: Target, state: State, surrogate: Potential, plan: Plan, rng: Rng
) -> tuple[State, tuple[Info, ...]]:
    """One trajectory of every walker, accepted or rejected by the surrogate itself."""
    flight = fly(ring, target, state, surrogate, plan, rng)
    walkers = range(len(state.positions))
    ratios = [_log_ratio(ring, flight, w) for w in walkers]
    taken = [accept(ratios[w], rng("accept", w)) for w in walkers]
    positions = np.where(np.array(taken)[:, None, None, None], flight.end.positions, state.positions)
    surrogate_energies = np.where(np.array(taken)[:, None], flight.end.energies, flight.start.energies)
    labelled = _label(target, positions, state.cells, rng)
    refuges, infos = list(state.refuges), []
    for w in walkers:
        residual = ring.beta * (labelled.values.energies[labelled.rows(w)] - surrogate_energies[w][labelled.beads[w]])
        hole = not np.all(np.abs(residual) <= HOLE_KT)
        if hole:
            positions[w] = _refuge(refuges[w], positions[w], rng("refuge", w))
        else:
            refuges[w] = np.concatenate([refuges[w], positions[w][None]])[-REFUGES:]
        infos.append(_info(flight, labelled, w, taken[w], hole, ratios[w], residual, plan))
    unknown = np.full(state.energies.shape, np.nan)
    return State(positions, unknown, np.full(state.forces.shape, np.nan), state.cells, tuple(refuges)), tuple(infos)


def _log_ratio(ring: RingPolymer, flight: Flight, w: int) -> float:
    if flight.end.trapped[w]:
        return float("nan")
    motion = motion_energy(ring, flight.end, w) - motion_energy(ring, flight.start, w)
    return -ring.beta * (motion + float(np.mean(flight.end.energies[w]) - np.mean(flight.start.energies[w])))


def _label(target: Target, positions: Array, cells: Array, rng: Rng) -> _Labelled:
    count = min(LABELLED_BEADS, positions.shape[1])
    beads = np.array([rng("beads", w).permutation(positions.shape[1])[:count] for w in range(len(positions))])
    chosen = np.concatenate([x[b] for x, b in zip(positions, beads, strict=True)])
    return _Labelled(beads, target(chosen, np.repeat(cells, count, axis=0)))


def _refuge(refuges: Array, here: Array, generator: np.random.Generator) -> Array:
    """A good ring of some steps ago; the present one where there is none."""
    old = refuges[:-2] if len(refuges) > 2 else refuges
    place = generator.integers(max(len(old), 1))
    return np.asarray(old[place]) if len(old) else here


def _info(
    flight: Flight,
    labelled: _Labelled,
    w: int,
    taken: bool,
    hole: bool,
    ratio: float,
    residual: Array,
    plan: Plan,
) -> Info:
    values, chosen = labelled.values, labelled.rows(w)
    outcome = HOLE if hole else "explored" if taken else "explored: rejected"
    point = Point(
        0, tuple(int(b) for b in labelled.beads[w]), values.positions[chosen], values.labels[chosen], values.refused[chosen]
    )
    steps = int(flight.steps[w])
    return Info(
        accepted=taken,
        outcome=outcome,
        log_ratio=float("nan"),
        log_ratio_integrator=ratio,
        log_ratio_model=float("nan"),
        md_steps=steps,
        length_fs=steps * plan.timestep_fs,
        points=(point,),
        engine_calls=int(values.calls[chosen].sum()),
        engine_failures=int(values.failures[chosen].sum()),
        observables={"residual_kT": float(np.mean(residual))} if np.isfinite(residual).all() else {},
    )
