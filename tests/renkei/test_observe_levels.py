"""Observables of a two-level block: two atoms in harmonic wells on rings of 4 beads, the surrogate's wells 10 % too soft."""

import io
from dataclasses import replace

import h5py
import numpy as np
import pytest

import renkei
from kernels.ring_polymer import estimators, mode_matrix, ring_polymer
from kernels.units import AMU_EV_FS2_PER_A2, WAVENUMBER_RAD_PER_FS
from protocol.errors import BadSetting
from protocol.store import Store
from renkei import observe_levels
from renkei.analysis import level_sums
from renkei.analysis.level_sums import LevelSums
from renkei.observe import Selection

KELVIN, BEADS, WALKERS, MASSES = 300.0, 4, 4, np.array([15.999, 1.00794])
STIFFNESS = 1.00794 * AMU_EV_FS2_PER_A2 * (2000 * WAVENUMBER_RAD_PER_FS) ** 2  # eV/A^2
CENTRES = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
EVERY, STEPS, CHAIN = 6, 600, 400
RING = ring_polymer(MASSES, KELVIN, BEADS, 3000)
RESOLVED = """\
science:
  system: {structure: x.xyz}
  sampler: {name: sl_pihmc, beads: 4, walkers: 4, ensemble: {name: nvt, temperature_K: 300.0}}
  seed: 7
machine: {}
"""


def frequencies(stiffness):
    """(P, N) rad/fs, of the modes in the well."""
    return np.sqrt((RING.springs * BEADS + stiffness) / (MASSES * AMU_EV_FS2_PER_A2))


def draw(rng, count, stiffness):
    """Exact rings (count, W, P, N, 3) A."""
    width = 1 / np.sqrt(RING.beta * (RING.springs + stiffness / BEADS))
    modes = rng.standard_normal((count, WALKERS, BEADS, 2, 3)) * width[..., None]
    return CENTRES + np.einsum("kp,twkna->twpna", mode_matrix(BEADS), modes)


def observables(x, stiffness, offset=-200.0):
    away = x - CENTRES
    found = estimators(RING, away, offset + 0.5 * stiffness * np.sum(away**2, axis=(1, 2)), -stiffness * away)
    row = {"energy_primitive_eV": found.primitive, "energy_virial_eV": found.virial, "potential_energy_eV": found.potential}
    return {**row, "kinetic_energy_eV": found.kinetic_virial}


def write(root, soft=0.9, chain_soft=1.0, steps=STEPS, chain=CHAIN):
    """A finished two-level block as the simulator leaves it."""
    epoch, rng = Store(root, period_s=0.05).claim("sim/sim0"), np.random.default_rng(4)
    epoch.write_text("run.resolved.yaml", RESOLVED)
    add = epoch.journal.append
    add({"event": "start", "epoch": epoch.number, "ranks": 1, "host": "node", "versions": {}, "unix": 1.0})
    places = [draw(rng, chain, chain_soft * STIFFNESS), draw(rng, steps, soft * STIFFNESS)]
    for step, rings in enumerate(np.concatenate(places), start=1):
        k = step - chain
        move = "metropolis" if k <= 0 else "level_2" if k % EVERY == 0 else "level_1"
        for w, x in enumerate(rings):
            right, wrong = observables(x, STIFFNESS), observables(x, soft * STIFFNESS)
            seen = right if k <= 0 else {f"surrogate_{name}": value for name, value in wrong.items()}
            if move == "level_2":
                u = RING.beta * (right["potential_energy_eV"] - wrong["potential_energy_eV"])
                seen = {**seen, **right, "log_weight": -u}
            row = {"event": "step", "step": step, "walker": w, "phase": "production", "block": 1, "generation": 2, "digest": "d"}
            row |= {"move": move, "accepted": True, "outcome": "", "log_ratio": 0.0 if k <= 0 else None, "timestep_fs": 0.5}
            add({**row, "length_fs": 20.0, "engine_calls": 4, "observables": seen, "seconds": {}, "unix": 1.0})
    add({"event": "block_end", "block": 1, "steps": chain})
    for part in (slice(0, 300), slice(300, None)):
        chosen = np.arange(1, chain + steps + 1)[part]
        epoch.publish_trajectory(int(chosen[-1]), segment(chosen, np.concatenate(places)[part]))
    add({"event": "end", "reason": "production is complete", "activities": {}})
    epoch.save_checkpoint({"cursor": {"batch": 0, "generation": -1, "row": epoch.journal.rows_written}})
    epoch.close("gone")
    return root


