"""What is sampled: the structure's file and the `system` section -> one checked, frozen System."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kernels.arrays import Array
from protocol.errors import BadSetting
from protocol.records import Structure
from protocol.sections import Restraint
from protocol.sections import System as SystemSettings
from protocol.settings import Config
from sim_daemon.ensembles import check_cell

OVERLAP = 0.4  # of the sum of covalent radii: nearer than this is a mistake, not a structure
BOND = 1.3  # of the sum of covalent radii: atoms nearer than this belong to one molecule
NAMED_ISOTOPES = {"D": 2.01410177812, "T": 3.0160492779}  # amu, of hydrogen


@dataclass(frozen=True)
class System:
    """The system of one run."""

    numbers: Array  # (N,) atomic numbers
    masses_amu: Array  # (N,) isotopes applied
    structure: Structure
    charge: int
    multiplicity: int
    restraint: Restraint | None
    several_molecules: bool


def read_system(config: Config) -> System:
    """Read and check what `system` says; BadSetting with one sentence for the first problem."""
    path, settings = config.structure_path, config.science.system
    atoms = read_atoms(path)
    check_structure(atoms, path)
    numbers = np.array(atoms.numbers, dtype=np.int64)
    _check_electrons(atoms, settings, path)
    molecules = count_molecules(atoms)
    _check_restraint(atoms, settings.restraint, molecules, path)
    pbc = np.array(atoms.pbc, dtype=bool)
    structure = Structure(
        positions=np.array(atoms.positions, dtype=np.float64),
        numbers=numbers,
        cell=np.where(pbc[:, None], np.array(atoms.cell.array, dtype=np.float64), 0.0),
        pbc=pbc,
    )
    check_cell(getattr(config.science.sampler, "ensemble", None), structure, str(path))
    masses = masses_of(numbers, settings.isotopes)
    return System(numbers, masses, structure, settings.charge, settings.multiplicity, settings.restraint, molecules > 1)


def read_atoms(path: Path) -> Any:
    """The last structure of a file, as ASE's Atoms; BadSetting if there is none."""
    from ase.io import read
    from ase.io.formats import UnknownFileTypeError

    if not path.is_file():
        raise BadSetting("system.structure: no such file", str(path), "the path is relative to the configuration's folder")
    try:
        atoms = read(path)
    except KeyError as error:
        raise BadSetting(f"system.structure: unknown element or key {error.args[0]!r}", str(path)) from error
    except UnknownFileTypeError as error:
        raise BadSetting("system.structure: no format that ASE knows", str(path), "try extended xyz") from error
    except (OSError, ValueError, IndexError, TypeError, AttributeError, AssertionError, StopIteration, RuntimeError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise BadSetting(f"system.structure: ASE cannot read it ({said})", str(path)) from error
    return atoms


def check_structure(atoms: Any, path: Path) -> None:
    """Elements, finite numbers, a cell where periodic, no overlapping atoms; BadSetting for the first problem."""
    from ase.data import atomic_masses, chemical_symbols

    where = str(path)
    if len(atoms) == 0:
        raise BadSetting("the structure has no atoms", where)
    strange = [i for i, z in enumerate(atoms.numbers) if not 1 <= z < len(atomic_masses) or not atomic_masses[z] > 0]
    if strange:
        raise BadSetting(f"atom {strange[0] + 1} is of an unknown element ({chemical_symbols[0]})", where)
    if not np.isfinite(atoms.positions).all():
        bad = int(np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1))[0])
        raise BadSetting(f"atom {bad + 1} has a position that is not a number (NaN or infinite)", where)
    _check_cell(atoms, where)
    pairs = _near_pairs(atoms, OVERLAP)
    if pairs:
        i, j, distance = min(pairs, key=lambda pair: pair[2])
        names = f"atoms {i + 1} ({atoms.symbols[i]}) and {j + 1} ({atoms.symbols[j]})"
        what = (
            f"{names} overlap: {distance:.3f} A" if i != j else f"atom {i + 1} overlaps its own periodic image: {distance:.3f} A"
        )
        raise BadSetting(what, where, "positions and cell must be in Angstrom")


def count_molecules(atoms: Any) -> int:
    """Number of groups of atoms joined by distances below 1.3 x the sum of covalent radii."""
    return int(molecule_of(atoms).max(initial=-1)) + 1


def molecule_of(atoms: Any) -> Array:
    """Number of each atom's molecule, (N,) int from 0: atoms joined by distances below 1.3 x the sum of covalent radii."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = _near_pairs(atoms, BOND)
    first, second = [i for i, _, _ in pairs], [j for _, j, _ in pairs]
    graph = coo_array((np.ones(len(pairs)), (first, second)), shape=(len(atoms), len(atoms)))
    owner: Array = connected_components(graph, directed=False)[1]
    return owner


def electrons_fit(numbers: Array, charge: int, multiplicity: int, bulk: bool = False) -> str | None:
    """What is wrong with charge and multiplicity for these (N,) atomic numbers; None if they fit. bulk: periodic on all axes."""
    electrons = int(np.sum(numbers)) - charge
    if electrons < 1:
        return f"charge {charge:+d} leaves {electrons} electrons"
    if bulk and multiplicity - 1 <= electrons:
        return None  # a metal's bands are filled in part: a cell with an odd number of electrons has no unpaired one
    if (electrons - (multiplicity - 1)) % 2 or multiplicity - 1 > electrons:
        fitting = [m for m in (1, 2, 3) if (electrons - (m - 1)) % 2 == 0 and m - 1 <= electrons]
        possible = ", ".join(map(str, fitting))
        return f"{electrons} electrons (charge {charge:+d}) cannot have multiplicity {multiplicity}; possible: {possible}, ..."
    return None


def file_charge(info: Any) -> int | None:
    """The total charge that a structure's file states."""
    return _stated(info, ("charge", "total_charge"))


