"""Constant pressure against known answers: laws of the volume, of the cell's shape, and of what depends on both.

Walkers are independent and start in the exact law, which a right step keeps and a wrong one leaves. Alarms: |z| > 4.5 with 159
degrees of freedom (1.3e-5 each), and p < 1e-5 of a Kolmogorov-Smirnov test on the walkers' last volumes: below 2e-3 for the
whole file, with fixed seeds. Each mutation must move a z by more than 10.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import expon, gamma, kstest, rv_histogram

from kernels.potentials.base import Evaluation
from kernels.random_numbers import step_rng
from kernels.ring_polymer import ring_polymer
from kernels.units import AMU_EV_FS2_PER_A2, GPA_PER_EV_A3, KB_EV_PER_K
from protocol.records import Label, Phase, Structure
from sim_daemon.ensembles import FLATTEST, Npt, shape
from sim_daemon.moves import cell as cell_moves
from sim_daemon.moves import palindrome
from sim_daemon.moves.cell import SMALLEST_A3, Barostat, barostat_of, volume
from sim_daemon.moves.ring_move import at_pressure, ring_step
from sim_daemon.samplers.base import Plan, State, start_state
from sim_daemon.system import System
from sim_daemon.target import TargetValues

TEMPERATURE_K, MASS_AMU, ALARM, RARE = 300.0, 12.0, 4.5, 1e-5
KT = KB_EV_PER_K * TEMPERATURE_K
SCALE_A3 = 100.0  # kT/p
PRESSURE_GPA = KT / SCALE_A3 * GPA_PER_EV_A3
WALKERS = 160
PLACES = np.array([[0.0, 0.0, 0.0], [0.5, 0.25, -0.4]])  # of two atoms in the cell
STIFFNESS = 8.0  # eV/A^2
WIDTH = np.sqrt(KT / STIFFNESS)  # of the centroids, exact for any number of beads


class Formula:
    """formula(positions (B, N, 3), cells (B, 3, 3)) -> energies, forces, stresses plays first principles or the surrogate."""

    species, cutoff, generation = (), 0.0, 0

    def __init__(self, formula, atoms, edge_A=6.0):
        structure = Structure(np.zeros((atoms, 3)), np.ones(atoms, int), edge_A * np.eye(3), np.ones(3, bool))
        self.system = System(structure.numbers, np.full(atoms, MASS_AMU), structure, 0, 1, None, False)
        self.formula, self.calls = formula, 0

    def __call__(self, positions, cells=None):
        cells = np.repeat(self.system.structure.cell[None], len(positions), axis=0) if cells is None else cells
        energies, forces, stresses = self.formula(positions, cells)
        self.calls += len(positions)
        labels = tuple(Label(None, e, f, s, 0, 1, "") for e, f, s in zip(energies, forces, stresses, strict=True))
        ones = np.ones(len(positions), int)
        return TargetValues(positions, energies, forces, labels, (None,) * len(positions), ones, 0 * ones)

    def evaluate(self, positions, numbers, cell, pbc):
        return Evaluation(*self.formula(positions, np.repeat(cell[None], len(positions), axis=0)))


def nothing(x, cells):
    """An ideal gas."""
    return np.zeros(len(x)), np.zeros_like(x), np.zeros_like(cells)


def invented(x, cells):
    """A wrong surrogate of it: wells and a stress that belong to nothing."""
    return 0.002 * np.sum(x**2, axis=(1, 2)), -0.004 * x, np.repeat(1e-4 * np.eye(3)[None], len(x), axis=0)


def wells(stiffness, places):
    """Every atom in a well at a fixed scaled place: the spread about it costs V^-N, so that V is exponential."""

    def formula(x, cells):
        away = x - np.einsum("na,bac->bnc", places, cells)
        energies = 0.5 * stiffness * np.sum(away**2, axis=(1, 2))
        stresses = stiffness * np.einsum("bna,bnc->bac", away, away) / np.abs(np.linalg.det(cells))[:, None, None]
        return energies, -stiffness * away, stresses

    return formula


def spring(bulk, rest_A3):
    """U = B (V - V0)^2 / (2 V0), whatever the atoms do."""

    def formula(x, cells):
        size = np.abs(np.linalg.det(cells))
        stresses = (bulk * (size - rest_A3) / rest_A3)[:, None, None] * np.eye(3)
        return 0.5 * bulk * (size - rest_A3) ** 2 / rest_A3, np.zeros_like(x), stresses

    return formula


@pytest.fixture(autouse=True)
def jumps_in_every_step(monkeypatch):
    monkeypatch.setattr(palindrome, "JUMP_SHARE", 1.0)


def ensemble(**keys):
    given = {"name": "npt", "temperature_K": TEMPERATURE_K, "pressure_GPa": PRESSURE_GPA, "period_fs": 60.0}
    return Npt(**{**given, "bulk_modulus_GPa": 3 * PRESSURE_GPA, **keys})


def cubes(law, seed, walkers=WALKERS):
    """Cubic cells (W, 3, 3) with volumes of a law."""
    return np.cbrt(law.rvs(size=walkers, random_state=seed))[:, None, None] * np.eye(3)


def sample(target, surrogate, beads, steps, seed, cells, cell_step=0.9, timestep_fs=2.0, trajectory_fs=6.0, **keys):
    """Cells (steps, W, 3, 3), observables by name (steps, W), ln of the ratios and acceptance (steps, W)."""
    ring = ring_polymer(target.system.masses_amu, TEMPERATURE_K, beads, 1200)
    barostat = barostat_of(ensemble(**keys), target.system.structure)
    atoms, walkers, rng = len(ring.masses), len(cells), np.random.default_rng(seed)
    places = (PLACES[:atoms] @ cells)[:, None] + rng.normal(0, WIDTH, (walkers, 1, atoms, 3))
    positions = places + np.array([ring.spread(rng, 1e-3) for _ in range(walkers)])
    values = target(positions.reshape(-1, atoms, 3), np.repeat(cells, beads, axis=0))
    known = values.energies.reshape(walkers, beads), values.forces.reshape(positions.shape)
    state = State(positions, *known, cells, stresses=values.stresses.reshape(walkers, beads, 3, 3))
    plan = Plan(Phase.PRODUCTION, 1, 0 if surrogate else -1, "", timestep_fs, trajectory_fs, cell_step=cell_step)
    kept, rows, ratios, taken = [], [], [], []
    for number in range(1, steps + 1):
        state, infos = ring_step(ring, target, state, surrogate, plan, step_rng(seed, "npt", number), at_pressure(barostat))
        kept.append(state.cells)
        rows.append([info.observables for info in infos])
        ratios.append([info.log_ratio for info in infos])
        taken.append([info.accepted for info in infos])
    seen = {name: np.array([[row[name] for row in step] for step in rows]) for name in rows[0][0]}
    return SimpleNamespace(cells=np.array(kept), seen=seen, ratios=np.array(ratios), taken=np.array(taken))


def z_of(series, answer):
    """Of the mean over steps and walkers of a series (steps, W)."""
    means = series.mean(axis=0)
    return (means.mean() - answer) / (means.std(ddof=1) / np.sqrt(len(means)))


def volume_alarms(told, law):
    """z of the mean and of the variance of V, and p of the law of the last volumes."""
    volumes = told.seen["volume_A3"]
    return z_of(volumes, law.mean()), z_of((volumes - law.mean()) ** 2, law.var()), kstest(volumes[-1], law.cdf).pvalue


def assert_law(told, law):
    mean, variance, rarity = volume_alarms(told, law)
    assert abs(mean) < ALARM, mean
    assert abs(variance) < ALARM, variance
    assert rarity > RARE, rarity
    assert 0.05 < told.taken.mean() < 1.0


IDEAL = gamma(3, scale=SCALE_A3)  # two atoms: N + 1
EXTENDED = {"barostat": "extended", "trajectory_fs": 40.0, "timestep_fs": 4.0}


@pytest.mark.parametrize(
    ("beads", "keys"),
    [
        (1, {}),
        (4, {}),
        (1, {"cell": "orthorhombic", "largest_ratio": 2.0}),
        (3, {"cell": "full"}),
        (1, EXTENDED),
        (4, EXTENDED),
    ],
)
def test_volume_of_an_ideal_gas_is_gamma_distributed_with_a_wrong_surrogate(beads, keys):
    told = sample(Formula(nothing, 2), Formula(invented, 2), beads, 10, beads, cubes(IDEAL, beads), **keys)
    assert_law(told, IDEAL)
    assert abs(z_of(told.seen["pressure_GPa"] / PRESSURE_GPA, 1.0)) < ALARM  # N kT/V alone
    factors = np.exp(np.where(np.isfinite(told.ratios), told.ratios, -np.inf))
    pairs = np.isfinite(told.ratios).mean()
    assert abs(z_of(factors / pairs, 1.0)) < ALARM  # Creutz, over the proposals that have a reverse


@pytest.mark.parametrize("keys", [{}, EXTENDED])
def test_first_principles_alone_give_the_same(keys):
    told = sample(Formula(nothing, 2), None, 2, 10, 7, cubes(IDEAL, 7), **keys)
    mean, variance, rarity = volume_alarms(told, IDEAL)
    assert max(abs(mean), abs(variance)) < ALARM
    assert rarity > RARE


@pytest.mark.parametrize("keys", [{}, EXTENDED])
def test_the_alarm_rings_for_the_exponent_n(keys, monkeypatch):
    def cost(self, beta, old, new):
        return self.pressure * (volume(new) - volume(old)) - self.atoms / beta * np.log(volume(new) / volume(old))

    monkeypatch.setattr(Barostat, "cost", cost)
    told = sample(Formula(nothing, 1), Formula(invented, 1), 1, 16, 1, cubes(gamma(2, scale=SCALE_A3), 1), **keys)
    late = SimpleNamespace(seen={"volume_A3": told.seen["volume_A3"][6:]})
    assert volume_alarms(late, gamma(2, scale=SCALE_A3))[0] < -10


BOUNDED = expon(2 * SMALLEST_A3, SCALE_A3)  # the sampled domain of two atoms begins there
WELLS = {"trajectory_fs": 30.0, "timestep_fs": 3.0}


@pytest.mark.parametrize(
    ("beads", "keys"), [(1, {}), (4, {}), (4, {"cell": "full"}), (1, EXTENDED), (4, {**EXTENDED, "timestep_fs": 2.0})]
)
def test_wells_that_follow_the_cell_make_the_volume_exponential(beads, keys):
    target, wrong = Formula(wells(STIFFNESS, PLACES), 2), Formula(wells(1.2 * STIFFNESS, PLACES), 2)
    told = sample(target, wrong, beads, 10, beads, cubes(BOUNDED, beads), **{**WELLS, **keys})
    assert_law(told, BOUNDED)


def test_the_alarm_rings_when_all_beads_are_scaled(monkeypatch):
    """With the exponent of the centroids and the springs' change counted, scaled beads sample another volume."""

    def all_scaled(self, modes):
        return modes @ self.centroids

    target, wrong = Formula(wells(STIFFNESS, PLACES), 2), Formula(wells(1.2 * STIFFNESS, PLACES), 2)
    monkeypatch.setattr(cell_moves.Change, "moved", all_scaled)
    told = sample(target, wrong, 4, 14, 4, cubes(BOUNDED, 4), **WELLS)
    assert abs(volume_alarms(told, BOUNDED)[0]) > 10