def segment(steps, positions):
    image = io.BytesIO()
    with h5py.File(image, "w") as file:
        atoms = file.create_group("particles/all")
        atoms["position/value"], atoms["position/step"], atoms["species"] = positions, steps, np.array([8, 1])
        atoms["box"], atoms.attrs["pbc"] = np.zeros((3, 3)), np.zeros(3, dtype=bool)
        file["observables/phase"], file["observables/block"] = np.ones(len(steps), int), np.ones(len(steps), int)
    return image.getvalue()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write(tmp_path_factory.mktemp("levels"))


def analysed(root, wanted, **selected):
    view = renkei.open(root)
    return observe_levels.observe_quoted(Store(root), view.simulator(), wanted, Selection(**selected))


def exact_energy(kelvin):
    """Finite-P energy of all six oscillators, eV, without the offset; its derivative is the heat capacity."""
    kT = 8.617333262e-5 * kelvin
    ring = ring_polymer(MASSES, kelvin, BEADS, 3000)
    omega2 = STIFFNESS / (MASSES * AMU_EV_FS2_PER_A2)
    return 3 * kT * np.sum(omega2 / (ring.springs * BEADS / (MASSES * AMU_EV_FS2_PER_A2) + omega2))


def z(estimate, answer):
    return (estimate.mean - answer) / estimate.stderr


def test_energies_and_heat_capacity_are_those_of_the_target(root):
    found = analysed(root, ["energy", "heat_capacity"])
    energy = exact_energy(KELVIN) - 200.0
    for name in ("energy_virial_eV", "energy_primitive_eV"):
        assert abs(z(found.averages[name].estimate, energy)) < 4.5
        assert found.averages[name].refusal == ""
        assert abs(z(found.averages[name].beside, energy)) < 4.5
    assert abs(z(found.averages["energy_difference_eV"].estimate, 0.0)) < 4.5
    capacity = (exact_energy(303.0) - exact_energy(297.0)) / 6
    assert abs(z(found.averages["heat_capacity_eV_per_K"].estimate, capacity)) < 4.5
    assert found.averages["heat_capacity_eV_per_K"].estimate.stderr < 0.2 * capacity
    assert f"two levels: {STEPS * WALKERS} samples" in found.notes[0]
    assert f"{STEPS // EVERY * WALKERS} of them labelled" in found.notes[0]


def test_structural_means_and_curves_are_those_of_the_target(root):
    found = analysed(root, ["distances", "radius_of_gyration", "pair_distribution"])
    exact = draw(np.random.default_rng(9), 5000, STIFFNESS)
    lengths = np.linalg.norm(exact[..., 1, :] - exact[..., 0, :], axis=-1)
    distance = found.averages["distance_O-H_A"]
    spread = np.hypot(distance.estimate.stderr, lengths.mean(axis=2).std() / np.sqrt(lengths.shape[0] * WALKERS))
    assert abs(distance.estimate.mean - lengths.mean()) < 4.5 * spread
    curve = found.curves["pair_distribution_O-H"]
    edges = np.linspace(0.0, 6.0, 201)
    answer = np.histogram(lengths, edges)[0] / lengths.size / np.diff(edges)
    bins = answer > 0.2 * answer.max()
    zs = (curve.estimate.value - answer)[bins] / curve.estimate.stderr[bins]
    assert np.abs(zs).max() < 5
    assert 0.4 < zs.std() < 1.6
    radius = found.averages["radius_of_gyration_H_A"]
    away = exact - exact.mean(axis=2, keepdims=True)
    assert abs(z(radius.estimate, np.sqrt((away[..., 1, :] ** 2).sum(axis=-1).mean(axis=-1)).mean())) < 4.5
    assert abs(radius.series.mean() - radius.estimate.mean) > 5 * radius.estimate.stderr  # the first level by itself
    assert curve.refusal == ""


