"""Contracted rings: first principles see of the residual V_target - V_surrogate only what P' beads of the slowest modes see.

    V_c = (1/P) sum_s V_surrogate(r_s) + (1/P') sum_s' [V_target - V_surrogate](r'_s'),    r' = T r

As a first test it is followed by that of the full ring: exact. In the place of the target it costs P' calls a step instead of P
and is an approximation, good where the residual is smooth over the ring (docs/methods.md: contraction).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kernels.arrays import Array
from kernels.potentials.base import Potential
from kernels.random_numbers import Rng
from kernels.ring_polymer import RingPolymer, contraction_matrix
from protocol.errors import EngineFailed
from sim_daemon.moves.delayed import first_test
from sim_daemon.moves.flight import Course, Departure, evaluate
from sim_daemon.moves.mixing import Screen
from sim_daemon.moves.ring_move import Costs, Rules, ring_step
from sim_daemon.samplers.base import Info, Plan, State
from sim_daemon.target import Target, TargetValues

FIRST_POINT = 1  # of the labels of a contracted ring: the proposal itself is 0


def contract(matrix: Array, positions: Array) -> Array:
    """Rings (A, P, N, 3) A to (A, P', N, 3) A; matrix: (P', P)."""
    return np.asarray(np.einsum("ts,asnx->atnx", matrix, positions))


def contracted_first(fewer: int) -> Screen:
    """A test on `fewer` contracted beads by V_surrogate + alpha (V_c - V_surrogate), before the full ring is labelled."""

    def screen(ring: RingPolymer, departure: Departure, course: Course, costs: Costs, plan: Plan, rng: Rng) -> Course:
        matrix, state, end = contraction_matrix(ring.beads, fewer), departure.state, course.flight.journey.end

        def called(walkers: Array, positions: Array) -> Array:
            values = costs.label(walkers, contract(matrix, positions), state.cells[walkers])
            for a, w in enumerate(walkers):
                costs.keep(int(w), values, a, FIRST_POINT, state.cells[w], fewer)
            return values.energies.reshape(len(walkers), fewer)

        def judged(walkers: Array, positions: Array, energies: Array, found: Array) -> Array:
            """V_surrogate + alpha (V_c - V_surrogate), (A, 1) eV."""
            residual = found - departure.forces(walkers, contract(matrix, positions))[0]
            return np.asarray((energies.mean(axis=1) + plan.alpha * residual.mean(axis=1))[:, None])

        everyone, free = np.arange(len(end.trapped)), np.flatnonzero(~end.trapped)
        known = state.cheap_energies
        known = called(everyone, state.positions) if known is None else known
        if not np.isfinite(known).all():
            raise EngineFailed("the engine has no label for a contracted ring of the chain", next="leave contraction out")
        found, after = np.full_like(known, np.inf), np.full((len(everyone), 1), np.inf)
        if len(free):
            found[free] = called(free, end.positions[free])
            after[free] = judged(free, end.positions[free], end.energies[free], found[free])
        before = judged(everyone, state.positions, departure.start.energies, known)
        course = first_test(ring, course, before, after, rng, "accept contracted")
        return course._replace(cheap=found, cheap_start=known, judge="contraction")

    return screen


class ContractedCosts(Costs):
    """Costs of a chain whose target is V_c: what is asked at P beads is answered from labels of P' contracted ones."""

    def __init__(self, target: Target, surrogate: Potential, ring: RingPolymer, fewer: int, walkers: int) -> None:
        super().__init__(target, fewer, walkers)
        self._surrogate, self._base, self._matrix = surrogate, target.system.structure, contraction_matrix(ring.beads, fewer)

    def label(self, walkers: Array, positions: Array, cells: Array) -> TargetValues:
        """V_c at (A, P, N, 3) A: energies (A P,) and forces (A P, N, 3), whose means over P are those of V_c; labels of A P'."""
        contracted = contract(self._matrix, positions)
        values = super().label(walkers, contracted, cells)
        fewer, beads = self._matrix.shape
        shape = (len(walkers), fewer)
        here, there = (evaluate(self._surrogate, self._base, x, cells) for x in (positions, contracted))
        residual = values.energies.reshape(shape) - there.energies
        push = values.forces.reshape(contracted.shape) - there.forces
        energies = here.energies + residual.mean(axis=1, keepdims=True)
        forces = here.forces + beads / fewer * contract(self._matrix.T, push)
        return values._replace(energies=energies.ravel(), forces=forces.reshape(-1, *forces.shape[2:]))


def contracted_step(
    ring: RingPolymer, target: Target, state: State, surrogate: Potential | None, plan: Plan, rng: Rng, rules: Rules, fewer: int
) -> tuple[State, tuple[Info, ...]]:
    """One step in which V_c stands for the target; without a surrogate first principles decide, with full rings.

    The state's energies and forces are those of V_c, so another surrogate makes them unknown. Nobody labels full rings, so
    there are no stresses.
    """
    with_ = plan.digest if surrogate is not None else ""
    if state.contracted_with != with_:
        state = replace(state, energies=np.full_like(state.energies, np.nan), forces=np.full_like(state.forces, np.nan))
    costs = None if surrogate is None else ContractedCosts(target, surrogate, ring, fewer, len(state.positions))
    state = replace(state, contracted_with=with_, stresses=None)
    state, infos = ring_step(ring, target, state, surrogate, plan, rng, rules, costs)
    if surrogate is None:
        return state, infos
    approximation = f"{fewer} contracted beads of {ring.beads}"
    return state, tuple(replace(info, approximation=approximation) for info in infos)
