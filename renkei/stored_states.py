"""States of the quoted block that a potential is asked about anew: which ones, their weights, and by whom."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kernels.arrays import Array
from kernels.potentials.base import Evaluation, Potential
from kernels.potentials.restrained import Restrained
from protocol.errors import BadSetting, RenkeiError
from protocol.records import Structure
from protocol.sections import System as SystemSettings
from protocol.store import Store
from renkei import frozen_model, results, trajectory
from renkei.analysis import thermo
from renkei.analysis.beads import Rings
from renkei.analysis.ledger import Ledger
from renkei.run_view import SimulatorView
from renkei.trajectory import Trajectory
from sim_daemon.engines import base as engines
from sim_daemon.engines.base import Engine, EngineContext
from sim_daemon.labelling import label_with_care
from sim_daemon.system import masses_of


class StoredStates(NamedTuple):
    """S states of W walkers of the quoted block, evenly spread."""

    states: Trajectory
    log_weights: Array | None  # (S, W) no unit; None where they weigh the same
    rows: Ledger  # of the whole block
    masses_amu: Array  # (N,)
    temperature_K: float


class Labelling:
    """An engine as a potential: one call a structure; +infinity where it refuses one."""

    species, cutoff, generation = (), 0.0, -1

    def __init__(self, engine: Engine, attempts: int) -> None:
        self._engine, self._attempts, self.calls = engine, attempts, 0

    def evaluate(self, positions: Array, numbers: Array, cell: Array, pbc: Array) -> Evaluation:
        """As Potential.evaluate; raises EngineFailed where the engine keeps crashing."""
        energies, forces = np.full(len(positions), np.inf), np.zeros(positions.shape)
        for k, places in enumerate(positions):
            found = label_with_care(self._engine, Structure(places, numbers, cell, pbc), self._attempts, None)
            self.calls += found.calls
            if found.label is not None:
                energies[k], forces[k] = found.label.energy, found.label.forces
        return Evaluation(energies, forces)


def beads_of(simulator: SimulatorView) -> int:
    """P of a run. Raises BadSetting where its sampler has no beads."""
    beads = simulator.setting("sampler.beads")
    if beads is None:
        raise BadSetting("the run's sampler has no beads", simulator.role)
    return int(beads)


def chosen(store: Store, simulator: SimulatorView, rings: int) -> StoredStates:
    """About `rings` rings of the quoted block, with their weights, masses and temperature.

    Raises BadSetting where there are no states, or where some of them have a weight and others none.
    """
    rows = results.quoted_block(simulator)[1]
    states = results.quoted_states(trajectory.read(store, simulator.role), rows) if len(rows) else None
    if states is None:
        raise BadSetting(f"{simulator.name} has no stored states of production", str(store.root), "let it run on")
    logs = thermo.log_weights(rows)
    if logs is not None and np.isfinite(logs).any() and not np.isfinite(logs).all():
        what = f"{int((~np.isfinite(logs)).sum())} of {logs.size} states of {simulator.name} have no weight, the others have one"
        raise BadSetting(what, str(store.root), "renkei fsck RUN looks for damage")
    stride = max(1, len(states) * states.positions.shape[1] // rings)
    spread = trajectory.select(states, np.arange(len(states)) % stride == stride - 1)
    kelvin = float(rows.temperature_K[0])
    kelvin = kelvin if np.isfinite(kelvin) else float(simulator.setting("sampler.ensemble.temperature_K"))
    masses = masses_of(states.numbers, simulator.setting("system.isotopes") or {})
    return StoredStates(spread, thermo.state_weights(rows, spread.step), rows, masses, kelvin)


@contextmanager
def asked(store: Store, simulator: SimulatorView, rows: Ledger, by_engine: bool) -> Iterator[tuple[Potential, str]]:
    """The potential that is asked, and who that is in words: the run's engine, or the model that drove the rows.

    Raises BadSetting where there is no such model, or where it cannot be evaluated.
    """
    system = SystemSettings.model_validate(simulator.setting("system"))
    if by_engine:
        module = engines.load(str(simulator.setting("engine.name")))
        settings = module.Settings.model_validate(simulator.setting("engine"))
        with tempfile.TemporaryDirectory(prefix="renkei-states-") as scratch:
            engine = module.build(settings, EngineContext(system.charge, system.multiplicity, Path(scratch), 1))
            yield _bound(Labelling(engine, settings.attempts), system), f"the engine, {settings.name}"
        return
    generation = int(rows.generation[-1])
    if generation < 0:
        raise BadSetting("first principles alone drove the block: there is no model to ask", simulator.role, "add --engine")
    digest = next(row["digest"] for row in simulator.events("step") if row["generation"] == generation)
    try:
        model = frozen_model.load(store, digest, system.restraint)
    except (RenkeiError, ValueError, OSError) as problem:
        what = f"generation {generation} cannot be evaluated: {str(problem).splitlines()[0]}"
        raise BadSetting(what, simulator.role, "add --engine") from problem
    yield model, f"generation {generation}"


def evaluated(potential: Potential, states: Trajectory, positions: Array) -> Rings:
    """The potential at (S, W, P, N, 3) A, each ring in its own cell."""
    energies, forces = np.empty(positions.shape[:3]), np.empty(positions.shape)
    for place in np.ndindex(positions.shape[:2]):
        found = potential.evaluate(positions[place], states.numbers, states.cells[place], states.pbc)
        energies[place], forces[place] = found.energy, found.forces
    return Rings(positions, energies, forces)


def _bound(potential: Potential, system: SystemSettings) -> Potential:
    bound = system.restraint
    return potential if bound is None else Restrained(potential, bound.radius_A, bound.k_eV_per_A2)
