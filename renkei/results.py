"""What a run has to say, as one dictionary of plain numbers: the content of report.json, whose named keys are stable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kernels import reweighting, statistics
from kernels.arrays import Array
from kernels.statistics import Estimate
from kernels.two_level import TwoLevelMean
from protocol.store import Store
from renkei import audit, trajectory
from renkei.analysis import ladder, structure, thermo, two_level, verdict
from renkei.analysis.ledger import Ledger, by_rung, decided, in_phase, lowest_rung, production_blocks, rung, select
from renkei.analysis.path_integral import centroids
from renkei.run_view import DaemonView, RunView, SimulatorView
from renkei.trajectory import Trajectory

SCHEMA = 1
# how an observable's name may end, and how that is written for people
UNITS = {"eV_per_K": "eV/K", "g_per_cm3": "g/cm³", "GPa": "GPa", "A3": "Å³", "eV": "eV", "A": "Å", "deg": "°"}


def report(view: RunView, trajectories: Mapping[str, Trajectory | None]) -> dict[str, Any]:
    """The results of a run; trajectories: simulator's name -> its states, None where there are none yet.

    `sampling` and `observables` are those of the first simulator, all of them stand under `simulators`: ensembles of
    different temperature have no common average.
    """
    by_name = {one.name: _simulator(view, one, trajectories.get(one.name)) for one in view.simulators}
    first = next(iter(by_name.values()), None)
    main = view.simulators[0] if view.simulators else None
    return {
        "schema": SCHEMA,
        "run": str(view.root),
        "phase": main.phase if main else "startup",
        "sampling": first["sampling"] if first else {},
        "observables": first["observables"] if first else {},
        "weights": _weights(view),
        "engine": _engine(view, main, first["observables"] if first else {}),
        "balance": {"simulator": _seconds(*view.simulators), "trainer": _seconds(*([view.trainer] if view.trainer else []))},
        "audit": audit.worst({name: part["audit"] for name, part in by_name.items()}),
        "simulators": by_name,
    }


def quoted_block(simulator: SimulatorView, temperature_K: float | None = None) -> tuple[int | None, Ledger, bool]:
    """Number and rows of the quoted production block (the last full one, else the running one), and whether it is complete.

    Of a block of two levels, the rows of the chain beside them.
    temperature_K: of a rung, where the walkers stand on a ladder of temperatures; None: of the lowest one.
    """
    blocks = production_blocks(simulator.ledger)
    full = verdict.full_blocks(blocks, simulator.rows)
    if not blocks:
        return None, in_phase(simulator.ledger, "production"), False
    number = verdict.quoted_number(blocks, full)
    return number, rung(decided(blocks[number]), temperature_K), number in full


def unit_of(name: str) -> str:
    """The unit at the end of an observable's name, "" where it has none."""
    return next((unit for unit in UNITS if name.endswith(f"_{unit}")), "")


def read_trajectories(view: RunView) -> dict[str, Trajectory | None]:
    """The states of every simulator of the run."""
    store = Store(view.root)
    return {simulator.name: trajectory.read(store, simulator.role) for simulator in view.simulators}


def quoted_states(states: Trajectory | None, rows: Ledger) -> Trajectory | None:
    """The states after the steps of these rows, of their walkers; None without any."""
    if states is None:
        return None
    chosen = trajectory.select(states, np.isin(states.step, rows.step))
    chosen = trajectory.of_walkers(chosen, np.unique(rows.walker))
    return chosen if len(chosen) else None


def reference_bonds(states: Trajectory) -> structure.Bonds:
    """The bonds of the first state's centroid, kept for the whole run."""
    return structure.find_bonds(centroids(states.positions[0, 0]), states.numbers, states.cell, states.pbc)


def _simulator(view: RunView, simulator: SimulatorView, states: Trajectory | None) -> dict[str, Any]:
    number, rows, complete = quoted_block(simulator)
    observables = thermo.averages(rows)
    quoted = quoted_states(states, rows)
    if states is not None and quoted is not None:
        bonds = _bond_series(quoted, reference_bonds(states))
        observables |= _estimates(bonds, thermo.state_weights(rows, quoted.step))
    levels = _two_levels(simulator, number, states)
    if levels:
        observables = {name: found.whole for name, found in levels.items()}
    return {
        "phase": simulator.phase,
        "sampling": {
            **_sampling(simulator, rows),
            "block": number,
            "block_complete": complete,
            "blocks": _blocks(simulator),
            "ladder": _ladder(production_blocks(simulator.ledger).get(number)) if number is not None else None,
        },
        "observables": {name: _observable(name, found, simulator) for name, found in observables.items()},
        "two_level": _levels(simulator, number, levels),
        "balance": _seconds(simulator),
        "audit": audit.account(view, simulator),
    }


