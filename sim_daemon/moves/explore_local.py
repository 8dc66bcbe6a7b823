"""Exploration by local moves: the surrogate's own ensemble, hotter than the run's, labelled at the end of every chain.

As in explore.py it goes where the surrogate's mistakes lead it, and a hole sends the walker back to an earlier good ring. One
random bead of every end is labelled, and what is novel on the way. Adapt phase only: training data and no averages.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kernels.arrays import Array
from kernels.potentials.base import Potential
from kernels.random_numbers import Rng
from sim_daemon.moves.composite import Scan, draw_moves, surrogate_values
from sim_daemon.moves.explore import HOLE, HOLE_KT, REFUGES
from sim_daemon.moves.harvest import Bill, Harvest
from sim_daemon.moves.local_chain import Place, tally, wander
from sim_daemon.samplers.base import Info, Plan, State
from sim_daemon.target import Target


def explore_locally(
    scan: Scan, target: Target, state: State, surrogate: Potential, plan: Plan, rng: Rng
) -> tuple[State, tuple[Info, ...]]:
    """One chain of every walker, accepted by the surrogate alone.  scan: at the temperature of exploration."""
    walkers = np.arange(len(state.positions))
    bill = Bill(target, len(walkers))
    values = surrogate_values(target, state, surrogate)
    start = Place(state.positions, *values(walkers, state.positions))
    moves = draw_moves(state, plan, rng)
    harvest = Harvest(target, surrogate, state, moves, rng)
    wandered = wander(scan.kinds, plan.widths, scan.ring.beta, start, moves, values, rng, harvest.watch)
    positions = wandered.end.positions.copy()
    ends = positions[walkers, harvest.bead][:, None]
    labelled = bill.label(walkers, ends, state.cells)
    residuals = scan.ring.beta * (labelled.energies - wandered.end.energies[walkers, harvest.bead])
    for w in range(len(walkers)):
        bill.keep(w, (harvest.bead[w],), labelled, w, 0)
    harvest.labelled(walkers, ends)
    harvest.reap(bill)
    refuges, infos = list(state.refuges), []
    for w in range(len(walkers)):
        hole = not abs(residuals[w]) <= HOLE_KT
        if hole:
            positions[w] = _refuge(refuges[w], positions[w], rng("refuge", w))
        else:
            refuges[w] = np.concatenate([refuges[w], positions[w][None]])[-REFUGES:]
        moved = bool(wandered.accepted[w].any())
        counts = tally(scan.kinds, wandered, w) | {"novel": harvest.novel[w]}
        infos.append(_info(bill, w, int(moves[w]), moved, hole, float(residuals[w]), counts))
    unknown = np.full(state.energies.shape, np.nan), np.full(state.forces.shape, np.nan)
    left = replace(state, positions=positions, energies=unknown[0], forces=unknown[1], stresses=None)
    return replace(left, refuges=tuple(refuges), seen=harvest.seen), tuple(infos)


def _refuge(refuges: Array, here: Array, generator: np.random.Generator) -> Array:
    """A good ring of some steps ago, for the newest two are too near to the hole; the present one where there is none."""
    old = refuges[:-2] if len(refuges) > 2 else refuges
    place = generator.integers(max(len(old), 1))
    return np.asarray(old[place]) if len(old) else here


def _info(bill: Bill, w: int, moves: int, moved: bool, hole: bool, residual: float, counts: dict[str, int]) -> Info:
    return Info(
        accepted=moved,
        outcome=HOLE if hole else "explored" if moved else "explored: rejected",
        log_ratio=float("nan"),
        log_ratio_integrator=0.0,
        log_ratio_model=float("nan"),
        md_steps=moves,
        length_fs=0.0,
        points=tuple(bill.points[w]),
        engine_calls=int(bill.calls[w]),
        engine_failures=int(bill.failures[w]),
        observables={"residual_kT": residual} if np.isfinite(residual) else {},
        counts=counts,
    )
