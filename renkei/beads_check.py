"""P beads against 2P on the stored states of a run, with its frozen model or its engine."""

from __future__ import annotations

import numpy as np

from protocol.store import Store
from renkei import stored_states
from renkei.analysis.beads import Doubling, compare, new_beads
from renkei.run_view import SimulatorView


def double(store: Store, simulator: SimulatorView, rings: int, by_engine: bool) -> tuple[Doubling, str]:
    """Compare P with 2P on `rings` states of the quoted block, evenly spread; and who was asked, in words.

    by_engine: the run's engine, with 2P calls a ring, in the place of the model that drove the block. Raises BadSetting where
    there are no states, or no such model.
    """
    states, logs, rows, masses, kelvin = stored_states.chosen(store, simulator, rings)
    with stored_states.asked(store, simulator, rows, by_engine) as (potential, said):
        old = stored_states.evaluated(potential, states, states.positions)
        generator = np.random.default_rng(int(simulator.setting("seed") or 0))
        added = new_beads(states.positions, old.forces, masses, kelvin, generator)
        new = stored_states.evaluated(potential, states, added.positions)
    return compare(old, new, added.log_ratio, states.numbers, kelvin, logs), said