def _sampling(simulator: SimulatorView, rows: Ledger) -> dict[str, Any]:
    adapt = in_phase(simulator.ledger, "adapt")
    shares, creutz, errors = thermo.acceptance(rows), thermo.exp_minus_beta_dH(rows), thermo.energy_errors(rows)
    longest, bound = thermo.rejections(rows)
    return {
        "steps": {"adapt": _steps(adapt), "production": _steps(rows)},
        "acceptance": {"adapt": thermo.acceptance(decided(adapt)).total, "production": shares.total},
        "acceptance_integrator": shares.integrator,
        "acceptance_model": shares.model,
        "exp_minus_beta_dH": {"mean": creutz.mean, "stderr": creutz.stderr},
        "beta_dH": errors._asdict(),
        "trajectory_fs": float(rows.length_fs.mean()) or None if len(rows) else None,
        "timestep_fs": float(rows.timestep_fs[-1]) if len(rows) else None,
        "beads": simulator.setting("sampler.beads"),
        "walkers": simulator.setting("sampler.walkers"),
        "temperature_K": simulator.setting("sampler.ensemble.temperature_K"),
        "longest_rejection_run": longest,
        "rejection_bound": bound,
        "weights": _sample_weights(rows),
        "approximation": next((str(name) for name in rows.approximation if name), None),
    }


def _sample_weights(rows: Ledger) -> dict[str, Any] | None:
    """What reweighting leaves; None where the chain samples the target itself."""
    health = thermo.weight_health(rows)
    if health is None:
        return None
    numbers = {"n_eff": health.kish, "perplexity": health.perplexity, "largest": health.largest, "pareto_k": health.pareto_k}
    return {"alpha": float(rows.alpha[-1]), "samples": health.samples, **numbers, "refusal": health.refusal}


def _blocks(simulator: SimulatorView) -> list[dict[str, Any]]:
    """Every production block, quoted or not."""
    blocks = production_blocks(simulator.ledger)
    full = verdict.full_blocks(blocks, simulator.rows)
    found = []
    for number, rows in ((number, lowest_rung(decided(block))) for number, block in blocks.items() if len(decided(block))):
        energy = thermo.averages(rows).get("energy_virial_eV", Estimate(np.nan, np.nan, np.nan, np.nan, 0))
        creutz = thermo.exp_minus_beta_dH(rows)
        found.append(
            {
                "block": number,
                "complete": number in full,
                "steps": _steps(rows),
                "acceptance": thermo.acceptance(rows).total,
                "exp_minus_beta_dH": {"mean": creutz.mean, "stderr": creutz.stderr},
                "longest_rejection_run": thermo.rejections(rows)[0],
                "energy_virial_eV": {"mean": energy.mean, "stderr": energy.stderr},
                "generation": int(rows.generation[-1]),
            }
        )
    return found


def _ladder(block: Ledger | None) -> dict[str, Any] | None:
    """What every rung of a ladder of temperatures did, and their exchanges; None without one."""
    found = [] if block is None else ladder.pairs(block)
    if block is None or not found:
        return None
    above: list[float | None] = [*(pair.acceptance for pair in found), None]
    rungs = []
    for (kelvin, rows), share in zip(by_rung(block).items(), above, strict=True):
        creutz, energy = thermo.exp_minus_beta_dH(rows), thermo.averages(rows).get("energy_virial_eV")
        rungs.append(
            {
                "temperature_K": kelvin,
                "acceptance": thermo.acceptance(rows).total,
                "exp_minus_beta_dH": {"mean": creutz.mean, "stderr": creutz.stderr},
                "longest_rejection_run": thermo.rejections(rows)[0],
                "energy_virial_eV": {"mean": energy.mean, "stderr": energy.stderr} if energy else None,
                "exchange_above": share,
            }
        )
    return {"rungs": rungs, "round_trips": ladder.round_trips(block)}


def _bond_series(states: Trajectory, bonds: structure.Bonds) -> dict[str, Array]:
    """Length of each kind of bond, (T, W) each, averaged over the beads and bonds of a state."""
    rings = states.positions.reshape(-1, *states.positions.shape[2:])
    lengths = structure.in_own_cells(
        lambda x, cell: structure.bond_lengths(bonds, x, cell, states.pbc), rings, states.cells.reshape(-1, 3, 3)
    )
    shape = states.positions.shape[:2]
    return {f"bond_length_{name}_A": found.mean(axis=(1, 2)).reshape(shape) for name, found in lengths.items()}