BULK, REST_A3 = 0.004, 120.0
ELASTIC = rv_histogram(
    (lambda v: (v[1:] * np.exp(-(0.5 * BULK * (v[1:] - REST_A3) ** 2 / REST_A3 + KT / SCALE_A3 * v[1:]) / KT), v))(
        np.linspace(0.5, 600, 20000)
    ),
    density=False,
)


@pytest.mark.parametrize("keys", [{}, {"cell": "orthorhombic"}, {"cell": "full"}, EXTENDED])
def test_one_atom_in_an_elastic_cell_against_quadrature(keys):
    target, wrong = Formula(spring(BULK, REST_A3), 1), Formula(spring(0.7 * BULK, 140.0), 1)
    told = sample(target, wrong, 2, 10, 3, cubes(ELASTIC, 3), **keys)
    assert_law(told, ELASTIC)
    assert abs(z_of(told.seen["pressure_GPa"], PRESSURE_GPA)) < ALARM


def shape_law(ratio, cosine, count, seed):
    """Cells of unit volume (count, 3, 3), by the measure d ln a d ln b d ln c d^3cos / v^4 in the box, v = V/(abc)."""
    rng = np.random.default_rng(seed)
    logs = rng.uniform(-np.log(ratio), np.log(ratio), (8 * count, 2))  # ln a/b, ln b/c
    logs = logs[np.abs(logs.sum(axis=1)) < np.log(ratio)][:count]
    c = rng.uniform(-cosine, cosine, (300000, 3)) if cosine else np.zeros((count, 3))
    squared = 1 - np.sum(c**2, axis=1) + 2 * np.prod(c, axis=1)
    keep = (squared > FLATTEST**2) & (rng.random(len(c)) < (FLATTEST**2 / np.maximum(squared, FLATTEST**2)) ** 2)
    c = c[keep][:count] if cosine else c
    lengths = np.exp(np.stack([logs[:, 0], np.zeros(count), -logs[:, 1]], axis=1))
    metric = np.repeat(np.eye(3)[None], count, axis=0)
    for k, (i, j) in enumerate(((1, 2), (0, 2), (0, 1))):
        metric[:, i, j] = metric[:, j, i] = c[:, k]
    cells = np.linalg.cholesky(metric) * lengths[..., None]
    return cells / np.cbrt(np.linalg.det(cells))[:, None, None]


