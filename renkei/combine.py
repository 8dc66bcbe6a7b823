"""All full production blocks of a simulator as one weighted set: each block has its own surrogate and alpha (MBAR)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from kernels.arrays import Array
from kernels.potentials.base import Potential
from kernels.units import KB_EV_PER_K
from protocol.errors import BadSetting
from protocol.records import Structure
from protocol.sections import System as SystemSettings
from protocol.store import Store
from renkei import trajectory
from renkei.analysis import thermo
from renkei.analysis.ledger import WALKS, Ledger, lowest_rung, production_blocks, select
from renkei.analysis.mbar import mixture_log_weights
from renkei.analysis.verdict import full_blocks
from renkei.frozen_model import load
from renkei.run_view import SimulatorView
from sim_daemon.moves.flight import evaluate

Ensemble = tuple[int, float]  # generation and alpha of a mixture; (-1, 1.0): the target itself
TARGET: Ensemble = (-1, 1.0)


def combined(store: Store, simulator: SimulatorView) -> tuple[Ledger, tuple[str, ...]]:
    """The rows of all full production blocks, `log_weight` being those of the joint set, and what was put together.

    Of a ladder of temperatures only the lowest rung, whose averages are quoted.
    Every generation that mixed is evaluated at the states of the other blocks. Raises BadSetting where that cannot be.
    """
    blocks = full_blocks(production_blocks(simulator.ledger), simulator.rows)
    full = {number: lowest_rung(block) for number, block in blocks.items()}
    if not full:
        raise BadSetting(f"{simulator.name} has no full production block", next="look at `renkei status`")
    if any(np.isin(block.move, WALKS).any() for block in full.values()):
        raise BadSetting("two-level blocks cannot be put together, each is an estimate of its own", next="leave --all-blocks out")
    ledger = simulator.ledger
    rows = lowest_rung(select(ledger, (ledger.phase == "production") & np.isin(ledger.block, list(full))))
    by_block = {number: _ensemble(block) for number, block in full.items()}
    said = ", ".join(f"{number} ({_name(by_block[number])}, {len(full[number])} states)" for number in sorted(full))
    notes = (f"blocks together: {said}",)
    ensembles = sorted(set(by_block.values()))
    if ensembles == [TARGET]:
        return rows, notes
    if np.any(rows.approximation != ""):
        raise BadSetting("blocks of a contracted target cannot be combined: each has another target", simulator.role)
    return replace(rows, observables={**rows.observables, thermo.LOG_WEIGHT: _joint(store, simulator, rows, by_block)}), notes


def _ensemble(block: Ledger) -> Ensemble:
    alpha = float(block.alpha[0])
    return (int(block.generation[0]), alpha) if alpha < 1 else TARGET


def _name(ensemble: Ensemble) -> str:
    return "first principles" if ensemble == TARGET else f"generation {ensemble[0]}, alpha {ensemble[1]:.3g}"


def _joint(store: Store, simulator: SimulatorView, rows: Ledger, by_block: Mapping[int, Ensemble]) -> Array:
    """ln of the weights (n,) of the rows. The density of a mixture relative to the target is exp((1 - alpha) D)."""
    beta = 1 / (KB_EV_PER_K * float(simulator.setting("sampler.ensemble.temperature_K")))
    ensembles = sorted(set(by_block.values()))
    own = [by_block[int(number)] for number in rows.block]
    counts = np.array([own.count(one) for one in ensembles])
    residuals = {g: _residuals(store, simulator, rows, g) for g in sorted({g for g, _ in ensembles if g >= 0})}
    unmixed = np.zeros(len(rows))
    densities = np.array([beta * (1 - alpha) * residuals.get(g, unmixed) for g, alpha in ensembles])
    if not np.isfinite(densities).all():
        raise BadSetting("a surrogate has no energy at some state of another block", simulator.role, "leave --all-blocks out")
    try:
        return mixture_log_weights(densities, counts)
    except ValueError as problem:
        raise BadSetting(str(problem), simulator.role, "leave --all-blocks out") from None


def _residuals(store: Store, simulator: SimulatorView, rows: Ledger, generation: int) -> Array:
    """V_target - V_surrogate (n,), eV, of one generation at the states of all rows: told where it drove, evaluated elsewhere."""
    found = np.array(rows.observables.get("residual_eV", np.full(len(rows), np.nan)))
    missing = (rows.generation != generation) | ~np.isfinite(found)
    found[missing] = np.nan
    if not missing.any():
        return found
    potential = _potential(store, simulator, generation)
    for states in trajectory.segments(store, simulator.role, int(rows.step[missing][0])):
        wanted = np.flatnonzero(missing & np.isin(rows.step, states.step))
        if not len(wanted):
            continue
        place = np.searchsorted(states.step, rows.step[wanted]), rows.walker[wanted]
        base = Structure(states.positions[0, 0, 0], states.numbers, states.cell, states.pbc)
        energies = evaluate(potential, base, states.positions[place], states.cells[place]).energies
        found[wanted] = rows.observables["potential_energy_eV"][wanted] - energies.mean(axis=1)
    return found


def _potential(store: Store, simulator: SimulatorView, generation: int) -> Potential:
    bound = SystemSettings.model_validate(simulator.setting("system")).restraint
    digest = next(row["digest"] for row in simulator.events("step") if row["generation"] == generation)
    try:
        return load(store, digest, bound)
    except ValueError as problem:
        raise BadSetting(str(problem), simulator.role, "leave --all-blocks out") from None
