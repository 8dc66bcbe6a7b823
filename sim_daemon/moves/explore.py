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
from sim_daemon.moves.cell import Barostat
from sim_daemon.moves.flight import Flight, LogRatios, depart, log_ratios, straight
from sim_daemon.samplers.base import Info, Plan, Point, State, unknown_stresses
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
    ring: RingPolymer,
    target: Target,
    state: State,
    surrogate: Potential,
    plan: Plan,
    rng: Rng,
    barostat: Barostat | None = None,
) -> tuple[State, tuple[Info, ...]]:
    """One trajectory of every walker, accepted or rejected by the surrogate itself; at constant pressure the cells walk too."""
    departure = depart(ring, target.system.structure, state, surrogate, plan, rng, None)
    flight = straight(barostat)(ring, departure, plan, rng).flight
    end = flight.journey.end
    walkers = range(len(state.positions))
    ratios = [_log_ratios(ring, flight, w) for w in walkers]
    taken = np.array([accept(ratios[w].whole, rng("accept", w)) for w in walkers])
    positions = np.where(taken[:, None, None, None], end.positions, state.positions)
    cells = np.where(taken[:, None, None], flight.journey.cells, state.cells)
    surrogate_energies = np.where(taken[:, None], end.energies, flight.start.energies)
    labelled = _label(target, positions, cells, rng)
    refuges, refuge_cells, infos = list(state.refuges), list(state.refuge_cells), []
    for w in walkers:
        residual = ring.of(w).beta * (labelled.values.energies[labelled.rows(w)] - surrogate_energies[w][labelled.beads[w]])
        hole = not np.all(np.abs(residual) <= HOLE_KT)
        infos.append(_info(flight, labelled, w, bool(taken[w]), hole, ratios[w], residual, plan, cells[w].copy()))
        if hole:
            place = _refuge(len(refuges[w]), rng("refuge", w))
            if place is not None:
                positions[w], cells[w] = refuges[w][place], refuge_cells[w][place]
        else:
            refuges[w] = np.concatenate([refuges[w], positions[w][None]])[-REFUGES:]
            refuge_cells[w] = np.concatenate([refuge_cells[w], cells[w][None]])[-REFUGES:]
    unknown, forces = np.full(state.energies.shape, np.nan), np.full(state.forces.shape, np.nan)
    return State(positions, unknown, forces, cells, tuple(refuges), tuple(refuge_cells), unknown_stresses(state)), tuple(infos)


def _log_ratios(ring: RingPolymer, flight: Flight, w: int) -> LogRatios:
    end = flight.journey.end
    driver = float(np.mean(end.energies[w]) - np.mean(flight.start.energies[w]))
    found = log_ratios(ring, flight, w, driver)
    return found._replace(whole=float("nan"), integrator=float("nan")) if end.trapped[w] else found


def _label(target: Target, positions: Array, cells: Array, rng: Rng) -> _Labelled:
    count = min(LABELLED_BEADS, positions.shape[1])
    beads = np.array([rng("beads", w).permutation(positions.shape[1])[:count] for w in range(len(positions))])
    chosen = np.concatenate([x[b] for x, b in zip(positions, beads, strict=True)])
    return _Labelled(beads, target(chosen, np.repeat(cells, count, axis=0)))


def _refuge(count: int, generator: np.random.Generator) -> int | None:
    """Which of `count` good rings to return to, the newest two left out where there are more; None where there is none."""
    old = count - 2 if count > 2 else count
    place = int(generator.integers(max(old, 1)))
    return place if count else None


def _info(
    flight: Flight,
    labelled: _Labelled,
    w: int,
    taken: bool,
    hole: bool,
    ratios: LogRatios,
    residual: Array,
    plan: Plan,
    cell: Array,
) -> Info:
    values, chosen = labelled.values, labelled.rows(w)
    outcome = HOLE if hole else "explored" if taken else "explored: rejected"
    beads = tuple(int(b) for b in labelled.beads[w])
    point = Point(0, beads, values.positions[chosen], values.labels[chosen], values.refused[chosen], cell)
    steps = int(flight.journey.steps[w])
    return Info(
        accepted=taken,
        outcome=outcome,
        log_ratio=float("nan"),
        log_ratio_integrator=ratios.integrator,
        log_ratio_model=float("nan"),
        md_steps=steps,
        length_fs=steps * plan.timestep_fs,
        points=(point,),
        engine_calls=int(values.calls[chosen].sum()),
        engine_failures=int(values.failures[chosen].sum()),
        observables={"residual_kT": float(np.mean(residual))} if np.isfinite(residual).all() else {},
        log_ratio_cell=ratios.cell,
    )