def shapes(cells):
    """ln of a/b, b/c, c/a and the three cosines, (steps, W, 3) each."""
    lengths = np.linalg.norm(cells, axis=-1)
    directions = cells / lengths[..., None]
    cosines = np.einsum("swia,swja->swij", directions, directions)[..., [1, 0, 0], [2, 2, 1]]
    return np.log(lengths) - np.log(np.roll(lengths, -1, axis=-1)), cosines


def shape_zs(told, first):
    """z of the mean squares against the law's, and of differences between the axes: relabelling must change nothing."""
    zs = []
    for found, start in zip(shapes(told.cells), shapes(first[None]), strict=True):
        if np.any(start):
            zs += [z_of((found**2).mean(axis=-1) - (start**2).mean(axis=-1), 0.0)]
            zs += [z_of(found[..., 0] ** 2 - found[..., k] ** 2, 0.0) for k in (1, 2)]
            zs += [z_of(found[..., k], 0.0) for k in range(3)]
    return np.array(zs)


def shape_run(cell, seed, ratio=2.0, cell_step=0.45, steps=40):
    sizes = np.cbrt(gamma(2, scale=SCALE_A3).rvs(size=WALKERS, random_state=seed))
    first = shape_law(ratio, 0.6 if cell == "full" else 0.0, WALKERS, seed) * sizes[:, None, None]
    keys = {"cell": cell, "largest_ratio": ratio, "largest_cosine": 0.6, "trajectory_fs": 1.0, "cell_step": cell_step}
    return sample(Formula(nothing, 1), Formula(nothing, 1), 1, steps, seed, first, **keys), first


