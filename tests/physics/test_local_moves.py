"""The sampler of local moves against enumeration, quadrature and closed forms, always with a surrogate that is wrong.

Every z comes from independent walkers with equal step counts, 64 or more; the alarm is |z| > 4.5 (3e-5 each at 63 degrees of
freedom, under 1e-3 for the file), and every mutation beside a test must move a z by more than 10.
"""

import itertools
from collections import Counter

import numpy as np
import pytest

from kernels.random_numbers import step_rng
from kernels.ring_polymer import ring_polymer
from kernels.units import AMU_EV_FS2_PER_A2, KB_EV_PER_K, WAVENUMBER_RAD_PER_FS
from protocol.records import Phase, Structure
from sim_daemon.moves import local
from sim_daemon.moves.sites import Sites
from sim_daemon.samplers import metropolis
from sim_daemon.samplers.base import Plan
from sim_daemon.system import System

ALARM, CAUGHT = 4.5, 10.0
TEMPERATURE_K, MASS_AMU = 300.0, 1.00794
KT = KB_EV_PER_K * TEMPERATURE_K
STIFFNESS = MASS_AMU * AMU_EV_FS2_PER_A2 * (3000 * WAVENUMBER_RAD_PER_FS) ** 2
SQUARE = {1: 0.000774956111, 4: 0.00270930153, 16: 0.00508464792}  # <x^2> / A^2 of one component (docs/methods.md)
GYRATION = {4: 0.0125329711, 16: 0.0133162818}  # rg^2 / A^2 of a free particle, one component


def sample(
    formula_target, formula_surrogate, start, settings, right, wrong, widths, steps, chain=12, seed=1, burn=15, numbers=None
):
    """Positions (steps, W, P, N, 3) of the production chains of `metropolis`; start: (W, P, N, 3) A."""
    walkers, beads, atoms = start.shape[:3]
    target = formula_target(right, [MASS_AMU] * atoms)
    structure = Structure(start[0, 0], np.ones(atoms, int) if numbers is None else numbers, np.zeros((3, 3)), np.zeros(3, bool))
    target.system = System(structure.numbers, target.system.masses_amu, structure, 0, 1, None, False)
    chosen = metropolis.Settings.model_validate(
        {"ensemble": {"temperature_K": TEMPERATURE_K}, "beads": beads, "walkers": walkers, **settings}
    )
    sampler = metropolis.build(chosen, ring_polymer(target.system.masses_amu, TEMPERATURE_K, beads, 3000), target)
    state, surrogate = sampler.init(start), formula_surrogate(wrong) if wrong else None
    plan = Plan(Phase.PRODUCTION, 1, 0 if wrong else -1, "", 0.0, 0.0, chain_moves=chain, widths=widths)
    kept, accepted = [], []
    for number in range(1, steps + burn + 1):
        state, infos = sampler.step(state, surrogate, plan, step_rng(seed, "test", number))
        if number > burn:
            kept.append(state.positions)
            accepted.append([info.accepted for info in infos])
    return np.array(kept), np.mean(accepted)


@pytest.fixture
def run(formula_target, formula_surrogate):
    def go(*arguments, **named):
        return sample(formula_target, formula_surrogate, *arguments, **named)

    return go


def z_of(samples, answer):
    """samples: (steps, W), one number of each walker and step."""
    means = samples.mean(axis=0)
    return float((means.mean() - answer) / (means.std(ddof=1) / np.sqrt(len(means))))


def well(stiffness):
    return lambda x: (0.5 * stiffness * np.sum(x**2, axis=(1, 2)), -stiffness * x)


def ripple(x):
    """A wrong surrogate for a free particle, as wrong everywhere."""
    return 0.02 * np.sum(np.cos(15 * x), axis=(1, 2)), 0.3 * np.sin(15 * x)


def nothing(x):
    return np.zeros(len(x)), np.zeros_like(x)


# --- exchanges of unlike atoms: 4 x 4 lattice gas, 12,870 states ------------------------------------------------------------

SIDE, COUPLING = 4, 0.4 * KT
PLACES = np.array([(2.0 * i, 2.0 * j, 0.0) for i in range(SIDE) for j in range(SIDE)])
BONDS = np.array(
    [
        (SIDE * i + j, SIDE * k + n)
        for i in range(SIDE)
        for j in range(SIDE)
        for k, n in (((i + 1) % SIDE, j), (i, (j + 1) % SIDE))
    ]
)
TWO_KINDS = np.repeat([1, 3], 8)


