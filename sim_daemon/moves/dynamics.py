"""Path-integral molecular dynamics: thermostatted, first principles alone, no Metropolis test.

One time step is half a PILE-L thermostat, half a kick, exact free motion of the ring, half a kick, half a thermostat (OBABO,
Bussi and Parrinello 2007; Ceriotti et al. 2010). Averages are those of the finite time step: their error falls with its square.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from kernels.arrays import Array
from kernels.random_numbers import Rng
from kernels.ring_polymer import RingPolymer
from sim_daemon.moves.flight import driver_log_ratio
from sim_daemon.moves.ring_move import PATH_EVERY, Costs
from sim_daemon.moves.thermostat import pile, refresh
from sim_daemon.moves.trajectory import Trajectory, integrate
from sim_daemon.observables import observe, observe_stress
from sim_daemon.samplers.base import REFUSED, Info, Plan, State, stresses_of
from sim_daemon.target import Target, TargetValues


def dynamics_step(
    ring: RingPolymer, target: Target, state: State, plan: Plan, rng: Rng, centroid_friction_per_fs: float
) -> tuple[State, tuple[Info, ...]]:
    """plan.trajectory_fs of dynamics of every walker.

    A walker that meets an absurd force, or a structure that the engine refuses, goes back to where the step began, its momenta
    reversed.
    """
    walkers = range(len(state.positions))
    steps = max(1, round(plan.trajectory_fs / plan.timestep_fs))
    costs = Costs(target, ring.beads, len(walkers))
    kept = pile(ring, 0.5 * plan.timestep_fs, centroid_friction_per_fs)
    generators = [rng("thermostat", w) for w in walkers]
    first = state.momenta
    if first is None:
        first = np.array([ring.draw_momenta(rng("momenta", w)) for w in walkers])
    latest: dict[int, tuple[TargetValues, int]] = {}

    def forces(moving: Array, positions: Array) -> tuple[Array, Array]:
        values = costs.label(moving, positions, state.cells[moving])
        latest.update({int(w): (values, a) for a, w in enumerate(moving)})
        return values.energies.reshape(positions.shape[:2]), values.forces.reshape(positions.shape)

    start = Trajectory(state.positions, first.copy(), state.energies, state.forces, np.zeros(len(walkers), bool))
    now, drift = start, np.zeros(len(walkers))
    for k in range(1, steps + 1):
        _thermostat(ring, now.momenta, kept, generators)
        then = integrate(ring, now, forces, plan.timestep_fs, (~now.trapped).astype(int))
        drift += [driver_log_ratio(ring, now, then, w) for w in walkers]  # not a number once trapped
        now = then
        _thermostat(ring, now.momenta, kept, generators)
        if k == steps or k % PATH_EVERY == 0:
            for w in np.flatnonzero(~now.trapped):
                costs.keep(int(w), *latest[int(w)], 0 if k == steps else k, state.cells[w])
    for w in np.flatnonzero(now.trapped):
        costs.keep(int(w), *latest[int(w)], 0, state.cells[w])
    lost = now.trapped[:, None, None, None]
    new = replace(
        state,
        positions=np.where(lost, start.positions, now.positions),
        energies=np.where(now.trapped[:, None], start.energies, now.energies),
        forces=np.where(lost, start.forces, now.forces),
        stresses=_stresses(state, now.trapped, latest),
        momenta=np.where(lost, -first, now.momenta),
    )
    length_fs = steps * plan.timestep_fs
    return new, tuple(
        _info(ring, target, new, costs, bool(now.trapped[w]), float(drift[w]), steps, length_fs, w) for w in walkers
    )


def _stresses(state: State, lost: Array, latest: Mapping[int, tuple[TargetValues, int]]) -> Array | None:
    """(W, P, 3, 3) eV/A^3 where the step ends: of the last labels of each walker, of the start where it is lost."""
    if state.stresses is None:
        return None
    stresses = state.stresses.copy()
    for w in np.flatnonzero(~lost):
        values, a = latest[int(w)]
        stresses[w] = values.stresses.reshape(-1, *stresses.shape[1:])[a]
    return stresses


def _thermostat(ring: RingPolymer, momenta: Array, kept: Array, generators: list[np.random.Generator]) -> None:
    for w, generator in enumerate(generators):
        momenta[w] = refresh(ring, momenta[w], kept, generator)


def _info(
    ring: RingPolymer, target: Target, new: State, costs: Costs, lost: bool, drift: float, steps: int, length_fs: float, w: int
) -> Info:
    refused = lost and any(r is not None for p in costs.points[w] for r in p.refused)
    return Info(
        accepted=not lost,
        outcome=REFUSED if refused else "rejected" if lost else "dynamics",
        log_ratio=float("nan"),
        log_ratio_integrator=drift,
        log_ratio_model=0.0,
        md_steps=steps,
        length_fs=length_fs,
        points=tuple(costs.points[w]),
        engine_calls=int(costs.calls[w]),
        engine_failures=int(costs.failures[w]),
        observables={
            **observe(ring, target.system.structure.numbers, new.positions[w], new.energies[w], new.forces[w]),
            **observe_stress(ring, new.cells[w], new.positions[w], new.forces[w], stresses_of(new, w)),
        },
    )
