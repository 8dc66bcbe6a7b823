"""The gate of a two-level block: each of its rules with exactly one thing wrong, and a region that the surrogate forbids."""

import math

import numpy as np
import pytest

from renkei.analysis import two_level, verdict
from renkei.analysis.ledger import production_blocks, steps_of
from renkei.analysis.two_level import LabelledRing

BETA, ENERGY_eV = 38.68, -100.0


def rows(every=10, ring_steps=30, walkers=4, spread=0.15, stretch_fs=20.0, chain_shift=0.0, start_shift=0.0, seed=1, chain=60):
    """Journal rows of one block: a chain whose target energy is Normal, and a surrogate's run of the same states."""
    rng, found, step = np.random.default_rng(seed), [], 0

    def row(move, walker, observables, **more):
        base = {"event": "step", "step": step, "walker": walker, "phase": "production", "block": 1, "generation": 2, "move": move}
        base |= {"accepted": True, "log_ratio": None, "timestep_fs": 0.5, "length_fs": stretch_fs}
        found.append({**base, "observables": observables, **more})

    for _ in range(chain):
        step += 1
        for w in range(walkers):
            energy = ENERGY_eV + 0.05 * rng.standard_normal() + chain_shift
            row("metropolis", w, observables(energy), log_ratio=float(rng.normal(-0.005, 0.1)))
    for k in range(1, every * ring_steps + 1):
        step += 1
        for w in range(walkers):
            energy = ENERGY_eV + 0.05 * rng.standard_normal() + start_shift * (w == 0)
            seen = {f"surrogate_{name}": value for name, value in observables(energy).items()}
            u = spread * rng.standard_normal() + 7.0
            if k % every == 0:
                seen |= {**observables(energy), "log_weight": -u}
            row("level_2" if k % every == 0 else "level_1", w, seen)
    return found


def observables(energy):
    return {
        "energy_primitive_eV": energy + 0.01 * math.sin(1e4 * energy),
        "energy_virial_eV": energy,
        "potential_energy_eV": energy,
    }


def block_of(**choices):
    return production_blocks(steps_of(rows(**choices)))[1]


def test_a_sound_block_passes_and_needs_its_weights():
    checks = two_level.gate(block_of())
    assert {check.name: str(check.outcome) for check in checks} == {
        "rings": "holds",
        "weights": "reweight",
        "starts": "holds",
        "chain": "holds",
    }
    block = block_of()
    found = two_level.facts(block)
    assert (found.samples, found.rings, found.apart_fs) == (1200, 120, 200.0)
    assert found.spread == pytest.approx(0.15, rel=0.25)
    assert abs(found.beta_dF - (7.0 - 0.5 * 0.15**2)) < 4.5 * found.beta_dF_stderr
    mean = two_level.averages(block)["energy_virial_eV"].whole
    assert abs(mean.mean - ENERGY_eV) < 4.5 * mean.stderr
    judged = verdict.judge({1: block}, [{"event": "block_end", "block": 1}], checks)
    assert judged.verdict == "exact after reweighting"


@pytest.mark.parametrize(
    ("choices", "name", "said"),
    [
        ({"ring_steps": 24}, "rings", "96 labelled rings"),
        ({"every": 4}, "rings", "80 fs apart"),
        ({"spread": 0.45}, "weights", "the spread must be at most 0.35"),
        ({"spread": 1.2}, "weights", "n_eff must be"),
        ({"spread": 2.5}, "weights", "no weight may be above 0.1"),
        ({"start_shift": 0.1}, "starts", "R-hat"),
        ({"chain_shift": 0.03}, "chain", "disagree"),
    ],
)
def test_one_thing_is_wrong(choices, name, said):
    failed = [check for check in two_level.gate(block_of(**choices)) if check.outcome is verdict.Outcome.FAILS]
    assert [check.name for check in failed] == [name]
    assert said in failed[0].said


def test_free_energies_of_both_directions():
    """Gaussian u of width s: on the surrogate's rings around m, on the chain's around m - s^2."""
    block, rng = block_of(), np.random.default_rng(4)
    reverse = rng.normal(7.0 - 0.15**2, 0.15, (60, 4))
    assert two_level.free_energies(block, reverse).outcome is verdict.Outcome.HOLDS
    assert two_level.free_energies(block, reverse + 0.2).outcome is verdict.Outcome.FAILS


def test_a_forbidden_region_is_seen_in_stored_rings_alone():
    """The weights are clean: only rings of other phases can tell."""
    block = block_of()
    assert all(check.outcome is not verdict.Outcome.FAILS for check in two_level.gate(block))
    good = [LabelledRing(7.0 + 0.1 * k, ENERGY_eV, True, "adapt, step 3, walker 0") for k in range(-5, 5)]
    assert two_level.forbidden(block, good).outcome is verdict.Outcome.HOLDS
    hole = LabelledRing(7.0 - 20.0, ENERGY_eV, True, "adapt, step 40, walker 1")
    told = two_level.forbidden(block, [*good, hole])
    assert told.outcome is verdict.Outcome.FAILS
    assert "forbids 1 of 11" in told.said
    assert "step 40" in told.said
    far = hole._replace(potential_eV=ENERGY_eV + 5.0)  # an energy that the ensemble does not have
    assert two_level.forbidden(block, [*good, far]).outcome is verdict.Outcome.HOLDS
    few = hole._replace(u=7.0 - 8.0, whole=False)  # a bead or two scatter more than a ring
    assert two_level.forbidden(block, [*good, few]).outcome is verdict.Outcome.HOLDS


def test_an_unfinished_run_says_only_that():
    [check] = two_level.gate(block_of(ring_steps=1, every=8))
    assert (check.name, check.outcome) == ("rings", verdict.Outcome.FAILS)
    short = block_of()
    judged = verdict.judge({1: short}, [], two_level.gate(short))
    assert judged.verdict == "do not quote"
    assert "no production block is complete" in judged.reasons[0]


def test_a_well_that_the_surrogate_walls_off(monkeypatch):
    """Two equal wells, the surrogate 25 kT too high in one: its run stays in the other and every weight is one.

    A chain that began in the same well sees nothing either; the labelled rings of the adapt phase do.
    """
    rng = np.random.default_rng(8)
    monkeypatch.setitem(globals(), "observables", lambda energy: {"potential_energy_eV": energy, "place_A": 1 + energy + 100})
    block = block_of(spread=0.05)
    place = two_level.averages(block)["place_A"].whole
    assert abs(place.mean - 0.0) > 10 * place.stderr  # the truth: both wells alike, at -1 and 1
    assert all(check.outcome is not verdict.Outcome.FAILS for check in two_level.gate(block))
    sides = rng.choice([-1, 1], 40)
    labelled = [
        LabelledRing(7.0 - 25.0 * (side < 0), ENERGY_eV + 0.05 * rng.standard_normal(), True, f"adapt, step {k}, walker 0")
        for k, side in enumerate(sides)
    ]
    seen = two_level.forbidden(block, labelled)
    assert seen.outcome is verdict.Outcome.FAILS
    assert f"forbids {(sides < 0).sum()} of 40" in seen.said
    monkeypatch.setattr(two_level, "FORBIDDEN", -math.inf)  # without the rule it goes unseen
    assert two_level.forbidden(block, labelled).outcome is verdict.Outcome.HOLDS