@pytest.mark.parametrize("cell", ["orthorhombic", "full"])
def test_shapes_have_the_invariant_measure_and_no_axis_is_special(cell):
    told, first = shape_run(cell, 5)
    assert np.abs(shape_zs(told, first)).max() < ALARM
    assert np.abs(np.diff(told.cells[..., 0, 0], axis=0)).mean() > 0.1  # it moves
    bounds = np.array([shape(h) for h in told.cells.reshape(-1, 3, 3)])
    assert bounds[:, 0].max() <= 2.0
    assert bounds[:, 1].max() <= 0.6
    assert (np.abs(np.triu(told.cells, 1)) == 0).all()


def test_the_alarm_rings_for_a_triangular_cell_without_its_jacobian(monkeypatch):
    """h' = h F with lower triangular F samples the triangular group's own measure, in which the axes differ."""

    def skewed(cell, strain):
        stretch = np.diag(np.exp(np.diag(strain))) + np.tril(strain, -1)
        return cell_moves.Change(cell @ stretch, stretch, np.eye(3))

    monkeypatch.setattr(palindrome, "strained", skewed)
    told, first = shape_run("full", 5, ratio=5.0, cell_step=0.6, steps=70)
    assert np.abs(shape_zs(SimpleNamespace(cells=told.cells[30:]), first)).max() > 10