def test_a_chain_that_disagrees_refuses_the_mean_that_it_disagrees_with(tmp_path_factory):
    """The chain is that of softer wells, as if the surrogate's run had missed a part of them."""
    found = analysed(write(tmp_path_factory.mktemp("missed"), chain_soft=0.7), ["radius_of_gyration", "energy"])
    radius = found.averages["radius_of_gyration_H_A"]
    assert "in the chain beside it, z = " in radius.refusal
    assert any(note.startswith("do not quote: ") and "disagree" in note for note in found.notes)
    assert replace(radius, beside=None).refusal == ""


def test_what_two_levels_cannot_say_and_the_chain_alone(root):
    with pytest.raises(BadSetting, match="compares states with one another"):
        analysed(root, ["mean_square_displacement"])
    with pytest.raises(BadSetting, match="two levels need every state"):
        analysed(root, ["energy"], stride=2)
    with pytest.raises(BadSetting, match="two levels need every state"):
        analysed(root, ["energy"], skip=5)
    with pytest.raises(BadSetting, match="two-level blocks cannot be put together"):
        analysed(root, ["energy"], all_blocks=True)
    alone = analysed(root, ["energy"], chain=True)
    assert (len(alone.step), alone.weights, alone.averages["energy_virial_eV"].beside) == (CHAIN, None, None)
    assert len(analysed(root, ["mean_square_displacement"], chain=True).step) == CHAIN


def test_a_run_with_too_few_rings_shows_its_chain(tmp_path_factory):
    found = analysed(write(tmp_path_factory.mktemp("short"), steps=EVERY + 1), ["energy"])
    assert len(found.step) == CHAIN


def test_the_command_and_its_file(root, renkei, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    code, out, _ = renkei("analyze", root, "--observable", "energy,bonds", "--into", tmp_path / "x.h5")
    assert code == 0
    assert "two levels:" in out
    assert "chain" in next(line for line in out.splitlines() if "R-hat" in line)
    with h5py.File(tmp_path / "x.h5") as file:
        target = file["series/energy_virial_eV"][:]
        assert np.isfinite(target).sum() == STEPS // EVERY * WALKERS
        assert np.isfinite(file["series/surrogate_energy_virial_eV"]).all()
        assert np.isfinite(file["series/log_weight"][EVERY - 1]).all()
        assert file["curves/bond_length_distribution_O-H/stderr"].shape == (180,)
    code, out, _ = renkei("analyze", root, "--observable", "energy", "--chain")
    assert (code, "two levels" in out) == (0, False)


def test_sums_of_curves_are_the_two_level_mean_of_every_bin():
    """Against the estimator of numbers, bin by bin; without the correction the mean is that of the surrogate."""
    from kernels import two_level

    rng = np.random.default_rng(2)
    first = rng.standard_normal((64, 2, 3))
    logs = np.where(np.arange(64)[:, None] % 4 == 3, 0.3 * rng.standard_normal((64, 2)), np.nan)
    second = first + 0.1
    sums = LevelSums(64, 2, 3)
    ones = np.ones_like(first)
    for part in (slice(0, 30), slice(30, 64)):
        place = np.arange(64)[part]
        sums.add(place, first[part], ones[part])
        chosen = place[place % 4 == 3]
        share = np.exp(logs[chosen] - np.nanmax(logs))
        sums.add_labelled(chosen, (first[chosen], ones[chosen]), (second[chosen], ones[chosen]), share)
    told = sums.estimate()
    for k in range(3):
        found = two_level.combine(first[..., k], np.where(np.isfinite(logs), second[..., k], np.nan), logs)
        assert told.value[k] == pytest.approx(found.whole.mean, abs=0.3 * found.whole.stderr)
        assert told.stderr[k] == pytest.approx(found.whole.stderr, rel=0.6)
        assert told.value[k] == pytest.approx(found.surrogate.mean + found.correction.mean, abs=0.3 * found.whole.stderr)
    assert level_sums.BLOCKS * 2 >= 8
