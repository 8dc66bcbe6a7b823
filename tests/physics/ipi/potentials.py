"""The potentials that Renkei and i-PI are both given: many independent copies of a small system, as numpy formulas.

Each is a function of x (B, N, 3) A that returns energies (B,) eV and forces (B, N, 3) eV/A.
"""

import itertools
from typing import NamedTuple

import numpy as np

# q-TIP4P/F inside the molecule (Habershon, Markland and Manolopoulos 2009): quartic bonds, harmonic angle
WELL_eV, WIDTH_per_A, BOND_A = 5.0319, 2.287, 0.9419
ANGLE_eV_per_rad2, ANGLE_rad = 3.8099, np.radians(107.4)


def water(x, width=WIDTH_per_A, bend=ANGLE_eV_per_rad2):
    """One molecule, O H H."""
    arms = x[:, 1:] - x[:, :1]
    lengths = np.linalg.norm(arms, axis=-1, keepdims=True)
    units, s = arms / lengths, width * (lengths - BOND_A)
    energy = (WELL_eV * (s**2 - s**3 + 7 / 12 * s**4)).sum(axis=(1, 2))
    pull = -WELL_eV * width * (2 * s - 3 * s**2 + 7 / 3 * s**3) * units
    cosine = np.clip((units[:, 0] * units[:, 1]).sum(axis=-1), -1, 1)
    angle = np.arccos(cosine)
    energy += 0.5 * bend * (angle - ANGLE_rad) ** 2
    slope = (bend * (angle - ANGLE_rad) / np.sqrt(1 - cosine**2))[:, None]  # -dV/dcos
    for arm in (0, 1):
        pull[:, arm] += slope * (units[:, 1 - arm] - cosine[:, None] * units[:, arm]) / lengths[:, arm]
    return energy, np.concatenate([-pull.sum(axis=1, keepdims=True), pull], axis=1)


CELLS, LATTICE_A = 2, 4.46  # fcc, 32 atoms
DEPTH_eV, STEEPNESS_per_A, NEAREST_A = 0.0035, 2.2, 3.1  # of neon, roughly


def _lattice():
    corners = np.array(list(itertools.product(range(CELLS), repeat=3)), float)
    basis = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    sites = LATTICE_A * (corners[:, None] + basis).reshape(-1, 3)
    first, second = np.triu_indices(len(sites), 1)
    images = CELLS * LATTICE_A * np.array(list(itertools.product((-1, 0, 1), repeat=3)))
    apart = sites[second][:, None] - sites[first][:, None] + images
    pair, image = np.nonzero(np.linalg.norm(apart, axis=-1) < 1.05 * LATTICE_A / np.sqrt(2))
    return sites, first[pair], second[pair], images[image]


SITES_A, FIRST, SECOND, IMAGES_A = _lattice()  # each atom has 12 neighbours


def crystal(x, steepness=STEEPNESS_per_A):
    """Morse bonds between the nearest neighbours of an fcc crystal."""
    arms = x[:, SECOND] - x[:, FIRST] + IMAGES_A
    lengths = np.linalg.norm(arms, axis=-1, keepdims=True)
    decay = np.exp(-steepness * (lengths - NEAREST_A))
    pull = 2 * DEPTH_eV * steepness * decay * (1 - decay) * arms / lengths
    forces = np.zeros_like(x)
    np.add.at(forces, (slice(None), FIRST), pull)
    np.add.at(forces, (slice(None), SECOND), -pull)
    return DEPTH_eV * ((1 - decay) ** 2).sum(axis=(1, 2)), forces


class Case(NamedTuple):
    """What is compared."""

    formula: object
    wrong: object  # the surrogate
    symbols: str  # of one copy
    start_A: np.ndarray  # (N, 3)
    copies: int
    beads: int
    temperature_K: float
    timestep_fs: float  # of i-PI; small enough for its error to drown in noise
    every: int  # steps of i-PI between two samples
    samples: int  # of i-PI, after a tenth of them
    length_fs: float  # of Renkei's trajectories
    step_fs: float
    steps: int  # of Renkei


H = BOND_A * np.array([[np.sin(ANGLE_rad / 2), 0, np.cos(ANGLE_rad / 2)], [-np.sin(ANGLE_rad / 2), 0, np.cos(ANGLE_rad / 2)]])
CASES = {
    "water": Case(
        water,
        lambda x: water(x, 2.4, 3.2),
        "OH2",
        np.concatenate([np.zeros((1, 3)), H]),
        40,
        8,
        300.0,
        0.2,
        40,
        110,
        20.0,
        0.5,
        120,
    ),
    "crystal": Case(crystal, lambda x: crystal(x, 2.3), "Ne32", SITES_A, 2, 4, 20.0, 4.0, 20, 250, 600.0, 20.0, 90),
}


def structure_numbers(name, x):
    """Of beads x (..., P, N, 3) of one copy: what a distribution must agree in, by name, each (...)."""
    if name == "water":
        arms = x[..., 1:, :] - x[..., :1, :]
        lengths = np.linalg.norm(arms, axis=-1)
        apart = np.linalg.norm(x[..., 1, :] - x[..., 2, :], axis=-1)
        spread = (x - x.mean(axis=-3, keepdims=True))[..., 1:, :]
        return {
            "O-H": lengths.mean(axis=(-2, -1)),
            "O-H squared": (lengths**2).mean(axis=(-2, -1)),
            "H-H": apart.mean(axis=-1),
            "H-H squared": (apart**2).mean(axis=-1),
            "gyration of H": (spread**2).sum(axis=-1).mean(axis=(-2, -1)),
        }
    arms = x[..., SECOND, :] - x[..., FIRST, :] + IMAGES_A
    lengths = np.linalg.norm(arms, axis=-1)
    spread = x - x.mean(axis=-3, keepdims=True)
    return {
        "nearest": lengths.mean(axis=(-2, -1)),
        "nearest squared": (lengths**2).mean(axis=(-2, -1)),
        "nearest cubed": (lengths**3).mean(axis=(-2, -1)),
        "gyration": (spread**2).sum(axis=-1).mean(axis=(-2, -1)),
    }