def file_multiplicity(info: Any) -> int | None:
    """The spin multiplicity that a structure's file states."""
    return _stated(info, ("multiplicity", "spin_multiplicity"))


def _stated(info: Any, keys: tuple[str, ...]) -> int | None:
    for key in keys:
        given = info.get(key)
        if (
            isinstance(given, int | float | np.integer | np.floating)
            and not isinstance(given, bool)
            and float(given).is_integer()
        ):
            return int(given)
    return None


def _check_cell(atoms: Any, where: str) -> None:
    cell = atoms.cell.array
    if not np.isfinite(cell).all():
        raise BadSetting("the cell holds a number that is not finite (NaN or infinite)", where)
    for axis, name in enumerate("abc"):
        if atoms.pbc[axis] and not np.linalg.norm(cell[axis]) > 0:
            raise BadSetting(f"periodic along {name}, but cell vector {name} is zero", where, 'give the cell, or pbc="F F F"')
    vectors = cell[atoms.pbc]
    if len(vectors):
        lengths = np.linalg.norm(vectors, axis=1)
        volume = np.sqrt(max(np.linalg.det((vectors @ vectors.T) / np.outer(lengths, lengths)), 0.0))
        if volume < 1e-3:
            raise BadSetting("the cell vectors lie in one plane or line: the cell has no volume", where)


def _near_pairs(atoms: Any, factor: float) -> list[tuple[int, int, float]]:
    """Pairs i <= j (periodic images counted) nearer than factor x the sum of covalent radii, with distance (A)."""
    from ase.neighborlist import natural_cutoffs, neighbor_list

    first, second, distance = neighbor_list("ijd", atoms, natural_cutoffs(atoms, mult=factor), self_interaction=False)
    return [(int(i), int(j), float(d)) for i, j, d in zip(first, second, distance, strict=True) if i <= j]


def _check_electrons(atoms: Any, settings: SystemSettings, path: Path) -> None:
    for name, stated, given in (
        ("charge", file_charge(atoms.info), settings.charge),
        ("multiplicity", file_multiplicity(atoms.info), settings.multiplicity),
    ):
        if stated is not None and stated != given:
            raise BadSetting(f"system.{name} is {given}, but the structure's file says {stated}", str(path), "make them agree")
    wrong = electrons_fit(atoms.numbers, settings.charge, settings.multiplicity, bool(atoms.pbc.all()))
    if wrong:
        raise BadSetting(f"system.charge, system.multiplicity: {wrong}", str(path))


def _check_restraint(atoms: Any, restraint: Restraint | None, molecules: int, path: Path) -> None:
    periodic = bool(atoms.pbc.any())
    if restraint is None:
        if molecules > 1 and not periodic:
            raise BadSetting(
                f"system.restraint: is missing: {molecules} molecules without periodicity drift apart and have no equilibrium",
                str(path),
                "write e.g. restraint: {radius_A: 5.0, k_eV_per_A2: 1.0}",
            )
        return
    if periodic:
        raise BadSetting("system.restraint: is for free clusters, but the structure is periodic", str(path), "leave it out")
    reach = float(np.linalg.norm(atoms.positions - atoms.positions.mean(axis=0), axis=1).max())
    if reach > restraint.radius_A:
        raise BadSetting(
            f"system.restraint.radius_A: must hold the start structure, which reaches {reach:.2f} A, got {restraint.radius_A:g}",
            str(path),
        )


def masses_of(numbers: Array, isotopes: Mapping[int | str, str | float]) -> Array:
    """(N,) amu: natural masses, then the isotopes, by element (symbol or atomic number); BadSetting for one that is none."""
    from ase.data import atomic_masses

    masses = np.array(atomic_masses[numbers], dtype=np.float64)
    for key, wanted in isotopes.items():
        element, mass = isotope_of(key, wanted, numbers)
        masses[numbers == element] = mass
    return masses


def isotope_of(key: int | str, wanted: str | float, numbers: Array, said: str = "") -> tuple[int, float]:
    """Atomic number and mass (amu) of one isotope; BadSetting for one that is none.

    key: symbol or atomic number.  wanted: amu, or D or T of hydrogen.  numbers: (N,) atomic numbers of the structure.
    said: what an error begins with; else the setting.
    """
    from ase.data import atomic_numbers

    text, setting = str(key), "system.isotopes"
    element = int(text) if text.isdigit() else atomic_numbers.get(text, 0)
    if element not in numbers:
        raise BadSetting(f"{said or setting}: there is no element {key} in the structure")
    named = said or f"{setting}.{key}"
    mass = NAMED_ISOTOPES.get(wanted, 0.0) if isinstance(wanted, str) else float(wanted)
    if isinstance(wanted, str) and (not mass or element != 1):
        raise BadSetting(f"{named}: must be a mass in amu, or D or T for hydrogen, got {wanted!r}")
    if not 0.05 <= mass <= 400:
        raise BadSetting(f"{named}: must be a mass between 0.05 and 400 amu, got {mass:g}")
    return element, mass
