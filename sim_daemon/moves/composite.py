"""Steps made of local moves: a long surrogate chain under one first-principles test, or a short one of first principles alone.

The surrogate's chain is reversible in its own ensemble, springs included, so the test that makes the step exact is
ln of the ratio = -beta [change of V_target - change of V_surrogate], V the bead average (docs/methods.md).
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from kernels.arrays import Array
from kernels.potentials.base import Potential
from kernels.random_numbers import Rng
from kernels.ring_polymer import RingPolymer
from protocol.records import Phase
from sim_daemon.moves.accept import accept
from sim_daemon.moves.flight import evaluate
from sim_daemon.moves.harvest import Bill, Harvest
from sim_daemon.moves.known import known
from sim_daemon.moves.local import LocalMove
from sim_daemon.moves.local_chain import Place, Values, Wandered, tally, wander
from sim_daemon.moves.trajectory import draw_steps, sane
from sim_daemon.observables import observe
from sim_daemon.samplers.base import REFUSED, Info, Plan, State, copied
from sim_daemon.target import Target


class Scan(NamedTuple):
    """A random scan of local moves at one temperature."""

    ring: RingPolymer
    kinds: tuple[LocalMove, ...]


def surrogate_values(target: Target, state: State, surrogate: Potential) -> Values:
    """The surrogate at rings of the given walkers, each in its own cell."""
    base = target.system.structure

    def values(walkers: Array, positions: Array) -> tuple[Array, Array]:
        energies, forces = evaluate(surrogate, base, positions, state.cells[walkers])[:2]
        return energies, forces

    return values


def draw_moves(state: State, plan: Plan, rng: Rng) -> Array:
    """Lengths (W,) of the surrogate's chains: log-uniform in [K/8, K], a fixed law, so that short ones leave sticky states."""
    return np.array([draw_steps(rng("length", w), 1.0, plan.chain_moves, True) for w in range(len(state.positions))])


def composite_step(
    scan: Scan, target: Target, state: State, surrogate: Potential, plan: Plan, rng: Rng
) -> tuple[State, tuple[Info, ...]]:
    """A chain of surrogate moves of every walker, then one test by first principles; novel structures are labelled in adapt."""
    walkers = np.arange(len(state.positions))
    bill = Bill(target, len(walkers))
    state = known(state, bill.label)
    values = surrogate_values(target, state, surrogate)
    start = Place(state.positions, *values(walkers, state.positions))
    moves = draw_moves(state, plan, rng)
    harvest = Harvest(target, surrogate, state, moves, rng) if plan.phase is Phase.ADAPT else None
    watch = harvest.watch if harvest else None
    wandered = wander(scan.kinds, plan.widths, scan.ring.beta, start, moves, values, rng, watch)
    moved = np.flatnonzero(wandered.accepted.any(axis=1))
    place = _arrived(wandered.end, moved, state, bill)
    if harvest:
        harvest.labelled(moved, wandered.end.positions[moved])
        harvest.reap(bill)
    free = sane(start.energies, start.forces)
    new = replace(copied(state), stresses=None)  # which local moves do not follow
    infos = []
    for w in range(len(walkers)):
        driver = float(np.mean(wandered.end.energies[w]) - np.mean(start.energies[w]))
        change = float(np.mean(place.energies[w]) - np.mean(state.energies[w]))
        log_ratio = -scan.ring.beta * (change - driver) if free[w] else float("nan")
        taken = accept(log_ratio, rng("accept", w))
        if taken:
            new.positions[w], new.energies[w], new.forces[w] = (array[w] for array in place)
        outcome = _outcome(taken, w in moved, bool(free[w]), bill, w)
        novel = {"novel": harvest.novel[w]} if harvest else {}
        infos.append(_info(scan, target, new, wandered, bill, w, taken, outcome, log_ratio, novel))
    return (replace(new, seen=harvest.seen) if harvest else new), tuple(infos)


def first_principles_step(scan: Scan, target: Target, state: State, plan: Plan, rng: Rng) -> tuple[State, tuple[Info, ...]]:
    """A short chain of every walker, each of its moves decided by first principles; all proposals are kept as labels."""
    count = len(state.positions)
    bill = Bill(target, count)
    state = known(state, bill.label)
    beads = tuple(range(scan.ring.beads))

    def values(walkers: Array, positions: Array) -> tuple[Array, Array]:
        found = bill.label(walkers, positions, state.cells[walkers])
        for a, w in enumerate(walkers):
            bill.keep(int(w), beads, found, a, len(bill.points[w]) + 1)
        return found.energies.reshape(positions.shape[:2]), found.forces.reshape(positions.shape)

    start = Place(state.positions, state.energies, state.forces)
    moves = np.full(count, plan.chain_moves)
    wandered = wander(scan.kinds, plan.widths, scan.ring.beta, start, moves, values, rng)
    end = wandered.end
    new = replace(state, positions=end.positions, energies=end.energies, forces=end.forces, stresses=None)
    infos = []
    for w in range(count):
        taken = bool(wandered.accepted[w].any())
        outcome = "accepted" if taken else REFUSED if bill.trials_failed(w) else "rejected"
        infos.append(_info(scan, target, new, wandered, bill, w, taken, outcome, 0.0, {}))
    return new, tuple(infos)


def _arrived(end: Place, moved: Array, state: State, bill: Bill) -> Place:
    """The target where the chains ended; where nothing moved, it is that of the start, and nothing is paid."""
    energies, forces = state.energies.copy(), state.forces.copy()
    if len(moved):
        values = bill.label(moved, end.positions[moved], state.cells[moved])
        for a, w in enumerate(moved):
            bill.keep(int(w), tuple(range(energies.shape[1])), values, a, 0)
        energies[moved] = values.energies.reshape(len(moved), -1)
        forces[moved] = values.forces.reshape(len(moved), *forces.shape[1:])
    return Place(end.positions, energies, forces)


def _outcome(taken: bool, moved: bool, free: bool, bill: Bill, w: int) -> str:
    if taken:
        return "accepted" if moved else "accepted: nothing moved"
    if not free:
        return "rejected: surrogate"
    return REFUSED if bill.proposal_refused(w) else "rejected"


def _info(
    scan: Scan,
    target: Target,
    new: State,
    wandered: Wandered,
    bill: Bill,
    w: int,
    taken: bool,
    outcome: str,
    log_ratio: float,
    novel: dict[str, int],
) -> Info:
    return Info(
        accepted=taken,
        outcome=outcome,
        log_ratio=log_ratio,
        log_ratio_integrator=0.0,
        log_ratio_model=log_ratio,
        md_steps=int(wandered.moves[w]),
        length_fs=0.0,
        points=tuple(bill.points[w]),
        engine_calls=int(bill.calls[w]),
        engine_failures=int(bill.failures[w]),
        observables=observe(scan.ring, target.system.structure.numbers, new.positions[w], new.energies[w], new.forces[w]),
        counts=tally(scan.kinds, wandered, w) | novel,
    )
