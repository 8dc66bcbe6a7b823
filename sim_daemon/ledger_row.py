"""One step of one walker as a row of the ledger."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from sim_daemon.block import Block
from sim_daemon.samplers.base import Info, Plan


def ledger_row(step: int, walker: int, plan: Plan, info: Info, seconds: Mapping[str, float]) -> dict[str, Any]:
    """What the ledger says of one walker's step; NaN becomes null."""
    cell = {} if info.log_ratio_cell is None else {"log_ratio_cell": _finite(info.log_ratio_cell)}
    rung = {} if info.temperature_K is None else {"temperature_K": info.temperature_K, "replica": info.replica}
    jump = {} if info.squared_jump_A2 is None else {"squared_jump_A2": _finite(info.squared_jump_A2)}
    swap = {} if info.swap is None else {"swap": {**info.swap._asdict(), "log_ratio": _finite(info.swap.log_ratio)}}
    return {
        "event": "step",
        "step": step,
        "walker": walker,
        "phase": str(plan.phase),
        "block": plan.block,
        "generation": plan.generation,
        "digest": plan.digest,
        "move": str(plan.move),
        **({"alpha": plan.alpha} if plan.alpha < 1 else {}),
        **({"approximation": info.approximation} if info.approximation else {}),
        "timestep_fs": plan.timestep_fs,
        "md_steps": info.md_steps,
        "length_fs": info.length_fs,
        "accepted": info.accepted,
        "outcome": info.outcome,
        "log_ratio": _finite(info.log_ratio),
        "log_ratio_integrator": _finite(info.log_ratio_integrator),
        "log_ratio_model": _finite(info.log_ratio_model),
        **cell,
        **jump,
        **rung,
        **swap,
        "engine_calls": info.engine_calls,
        "engine_failures": info.engine_failures,
        "cheap_calls": info.cheap_calls,
        "observables": dict(info.observables),
        **({"counts": dict(info.counts)} if info.counts else {}),
        "seconds": dict(seconds),
        "unix": round(time.time(), 3),
    }


def _finite(x: float) -> float | None:
    return float(x) if np.isfinite(x) else None


def progress(plan: Plan, block: Block | None, planned: int) -> dict[str, Any]:
    """Where a simulator stands, for its heartbeat; planned: production steps, where no block is open."""
    return {
        "phase": str(plan.phase),
        "block": plan.block,
        "block_step": block.steps if block else 0,
        "steps_planned": block.length if block else planned,
        "generation": plan.generation,
        "timestep_fs": plan.timestep_fs or None,
        "trajectory_fs": plan.trajectory_fs or None,
        "chain_moves": plan.chain_moves or None,
        "alpha": plan.alpha if plan.alpha < 1 else None,
        **(block.progress() if block else {}),
    }
