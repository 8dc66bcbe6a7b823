"""Two time steps in one trajectory: the surrogate inside, what it lacks of first principles as a kick every M steps.

Palindromic: half a kick by F_target - F_surrogate over M steps' time, M steps on the surrogate, half a kick. Reversible and
volume preserving, so the test on the target's energies at the end is exact; each kick labels one ring.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kernels.arrays import Array
from kernels.random_numbers import Rng
from kernels.ring_polymer import RingPolymer
from sim_daemon.moves.flight import Course, Departure, Flight, driver_log_ratio, in_place
from sim_daemon.moves.ghmc import some
from sim_daemon.moves.ring_move import Costs, Proposal, Propose
from sim_daemon.moves.trajectory import Trajectory, integrate, sane
from sim_daemon.samplers.base import Plan, unknown_stresses

# (kick number from 1, walkers (A,), positions (A, P, N, 3) A) -> energies (A, P) eV, forces (A, P, N, 3) eV/A, of the target
Slow = Callable[[int, Array, Array], tuple[Array, Array]]


def kicked_trajectory(
    ring: RingPolymer, departure: Departure, slow: Slow, timestep_fs: float, every: int, kicks: Array
) -> tuple[Trajectory, Array]:
    """Move walker w by kicks[w] pieces of `every` steps; returns the end, with the target's energies and forces, and a drift.

    The drift (W,) is ln of the acceptance ratio of the pieces on the surrogate alone, summed: the part of the error that a
    shorter time step would cure.  Walkers that meet an absurd number, or a structure that the engine refuses, are trapped.
    """
    state = departure.state
    now = Trajectory(*(part.copy() for part in departure.start[:5]))
    energies, forces = state.energies.copy(), state.forces.copy()
    drift, half = np.zeros(len(kicks)), 0.5 * every * timestep_fs / ring.beads
    for k in range(1, int(kicks.max(initial=0)) + 1):
        moving = np.flatnonzero((kicks >= k) & ~now.trapped)
        if not len(moving):
            break
        for w in moving:
            now.momenta[w] += half * ring.to_modes(forces[w] - now.forces[w])
        here = Trajectory(*(part[moving] for part in now[:5]))
        there = integrate(ring, here, some(departure.forces, moving), timestep_fs, np.full(len(moving), every))
        for part, new in zip(now[:5], there[:5], strict=True):
            part[moving] = new
        alive = moving[~there.trapped]
        drift[alive] += [driver_log_ratio(ring, here, there, int(a)) for a in np.flatnonzero(~there.trapped)]
        if len(alive):
            energies[alive], forces[alive] = slow(k, alive, now.positions[alive])
            good = sane(energies[alive], forces[alive])
            now.trapped[alive[~good]] = True
            for w in alive[good]:
                now.momenta[w] += half * ring.to_modes(forces[w] - now.forces[w])
    return now._replace(energies=energies, forces=forces), drift


def kicked(every: int) -> Propose:
    """Proposals that first principles kick every so many time steps."""

    def propose(ring: RingPolymer, departure: Departure, costs: Costs, plan: Plan, rng: Rng) -> Proposal:
        stresses = unknown_stresses(departure.state)  # of every walker's last kick: where it ends
        kicks = np.maximum(1, np.round(departure.steps / every).astype(int))

        def slow(k: int, walkers: Array, positions: Array) -> tuple[Array, Array]:
            values = costs.label(walkers, positions, departure.state.cells[walkers])
            for a, w in enumerate(walkers):
                costs.keep(int(w), values, a, 0 if k == kicks[w] else k, departure.state.cells[w])
            if stresses is not None:
                stresses[walkers] = values.stresses.reshape(*positions.shape[:2], 3, 3)
            return values.energies.reshape(positions.shape[:2]), values.forces.reshape(positions.shape)

        end, drift = kicked_trajectory(ring, departure, slow, plan.timestep_fs, every, kicks)
        start = departure.start._replace(energies=departure.state.energies, forces=departure.state.forces)
        course = Course(Flight(start, in_place(end, kicks * every, departure.state.cells)), drift)
        return Proposal(course, np.where(end.trapped[:, None], np.inf, end.energies), end.forces, stresses)

    return propose