def test_one_bead_is_the_classical_palindrome_bit_for_bit(monkeypatch):
    """Leapfrog, jump, leapfrog and Metropolis written out again, with the same random numbers."""
    monkeypatch.setattr(palindrome, "JUMP_SHARE", 0.5)
    target, wrong = Formula(wells(STIFFNESS, PLACES[:1]), 1), Formula(wells(1.2 * STIFFNESS, PLACES[:1]), 1)
    told = sample(target, wrong, 1, 40, 3, 6.0 * np.eye(3)[None], trajectory_fs=20.0)
    barostat = barostat_of(ensemble(), target.system.structure)
    mass, beta = MASS_AMU * AMU_EV_FS2_PER_A2, 1 / KT
    x, h, dt = np.random.default_rng(3).normal(0, WIDTH, (1, 1, 1, 3))[0, 0], 6.0 * np.eye(3), 2.0
    jumps = 0
    for step in range(1, 41):
        rng = step_rng(3, "npt", step)
        count = max(1, round(20.0 * 8.0 ** (rng("length", 0).random() - 1) / dt))
        p = rng("momenta", 0).standard_normal((1, 1, 3))[0] * np.sqrt(mass / beta)
        cell = rng("cell", 0)
        jump = cell.random() < 0.5
        stretch = np.exp(0.9 / 3 * cell.standard_normal()) if jump else 1.0
        y, new, kinetic = x.copy(), h, 0.5 * np.sum(p**2 / mass)
        for half in range(2 if jump else 1):
            if half:
                y, new, jumps = y * stretch, h * stretch, jumps + 1
            for _ in range(max(1, count // 2) if jump else count):
                p = p + 0.5 * dt * wrong.formula(y[None], new[None])[1][0]
                y = y + p * (dt / mass)
                p = p + 0.5 * dt * wrong.formula(y[None], new[None])[1][0]
        before, after = (target.formula(r[None], b[None])[0][0] for r, b in ((x, h), (y, new)))
        change = 0.5 * np.sum(p**2 / mass) - kinetic + (after - before)
        log_ratio = -beta * (change + barostat.cost(beta, h, new))
        assert told.ratios[step - 1, 0] == pytest.approx(log_ratio, abs=1e-12, nan_ok=not barostat.allows(new))
        if barostat.allows(new) and np.log1p(-rng("accept", 0).random()) < log_ratio:
            x, h = y, new
        np.testing.assert_array_equal(told.cells[step - 1, 0], h)
    assert jumps > 10


@pytest.mark.parametrize("beads", [1, 6])
def test_extended_trajectories_are_reversible(beads):
    from sim_daemon.moves.extended import travel_extended
    from sim_daemon.moves.flight import evaluate
    from sim_daemon.moves.trajectory import Trajectory

    target = Formula(wells(STIFFNESS, PLACES), 2)
    ring = ring_polymer(target.system.masses_amu, TEMPERATURE_K, beads, 1200)
    barostat = barostat_of(ensemble(barostat="extended"), target.system.structure)
    rng = np.random.default_rng(1)
    cells = np.array([6.0, 5.0, 7.0])[:, None, None] * np.eye(3)
    x, p = PLACES @ cells[:, None] + rng.normal(0, 0.1, (3, beads, 2, 3)), np.array([ring.draw_momenta(rng) for _ in range(3)])
    kicks = np.array([barostat.draw_momentum(rng, ring.beta) for _ in range(3)])

    def driver(_, positions, boxes):
        return evaluate(target, target.system.structure, positions, boxes)

    def go(x, p, cells, kicks):
        first = driver(None, x, cells)
        start = Trajectory(x, p, first.energies, first.forces, np.zeros(3, bool), first.stresses)
        return travel_extended(ring, barostat, start, cells, driver, 1.0, np.array([30, 7, 12]), kicks)

    there = go(x, p, cells, kicks)
    # momentum of ln V at the end, from the conserved bookkeeping of `extra`
    moved = [barostat.cost(ring.beta, a, b) for a, b in zip(cells, there.cells, strict=True)]
    size = np.sqrt(kicks**2 + 2 * barostat.mass * (there.extra - moved))
    found = [
        go(there.end.positions, -there.end.momenta, there.cells, -np.array(signs) * size)
        for signs in ((1, 1, 1), (-1, -1, -1), (1, -1, 1), (1, 1, -1), (-1, 1, 1), (-1, -1, 1), (-1, 1, -1), (1, -1, -1))
    ]
    assert np.abs(there.cells - cells).max() > 0.01
    off = min(max(np.abs(back.cells - cells).max(), np.abs(back.end.positions - x).max()) for back in found)
    assert off < 1e-9


def test_an_impossible_cell_costs_no_label(monkeypatch):
    """Jumps far out of the domain: rejected before any first-principles call, and told apart from the integrator."""
    target = Formula(nothing, 1)
    ring = ring_polymer(target.system.masses_amu, TEMPERATURE_K, 1, 1200)
    barostat = barostat_of(ensemble(), target.system.structure)
    state = start_state(target, np.zeros((40, 1, 1, 3)))
    paid = target.calls
    plan = Plan(Phase.PRODUCTION, 1, 0, "", 1.0, 4.0, cell_step=1e3)
    monkeypatch.setattr(palindrome, "JUMP_SHARE", 0.5)
    new, infos = ring_step(ring, target, state, target, plan, step_rng(1, "npt", 1), at_pressure(barostat))
    jumped = [info for info in infos if info.log_ratio_cell is not None]
    assert 10 < len(jumped) < 30
    assert target.calls - paid == 40 - len(jumped)
    assert all(np.isneginf(info.log_ratio_cell) and abs(info.log_ratio_integrator) < 1e-9 for info in jumped)
    np.testing.assert_array_equal(new.cells, state.cells)
