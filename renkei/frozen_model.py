"""The frozen model of a production block on what the run has stored: states of its chain, and every labelled ring."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import numpy as np

from kernels.arrays import Array
from kernels.potentials import base as potentials
from kernels.potentials.base import Potential
from kernels.potentials.restrained import Restrained
from kernels.units import KB_EV_PER_K
from protocol import names, weights
from protocol.errors import RenkeiError
from protocol.records import Label, Origin
from protocol.sections import Restraint
from protocol.store import Store
from renkei import trajectory
from renkei.analysis import two_level
from renkei.analysis.ledger import Ledger, by_walker, decided
from renkei.analysis.two_level import LabelledRing
from renkei.analysis.verdict import Check, Outcome
from renkei.run_view import SimulatorView


def load(store: Store, digest: str, bound: Restraint | None = None) -> Potential:
    """A published generation, under a restraint if one is given. Raises ValueError or RenkeiError where it is missing."""
    packet = store.find(names.TRAIN, digest)
    if packet is None:
        raise ValueError(f"the generation with digest {digest[:12]} is not in the run folder")
    card = weights.verify(packet.path, packet.digest)
    potential = potentials.load(card.format, packet.path, card.generation)
    return Restrained(potential, bound.radius_A, bound.k_eV_per_A2) if bound else potential


def checks(store: Store, simulator: SimulatorView, block: Ledger) -> list[Check]:
    """Two-level checks that need the model: free energies of both directions, and rings that the surrogate forbids."""
    try:
        row = next(row for row in simulator.events("step") if row["step"] == block.step[0])
        model = load(store, row["digest"])
        section = simulator.setting("system.restraint")
        bound = Restraint.model_validate(section) if section else None
        reverse = _chain_u(store, simulator, block, load(store, row["digest"], bound))
        rings = list(_rings(store, simulator, model))
    except (RenkeiError, ValueError, OSError) as problem:
        said = f"the frozen model cannot be evaluated anew: {str(problem).splitlines()[0]}"
        return [Check("frozen model", Outcome.FAILS, said)]
    return [two_level.free_energies(block, reverse), two_level.forbidden(block, rings)]


def _beta(simulator: SimulatorView) -> float:
    return float(1 / (KB_EV_PER_K * simulator.setting("sampler.ensemble.temperature_K")))


def _chain_u(store: Store, simulator: SimulatorView, block: Ledger, model: Potential) -> Array:
    """u = beta (V_FP - V_ML) of the chain's states, (T, W); NaN where a state is in no closed segment."""
    chain = decided(block)
    steps, target = by_walker(chain, chain.step)[:, 0], by_walker(chain, chain.observables["potential_energy_eV"])
    found = np.full(target.shape, np.nan)
    for states in trajectory.segments(store, simulator.role, int(steps[0])):
        for s in np.flatnonzero(np.isin(states.step, steps)):
            place = int(np.searchsorted(steps, states.step[s]))
            for w, ring in enumerate(states.positions[s]):
                found[place, w] = float(np.mean(model.evaluate(ring, states.numbers, states.cells[s, w], states.pbc).energy))
    if not np.isfinite(found).any():
        raise ValueError("no closed segment holds a state of the chain")
    return _beta(simulator) * (target - found)


def _rings(store: Store, simulator: SimulatorView, model: Potential) -> Iterator[LabelledRing]:
    """Every labelled ring or part of one, with the model's word on it; labels are without the restraint on both sides."""
    beta, beads = _beta(simulator), int(simulator.setting("sampler.beads"))
    for packet in store.packets(simulator.role):
        batch = store.read_batch(packet)
        pairs = zip(batch.labels, batch.origins, strict=True)
        for _, group in groupby(pairs, key=lambda pair: pair[1].ring):
            yield _ring(list(group), model, beta, beads)


def _ring(group: list[tuple[Label, Origin]], model: Potential, beta: float, beads: int) -> LabelledRing:
    structure, origin = group[0][0].structure, group[0][1]
    positions = np.array([label.structure.positions for label, _ in group])
    surrogate = model.evaluate(positions, structure.numbers, structure.cell, structure.pbc).energy
    target = float(np.mean([label.energy for label, _ in group]))
    said = f"{origin.phase}, step {origin.step}, walker {origin.walker}"
    return LabelledRing(beta * (target - float(np.mean(surrogate))), target, len(group) == beads, said)