def _estimates(series: Mapping[str, Array], log_weights: Array | None) -> dict[str, Estimate]:
    """Means of series (T, W), reweighted where there are weights (T, W)."""
    if log_weights is None:
        return {name: statistics.estimate(values) for name, values in series.items()}
    return {name: reweighting.reweighted(values, log_weights) for name, values in series.items()}


def _two_levels(simulator: SimulatorView, number: int | None, states: Trajectory | None) -> dict[str, TwoLevelMean]:
    """The two-level means of a block; {} where it has none (yet)."""
    block = production_blocks(simulator.ledger).get(number if number is not None else -1)
    if block is None or not two_level.applies(block):
        return {}
    found = two_level.averages(block)
    run = two_level.run_of(block)
    walked = quoted_states(states, run)
    if found and states is not None and walked is not None and len(walked) == len(np.unique(run.step)):
        found |= two_level.correct(block, _bond_series(walked, reference_bonds(states)))
    return found


def _levels(simulator: SimulatorView, number: int | None, found: Mapping[str, TwoLevelMean]) -> dict[str, Any] | None:
    """Both terms of every two-level mean, and the second level's weights; None for a plain chain."""
    if not found:
        return None
    terms = {
        name: {
            "surrogate": {"mean": mean.surrogate.mean, "stderr": mean.surrogate.stderr},
            "correction": {"mean": mean.correction.mean, "stderr": mean.correction.stderr},
        }
        for name, mean in found.items()
    }
    return {**two_level.facts(production_blocks(simulator.ledger)[number or 0])._asdict(), "terms": terms}


def _observable(name: str, found: Estimate, simulator: SimulatorView) -> dict[str, Any]:
    return {
        "mean": found.mean,
        "stderr": found.stderr,
        "ess": found.ess,
        "unit": unit_of(name),
        "tau_steps": found.tau,
        "calls_per_ess": simulator.cost.calls / found.ess if found.ess > 0 else None,
    }


def _weights(view: RunView) -> dict[str, Any]:
    published = view.trainer.published if view.trainer else []
    used = {g for simulator in view.simulators for g in simulator.used_generations}
    newest = published[-1]["generation"] if published else max(used, default=None)
    driving = [s.used_generations[-1] for s in view.simulators[:1] if s.used_generations]
    generation = driving[0] if driving else newest
    row = next((r for r in reversed(published) if r["generation"] == generation), {})
    return {
        "published": len({r["generation"] for r in published} | {packet.number for packet in view.weights}),
        "used": len(used),
        "generation": generation,
        "energy_rmse_meV_per_atom": row.get("heldout_energy_rmse_meV_per_atom"),
        "force_rmse_eV_per_A": row.get("heldout_force_rmse_eV_per_A"),
        "generations": [_generation(view, r) for r in published],
    }


def _generation(view: RunView, row: Mapping[str, Any]) -> dict[str, Any]:
    """A published generation with what it was good for: its steps and acceptance in the first simulator, and in each."""
    each = {one.name: select(one.ledger, one.ledger.generation == row["generation"]) for one in view.simulators}
    driven = list(each.values())[:1]
    return {
        "generation": row["generation"],
        "batches": len(row.get("batches") or ()),
        "energy_rmse_meV_per_atom": row.get("heldout_energy_rmse_meV_per_atom"),
        "force_rmse_eV_per_A": row.get("heldout_force_rmse_eV_per_A"),
        "predicted_acceptance": row.get("predicted_acceptance"),
        "steps": sum(_steps(rows) for rows in driven),
        "acceptance": thermo.acceptance(decided(driven[0])).total if driven else None,
        "simulators": {
            name: {"steps": _steps(rows), "acceptance": thermo.acceptance(decided(rows)).total} for name, rows in each.items()
        },
    }


def _engine(view: RunView, main: SimulatorView | None, observables: Mapping[str, Any]) -> dict[str, Any]:
    """Costs; calls_per_ess is per effective sample of the virial energy, the other observables have their own."""
    starts = main.events("start") if main else []
    versions = starts[-1].get("versions") or {} if starts else {}
    return {
        "name": main.setting("engine.name") if main else None,
        "fingerprint": versions.get("engine"),
        "calls": view.calls,
        "failures": sum(s.cost.failures for s in view.simulators),
        "calls_per_ess": observables.get("energy_virial_eV", {}).get("calls_per_ess"),
        "seconds": sum(s.activities.get("engine", 0.0) for s in view.simulators),
    }


def _seconds(*daemons: DaemonView) -> dict[str, float]:
    names = dict.fromkeys(name for daemon in daemons for name in daemon.activities)
    return {f"{name}_s": sum(daemon.activities.get(name, 0.0) for daemon in daemons) for name in names}


def _steps(rows: Ledger) -> int:
    return len(np.unique(rows.step))
