"""The free energy of other masses on the stored states of a run, with its frozen model or its engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kernels.arrays import Array
from kernels.potentials.base import Potential
from kernels.units import KB_EV_PER_K
from protocol.errors import BadSetting
from protocol.store import Store
from renkei import stored_states
from renkei.analysis import thermo
from renkei.analysis.scaling import MassChange, isotope_free_energy, rings_of_masses
from renkei.run_view import SimulatorView
from renkei.stored_states import StoredStates
from sim_daemon.system import isotope_of

SAME_MASS = 1e-9  # relative: closer masses are no other isotope
SAME_ENERGY = 0.02  # kT, between an engine's word on a stored ring and the ledger's


class Substitution(NamedTuple):
    """All atoms of one element, with another mass."""

    symbol: str
    atoms: int
    mass_amu: float
    other_amu: float


class IsotopeChange(NamedTuple):
    """What was found, and of what."""

    change: MassChange
    substitutions: tuple[Substitution, ...]
    beads: int
    said: str  # who was asked, in words; "" where nobody had to be


def substitute(
    store: Store, simulator: SimulatorView, wanted: Sequence[str], rings: int, by_engine: bool = False
) -> IsotopeChange:
    """F(m') - F(m) of all `wanted` substitutions at once ("H=D", "O=17.999"), from `rings` states of the quoted block.

    by_engine: the run's engine, with P calls a ring, in the place of the model that drove the block; one bead asks nobody.
    Raises BadSetting where there are no states, no such model, no such isotope, or no energy.
    """
    stored = stored_states.chosen(store, simulator, rings)
    states, masses = stored.states, stored.masses_amu
    others, substitutions = masses_with(states.numbers, masses, wanted, str(store.root))
    count = states.positions.shape[2]
    if count == 1:
        before = after = np.zeros(states.positions.shape[:2])
        said = ""
    else:
        with stored_states.asked(store, simulator, stored.rows, by_engine) as (potential, said):
            known = _known(potential, stored, said) if by_engine else None
            before = _averages(potential, stored, states.positions) if known is None else known
            after = _averages(potential, stored, rings_of_masses(states.positions, masses, others))
        if not np.isfinite(before).all() or not np.isfinite(after).any():
            what = f"{said} has no energy for {int((~np.isfinite(before)).sum())} stored and {int((~np.isfinite(after)).sum())}"
            raise BadSetting(f"{what} scaled rings of {before.size}", simulator.role, "take another mass, or add --engine")
    change = isotope_free_energy(before, after, masses, others, stored.temperature_K, stored.log_weights)
    return IsotopeChange(change, substitutions, count, said)


def masses_with(numbers: Array, masses_amu: Array, wanted: Sequence[str], where: str) -> tuple[Array, tuple[Substitution, ...]]:
    """Masses (N,) amu with substitutions such as "H=D", "1=2.014" or "O=17.999", and what they are.

    numbers: (N,).  masses_amu: (N,) of the run.  where: the run, for errors.  Raises BadSetting for what is none.
    """
    from ase.data import chemical_symbols

    others = masses_amu.copy()
    found: list[Substitution] = []
    listed = ", ".join(dict.fromkeys(chemical_symbols[z] for z in numbers))
    for text in wanted:
        said = f"--to {text}"
        key, sign, value = (part.strip() for part in text.partition("="))
        if not (key and sign and value):
            raise BadSetting(f"{said}: must be ELEMENT=MASS", where, "write e.g. --to H=D or --to O=17.999")
        try:
            element, mass = isotope_of(key, _number_or_name(value), numbers, said)
        except BadSetting as problem:
            raise BadSetting(problem.what, where, f"the structure has {listed}; write e.g. --to H=D or --to O=17.999") from None
        symbol, mine = chemical_symbols[element], numbers == element
        old = float(masses_amu[mine][0])
        if abs(mass - old) <= SAME_MASS * old:
            raise BadSetting(f"{said}: {symbol} has the mass {old:g} amu in this run already", where, "name another mass")
        if symbol in [one.symbol for one in found]:
            raise BadSetting(f"{said}: {symbol} is named twice", where, "give each element one mass")
        others[mine] = mass
        found.append(Substitution(symbol, int(mine.sum()), old, mass))
    if not found:
        raise BadSetting("say which element gets which mass", where, "write e.g. --to H=D or --to O=17.999")
    return others, tuple(found)


def _number_or_name(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _averages(potential: Potential, stored: StoredStates, positions: Array) -> Array:
    return np.asarray(stored_states.evaluated(potential, stored.states, positions).energies.mean(axis=-1))


def _known(engine: Potential, stored: StoredStates, said: str) -> Array | None:
    """(S, W) eV: the engine's energies of the stored rings from the ledger, which saves half of the calls; None: it has none.

    One ring is labelled anew: an engine that no longer says the same would tell its own change as that of the masses.
    """
    rows, states = stored.rows, stored.states
    column = rows.observables.get("potential_energy_eV")
    if column is None or (rows.approximation != "").any():
        return None
    energies = thermo.of_states(rows, column, states.step)
    if not np.isfinite(energies).all():
        return None
    found = float(engine.evaluate(states.positions[0, 0], states.numbers, states.cells[0, 0], states.pbc).energy.mean())
    if not abs(found - energies[0, 0]) <= SAME_ENERGY * KB_EV_PER_K * stored.temperature_K:
        what = f"{said} says {found:.6f} eV of the ring after step {states.step[0]}, the run's ledger {energies[0, 0]:.6f} eV"
        raise BadSetting(what, next="use the engine's version and settings of the run")
    return energies