def spins(x):
    """Species (B, 16) as +1 and -1 by place, of atoms that sit on the places; x: (B, 16, 3) A."""
    place = SIDE * np.rint(x[..., 0] / 2).astype(int) + np.rint(x[..., 1] / 2).astype(int)
    found = np.zeros(place.shape, int)
    np.put_along_axis(found, place, np.broadcast_to(np.where(TWO_KINDS == 1, 1, -1), place.shape), axis=-1)
    return found


def ising(coupling):
    def formula(x):
        s = spins(x)
        return -coupling * np.sum(s[:, BONDS[:, 0]] * s[:, BONDS[:, 1]], axis=1), np.zeros_like(x)

    return formula


def enumerated():
    """Bond sums of all arrangements at half filling, and their exact probabilities by sum."""
    sums = Counter()
    for up in itertools.combinations(range(SIDE**2), SIDE**2 // 2):
        s = -np.ones(SIDE**2, int)
        s[list(up)] = 1
        sums[int(np.sum(s[BONDS[:, 0]] * s[BONDS[:, 1]]))] += 1
    assert sum(sums.values()) == 12870
    weights = {total: count * np.exp(COUPLING * total / KT) for total, count in sums.items()}
    return {total: weight / sum(weights.values()) for total, weight in weights.items()}


def lattice_gas(run, wrong, right=COUPLING, steps=100):
    start = np.array([PLACES[np.random.default_rng(w).permutation(16)] for w in range(64)])[:, None]
    only = {"moves": {"translation": None, "swap": {}}}
    kept, accepted = run(start, only, ising(right), ising(wrong), {}, steps, numbers=TWO_KINDS)
    s = spins(kept[:, :, 0])
    return np.sum(s[..., BONDS[:, 0]] * s[..., BONDS[:, 1]], axis=-1), accepted


def test_exchanges_sample_the_lattice_gas_whatever_the_coupling_of_the_surrogate(run):
    exact = enumerated()
    found, accepted = lattice_gas(run, wrong=0.7 * COUPLING)
    assert 0.3 < accepted < 0.9
    mean = sum(total * share for total, share in exact.items())
    assert abs(z_of(found, mean)) < ALARM
    for total, share in exact.items():  # the whole histogram, where it has something to say
        if share > 0.02:
            assert abs(z_of(found == total, share)) < ALARM, total


def test_the_alarm_rings_for_exchanges_that_the_surrogate_decides(run):
    mean = sum(total * share for total, share in enumerated().items())
    found, _ = lattice_gas(run, wrong=0.7 * COUPLING, right=0.7 * COUPLING, steps=100)
    assert abs(z_of(found, mean)) > CAUGHT


# --- vacancies on a ring of sites with a chord: unequal numbers of neighbours ----------------------------------------------

ANGLES = 2 * np.pi * np.arange(6) / 6
RING_SITES = np.stack([2 * np.cos(ANGLES), 2 * np.sin(ANGLES), 0 * ANGLES], axis=1)
BENT = RING_SITES + np.array(
    [[0, 0, 0], [0, 0, 0], [0, 0, 0], [1.1, 0, 0], [0, 0, 0], [0, 0, 0]]
)  # a chord: atoms can pass each other
FIELD = KT * np.array([0.0, 1.0, -0.5, 0.3, 0.8, -1.0])


def seat(x):
    """Site (..., N) of atoms (..., N, 3) A."""
    return np.sum((x[..., None, :] - BENT) ** 2, axis=-1).argmin(axis=-1)


def in_field(scale):
    return lambda x: (scale * np.sum(FIELD[seat(x)] * np.arange(1, x.shape[1] + 1), axis=1), np.zeros_like(x))


def vacancies(run, steps=60):
    """Pairs of vacant sites met, (steps, W) as 10 a + b; three atoms of charge 1, 2, 3 in the field, three vacancies."""
    start = np.broadcast_to(BENT[:3], (64, 1, 3, 3)).copy()
    moves = {"translation": None, "vacancy": {"vacant_A": BENT[3:].tolist(), "neighbour_A": 2.7, "capture_A": 0.4}}
    kept, _ = run(start, {"moves": moves}, in_field(1.0), in_field(0.6), {}, steps)
    at = seat(kept[:, :, 0])
    return 100 * at[..., 0] + 10 * at[..., 1] + at[..., 2]


def open_ways(found):
    """Pairs of an occupied and a vacant neighbour site: what a forgotten number of choices favours."""
    near = np.linalg.norm(BENT[:, None] - BENT, axis=-1) <= 2.7
    full = np.zeros((*found.shape, 6), bool)
    for digit in (1, 10, 100):
        np.put_along_axis(full, (found // digit % 10)[..., None], True, axis=-1)
    return np.einsum("...a,ab,...b->...", full.astype(int), near.astype(int), (~full).astype(int))


def mean_of(exact):
    names, shares = np.array(list(exact)), np.array(list(exact.values()))
    return float(np.sum(open_ways(names) * shares))


def exact_vacancies():
    weights = {}
    for places in itertools.permutations(range(6), 3):
        energy = sum((k + 1) * FIELD[site] for k, site in enumerate(places))
        weights[100 * places[0] + 10 * places[1] + places[2]] = np.exp(-energy / KT)
    return {name: weight / sum(weights.values()) for name, weight in weights.items()}


def test_hops_into_vacancies_sample_every_arrangement(run):
    exact, found = exact_vacancies(), vacancies(run)
    for name, share in exact.items():
        if share > 0.02:
            assert abs(z_of(found == name, share)) < ALARM, name
    assert abs(z_of(open_ways(found), mean_of(exact))) < ALARM


def test_the_alarm_rings_without_the_number_of_choices(run, monkeypatch):
    def forgetful(sites, positions, width, generator):
        proposal = real(sites, positions, width, generator)
        return proposal and proposal._replace(log_factor=0.0)

    real = local.hop
    monkeypatch.setattr(local, "hop", forgetful)
    assert abs(z_of(open_ways(vacancies(run)), mean_of(exact_vacancies()))) > CAUGHT


def test_a_hop_tells_the_counts_of_both_ways():
    """Four sites in a line, atoms on the first two: into site 3 one may jump, back into site 2 two might."""
    line = np.array([[0.0, 0, 0], [2, 0, 0], [4, 0, 0], [6, 0, 0]])
    near = np.abs(np.subtract.outer(np.arange(4), np.arange(4))) == 1
    sites = Sites(line, near, 0.5, np.zeros((3, 3)), np.zeros(3, bool))
    told = {}
    for seed in range(40):
        proposal = local.hop(sites, line[None, :2].copy(), 0.0, np.random.default_rng(seed))
        if proposal:
            told[tuple(seat_on(line, proposal.positions[0]))] = proposal.log_factor
    assert told == {(0, 2): pytest.approx(np.log(2 * 1 / (2 * 2)))}  # site 4 has no neighbour that could jump


def seat_on(line, x):
    return [int(k) for k in np.abs(x[:, None, 0] - line[:, 0]).argmin(axis=1)]


# --- rings: translations and bridges ------------------------------------------------------------------------------------------


def rings(beads, width=0.03, walkers=64, atoms=1):
    first = np.random.default_rng(beads).normal(0, width, (walkers, beads, atoms, 3))
    return first[:, :1] + 0.3 * (first - first[:, :1])


def test_translations_keep_the_classical_well(run):
    kept, accepted = run(rings(1), {}, well(STIFFNESS), well(0.7 * STIFFNESS), {"translation": 0.06}, 80)
    assert 0.5 < accepted < 0.95
    assert abs(z_of(np.mean(kept**2, axis=(2, 3, 4)), SQUARE[1])) < ALARM


def test_the_alarm_rings_for_translations_that_lean_outwards(run, monkeypatch):
    def leaning(positions, width, generator):
        return local.Proposal(positions * (1 + 0.3 * generator.random()) if generator.random() < 0.5 else positions - 0.02)

    monkeypatch.setattr(local, "translate", leaning)
    kept, _ = run(rings(1), {}, well(STIFFNESS), well(0.7 * STIFFNESS), {"translation": 0.06}, 60)
    assert abs(z_of(np.mean(kept**2, axis=(2, 3, 4)), SQUARE[1])) > CAUGHT


def test_first_principles_alone_decide_the_same_ensemble(run):
    kept, _ = run(rings(1), {}, well(STIFFNESS), None, {"translation": 0.06}, 80, chain=6)
    assert abs(z_of(np.mean(kept**2, axis=(2, 3, 4)), SQUARE[1])) < ALARM


def gyration(kept):
    return np.mean((kept - kept.mean(axis=2, keepdims=True)) ** 2, axis=(2, 3, 4))


@pytest.mark.parametrize("beads", [4, 16])
def test_bridges_alone_give_the_free_ring(beads, run):
    moves = {"moves": {"translation": None, "bridge": {}}}
    kept, _ = run(rings(beads), moves, nothing, ripple, {"bridge": beads / 2}, 60, chain=20, burn=15)
    assert abs(z_of(gyration(kept), GYRATION[beads])) < ALARM


@pytest.mark.parametrize("beads", [4, 16])
def test_bridges_and_translations_give_the_oscillator(beads, run):
    moves = {"moves": {"translation": {}, "bridge": {"weight": 3}}}
    widths = {"translation": 0.08, "bridge": beads / 4}
    kept, accepted = run(rings(beads), moves, well(STIFFNESS), well(0.8 * STIFFNESS), widths, 60, chain=40, burn=20)
    assert 0.5 < accepted < 0.95
    assert abs(z_of(np.mean(kept**2, axis=(2, 3, 4)), SQUARE[beads])) < ALARM


def test_the_alarm_rings_for_a_bridge_of_the_wrong_stiffness(run, monkeypatch):
    monkeypatch.setattr(
        local, "link_variance", lambda ring, atom: 1.5 * ring.beta * 0.6582119569**2 / (ring.masses[atom] * ring.beads)
    )
    moves = {"moves": {"translation": None, "bridge": {}}}
    kept, _ = run(rings(4), moves, nothing, ripple, {"bridge": 2.0}, 50, chain=20, burn=15)
    assert abs(z_of(gyration(kept), GYRATION[4])) > CAUGHT


# --- molecules ------------------------------------------------------------------------------------------------------------------

FIELD_STRENGTH = 1.5  # energy in the field over kT


def dipole(strength):
    """A rod of two atoms in a field along z, -strength kT cos theta; forces play no part."""

    def formula(x):
        rod = x[:, 1] - x[:, 0]
        return -strength * KT * rod[:, 2] / np.linalg.norm(rod, axis=1), np.zeros_like(x)

    return formula


def orientations(run, **named):
    start = np.zeros((64, 1, 2, 3))
    start[:, 0, 1] = (0.0, 0.8, 0.6)
    moves = {"translation": None, "rotation": {}, "collective": {"weight": 0.2}}
    widths = {"rotation": 90.0, "collective": 0.1}
    settings = {"moves": moves, "molecules": [[1, 2]]}
    kept, accepted = run(start, settings, dipole(FIELD_STRENGTH), dipole(0.6), widths, 80, **named)
    rod = kept[:, :, 0, 1] - kept[:, :, 0, 0]
    np.testing.assert_allclose(np.linalg.norm(rod, axis=-1), 1.0, atol=1e-9)  # rigid
    return rod[..., 2], accepted


def quadrature(power):
    cosine = np.linspace(-1, 1, 20001)
    weight = np.exp(FIELD_STRENGTH * cosine)
    return float(np.sum(cosine**power * weight) / np.sum(weight))


def test_a_rigid_rotor_in_a_field_against_quadrature(run):
    cosine, accepted = orientations(run)
    assert 0.3 < accepted < 0.95
    assert abs(z_of(cosine, quadrature(1))) < ALARM
    assert abs(z_of(cosine**2, quadrature(2))) < ALARM


def test_the_alarm_rings_for_an_axis_that_prefers_a_direction(run, monkeypatch):
    """Turns towards the pole that are not matched by turns away from it."""

    def leaning(groups, positions, width, generator):
        proposal = real(groups, positions, width, generator)
        rod = proposal.positions[0, 1] - proposal.positions[0, 0]
        return proposal if rod[2] > 0 or generator.random() < 0.3 else local.Proposal(positions)

    real = local.rotate
    monkeypatch.setattr(local, "rotate", leaning)
    cosine, _ = orientations(run)
    assert abs(z_of(cosine, quadrature(1))) > CAUGHT


def test_moves_leave_what_they_must():
    """Exchange keeps the shapes of rings, rotation and joint translation the shape of the molecule, all of them their input."""
    rng = np.random.default_rng(3)
    x = rng.normal(0, 1.0, (5, 4, 3))
    x.flags.writeable = False
    whole = local.Group(np.array([1, 2, 3]), np.array([[0.0, 0, 0], [9, 0, 0], [0, -7, 0]]))
    exchanged = local.swap(np.array([[0, 2]]), x, 0.0, rng).positions
    np.testing.assert_allclose(exchanged.mean(axis=0)[[2, 1, 0, 3]], x.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(exchanged - exchanged.mean(axis=0), x - x.mean(axis=0), atol=1e-12)
    for moved in (local.rotate([whole], x, 60.0, rng).positions, local.translate_together([whole], x, 0.5, rng).positions):
        assert not np.allclose(moved, x)
        np.testing.assert_array_equal(moved[:, 0], x[:, 0])
        before, after = (y[:, whole.members] + whole.offsets for y in (x, moved))
        distances = [np.linalg.norm(y[:, :, None] - y[:, None], axis=-1) for y in (before, after)]
        np.testing.assert_allclose(*distances, atol=1e-9)
        springs = [np.linalg.norm(y - np.roll(y, 1, axis=0), axis=-1) for y in (before, after)]
        np.testing.assert_allclose(*springs, atol=1e-9)
