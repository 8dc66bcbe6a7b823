"""The adapt phase of mixtures: alpha from the residual's spread, and what a freeze asks of a surrogate that need not be good.

What is common with other trajectories (step, length, exploring, trials) is in adapt.py. Nothing here runs in production.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from kernels.mixing import best_alpha, mix_acceptance, mix_yield, weight_efficiency
from sim_daemon.adapt import Adapter, Trials
from sim_daemon.samplers.base import Info, Move, Plan

FIRST_ALPHA = 0.6  # near the best one for every residual of more than kT
LEAST_ALPHA = 0.3  # planned ones: the chain must feel first principles, or it walks into what the surrogate has never seen
PLAN_TRIALS = 30  # trials with one (generation, alpha) before alpha may change
GOOD_ENOUGH = 0.95  # of the best yield: then alpha stays, and its trials count
LEAST_YIELD = 0.1  # acceptance times weight efficiency; at a residual of 2.5 kT. Below, the surrogate must become better
LEAST_ACCEPTANCE = 0.15
STUCK = 30  # rejections in a row: one in 100 of those that begin, at the least acceptance


class Residual(NamedTuple):
    """What trials tell of D = beta (V_FP - V_ML)."""

    sigma: float  # standard deviation along the chain
    rho: float  # share of D that a proposal keeps


class MixAdapter(Adapter):
    """Adapter that plans alpha too; trials are of one (generation, length, alpha)."""

    probe_acceptance, trial_acceptance, stuck_after = 0.0, LEAST_ACCEPTANCE, STUCK

    def __init__(self, beta: float, fixed: float | None, sees_proposals: bool, *rest: Any) -> None:
        """beta: 1/eV.  fixed: alpha where it is given.  sees_proposals: whether the residual of every proposal is known."""
        super().__init__(*rest)
        self.beta, self.fixed_alpha, self.sees_proposals = beta, fixed, sees_proposals
        self.alpha = FIRST_ALPHA if fixed is None else fixed
        self.residuals: list[float] = []  # eV, of the states after the trials in hand
        self.works: list[float] = []  # the residual's share of ln of the ratio, of their proposals

    def knobs(self, generation: int, move: Move) -> dict[str, Any]:
        """What else a plan holds: alpha, of moves that the mixture decides."""
        mixes = generation >= 0 and move is Move.METROPOLIS
        return {**super().knobs(generation, move), "alpha": self.alpha if mixes else 1.0}

    def _begin_trials(self, plan: Plan) -> None:
        super()._begin_trials(plan)
        self.residuals, self.works = [], []

    def _tried(self, plan: Plan, infos: Sequence[Info]) -> None:
        if plan.alpha != self.alpha:  # a recorded plan is imposed: what is tried is what it says
            self.alpha = plan.alpha
            self._begin_trials(plan)
            self.lengths.forget()
        if plan.trajectory_fs != self.trials.trajectory_fs:
            self._begin_trials(plan)
            self.length_fs = plan.trajectory_fs
        for info in infos:
            self.residuals.append(info.observables.get("residual_eV", math.nan))
            self.works.append(info.log_ratio_model)
        super()._tried(plan, infos)

    def residual(self) -> Residual | None:
        """Spread and memory of the residual in the trials in hand; None where they are too few.

        Var(alpha dD) = 2 alpha^2 sigma^2 (1 - rho) over the proposals, accepted or not; so sigma is at least what they show, even
        of a chain that stands still.
        """
        found = self.beta * np.array(self.residuals)
        found = found[np.isfinite(found)]
        if len(found) < PLAN_TRIALS:
            return None
        sigma, works = float(found.std()), np.array(self.works)
        works = works[np.isfinite(works)]
        if not self.sees_proposals or not self.alpha or len(works) < PLAN_TRIALS or not works.any():
            return Residual(sigma, 0.0)
        forgotten = float(works.std()) / (math.sqrt(2) * self.alpha)  # sigma sqrt(1 - rho)
        sigma = max(sigma, forgotten)
        return Residual(sigma, min(1 - (forgotten / sigma) ** 2, 0.99))

    def adjust(self) -> list[dict[str, Any]]:
        """Between segments: the length as ever, and alpha where another one would yield more; then trials begin anew."""
        rows = super().adjust()
        found = self.residual()
        if self.fixed_alpha is None and found and not self.failed and not self._alpha_right(found):
            self.alpha = self._planned(found)
            self.trials = Trials(self.trials.generation, self.trials.trajectory_fs)
            self.residuals, self.works, self.runs = [], [], [0] * len(self.runs)
            self.lengths.forget()
        return rows

    @staticmethod
    def _planned(found: Residual) -> float:
        return max(best_alpha(*found), LEAST_ALPHA)

    def _alpha_right(self, found: Residual) -> bool:
        if self.fixed_alpha is not None:
            return True
        return bool(mix_yield(self.alpha, *found) >= GOOD_ENOUGH * mix_yield(self._planned(found), *found))

    def criteria(self) -> dict[str, Any]:
        """The freeze criteria with their numbers; all `met` values true means converged."""
        told, found = super().criteria(), self.residual()
        if found is None:
            return {**told, "met": {**told["met"], "yield": False}}
        efficiency = float(weight_efficiency(self.alpha, found.sigma))
        met = {
            **told["met"],
            "alpha": self._alpha_right(found),
            "yield": self.trials.acceptance * efficiency >= LEAST_YIELD,
        }
        planned = {"alpha": self.alpha, "sigma": found.sigma, "rho": found.rho, "weight_efficiency": efficiency}
        return {**told, "met": met, **planned, "acceptance_planned": float(mix_acceptance(self.alpha, *found))}

    def dump(self) -> dict[str, Any]:
        """Plain data for the checkpoint."""
        return {**super().dump(), "alpha": self.alpha, "residuals": self.residuals, "works": self.works}

    def restore(self, state: Mapping[str, Any]) -> None:
        """The inverse of dump."""
        super().restore(state)
        self.alpha, self.residuals, self.works = state["alpha"], list(state["residuals"]), list(state["works"])
