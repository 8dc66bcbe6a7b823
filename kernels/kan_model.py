"""A Kolmogorov-Arnold potential as numbers, and its file.

weights.h5, schema 1, or 2 with charges (HDF5, little endian float64 and int64, contiguous, nothing compressed):

    attributes of /      format "renkei-kan", schema, digest (sha256 of the content below, in hex)
                         species (S,) atomic numbers, activation, powers (P,), radial_cutoff_A, angular_cutoff_A,
                         energy_scale_eV, baseline_cutoff_A (0: no two-body energy), of schema 2 charge_width_A
    radial, angular, bias, reference_eV     as in KanModel
    repulsion, attraction                   (S, S) eV A^12 and eV A^6, of a two-body energy
    charges                                 (S,) e, of schema 2
    /<place>/            one group per species, named by its place in `species`: "0", "1", ...
        weight1, bias1   (out, in), (out,) of the first layer above the sums; then weight2, ...; the last one has out = 1

The same model always gives the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from kernels import ewald
from kernels.arrays import Array
from kernels.baseline import Baseline
from kernels.network import ACTIVATIONS
from kernels.splines import FEWEST
from kernels.weight_file import dataset, read_verified

FILE = "weights.h5"
Layers = tuple[tuple[Array, Array], ...]


@dataclass(frozen=True)
class KanModel:
    """All numbers of a potential: S species in the order of `species`, H functions of each kind, P powers.

    An atom of species s has the H sums

        D = sum_j f(d_j; R_r) phi(2 d_j / R_r - 1) + sum_{p, j<k} [f(d_j; R_a) f(d_k; R_a)]^p psi(cos jik)

    with phi of (s, neighbour species), psi of (s, p, species pair (0,0), (0,1), ..., (1,1), ...), f = (1 + cos(pi d / R)) / 2.
    Its energy is energy_scale * layers_s(activation(D + bias_s)) + reference_s, and half of its pairs' two-body and Coulomb
    energies.
    The functions are cubic B-splines on -1..1 (kernels/splines.py).
    """

    species: tuple[int, ...]  # atomic numbers
    radial_cutoff_A: float
    angular_cutoff_A: float  # at most the radial one
    powers: tuple[int, ...]  # P, whole numbers of at least 1
    radial: Array  # (S, S, K, H) coefficients of phi
    angular: Array  # (S, P, pairs, K', H) coefficients of psi
    bias: Array  # (S, H)
    layers: tuple[Layers, ...]  # (S) of (matrix (out, in), bias (out,)), from H numbers to one; the last one is linear
    activation: str  # of kernels.network.ACTIVATIONS
    reference_eV: Array  # (S,)
    energy_scale_eV: float = 1.0
    baseline: Baseline | None = None
    charges: ewald.PointCharges | None = None

    def __post_init__(self) -> None:
        """Raises ValueError if sizes do not fit or a number is not finite."""
        count = len(self.species)
        if not count or len(set(self.species)) != count:
            raise ValueError(f"species must be different atomic numbers, got {self.species}")
        if not 0 < self.angular_cutoff_A <= self.radial_cutoff_A < np.inf:
            raise ValueError(
                f"need 0 < angular cut-off <= radial cut-off, got {self.angular_cutoff_A} and {self.radial_cutoff_A} A"
            )
        if not self.powers or min(self.powers) < 1:
            raise ValueError(f"powers must be whole numbers of at least 1, got {self.powers}")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {self.activation!r}")
        if np.ndim(self.radial) != 4 or np.ndim(self.angular) != 5:
            raise ValueError("radial must have four axes and angular five")
        terms, functions = np.shape(self.radial)[2:]
        _check(self.radial, (count, count, max(terms, FEWEST), max(functions, 1)), "radial")
        terms = max(np.shape(self.angular)[3], FEWEST)
        _check(self.angular, (count, len(self.powers), count * (count + 1) // 2, terms, functions), "angular")
        _check(self.bias, (count, functions), "bias")
        _check(self.reference_eV, (count,), "reference_eV")
        _check(np.asarray(self.energy_scale_eV), (), "energy_scale_eV")
        _check_layers(self.layers, count, functions)
        if self.baseline is not None:
            _check_baseline(self.baseline, count, self.radial_cutoff_A)
        if self.charges is not None:
            ewald.check(self.charges, count)

    @property
    def functions(self) -> int:
        """H, the number of functions of each kind."""
        return int(np.shape(self.bias)[1])


def _check(array: Array, shape: tuple[int, ...], name: str) -> None:
    if np.shape(array) != shape:
        raise ValueError(f"{name} has shape {np.shape(array)}, expected {shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds numbers that are not finite")


def _check_layers(layers: tuple[Layers, ...], count: int, functions: int) -> None:
    if len(layers) != count or not all(layers):
        raise ValueError(f"{len(layers)} networks for {count} species")
    for stack in layers:
        width = functions
        for number, (matrix, bias) in enumerate(stack, 1):
            _check(matrix, (len(bias), width), f"weight{number}")
            _check(bias, (len(matrix),), f"bias{number}")
            width = len(bias)
        if width != 1:
            raise ValueError(f"the last layer has {width} outputs, expected 1")


def _check_baseline(baseline: Baseline, count: int, reach_A: float) -> None:
    for name, matrix in (("repulsion", baseline.repulsion), ("attraction", baseline.attraction)):
        _check(matrix, (count, count), name)
        if np.min(matrix) < 0 or not np.array_equal(matrix, np.transpose(matrix)):
            raise ValueError(f"{name} must be symmetric and not negative")
    if not 0 < baseline.cutoff_A <= reach_A:
        raise ValueError(f"the pairs' cut-off is {baseline.cutoff_A} A, expected at most the radial one, {reach_A} A")


def write(folder: Path, model: KanModel) -> None:
    """Write weights.h5 into an existing folder."""
    image = io.BytesIO()
    with h5py.File(image, "w", libver="earliest", track_order=False) as file:
        for name, value in _head(model).items():
            file.attrs[name] = value
        for name, array in _arrays(model):
            file.create_dataset(name, data=np.asarray(array, dtype="<f8"), track_times=False)
        file.attrs["digest"] = _digest(model)
    (folder / FILE).write_bytes(image.getvalue())


def _head(model: KanModel) -> dict[str, Any]:
    """Attributes of the root, without the digest."""
    own = {} if model.charges is None else {"charge_width_A": float(model.charges.width_A)}
    return own | {
        "format": "renkei-kan",
        "schema": 2 if own else 1,
        "species": np.array(model.species, dtype="<i8"),
        "activation": model.activation,
        "powers": np.array(model.powers, dtype="<i8"),
        "radial_cutoff_A": float(model.radial_cutoff_A),
        "angular_cutoff_A": float(model.angular_cutoff_A),
        "energy_scale_eV": float(model.energy_scale_eV),
        "baseline_cutoff_A": 0.0 if model.baseline is None else float(model.baseline.cutoff_A),
    }


def _arrays(model: KanModel) -> Iterator[tuple[str, Array]]:
    """Datasets, by their paths."""
    yield from (("radial", model.radial), ("angular", model.angular), ("bias", model.bias), ("reference_eV", model.reference_eV))
    if model.baseline is not None:
        yield from (("repulsion", model.baseline.repulsion), ("attraction", model.baseline.attraction))
    if model.charges is not None:
        yield "charges", model.charges.charges
    for place, stack in enumerate(model.layers):
        for number, (matrix, bias) in enumerate(stack, 1):
            yield from ((f"{place}/weight{number}", matrix), (f"{place}/bias{number}", bias))


def _digest(model: KanModel) -> str:
    """sha256 over all names and numbers, in the order of the layout."""
    total = sha256()
    for name, value in _head(model).items():
        total.update(f"{name}={np.asarray(value).tolist()};".encode())
    for name, array in _arrays(model):
        total.update(f"{name}{np.shape(array)};".encode() + np.ascontiguousarray(array, dtype="<f8").tobytes())
    return total.hexdigest()


def read(folder: Path) -> KanModel:
    """The model of an artefact folder.  Raises ValueError if weights.h5 is missing, damaged or not of this layout."""
    return read_verified(folder / FILE, _parse, _digest)


def _parse(file: h5py.File, size: int) -> KanModel:
    """The model in an open file of so many bytes."""
    head = file.attrs
    if head["format"] != "renkei-kan" or int(head["schema"]) not in (1, 2):
        raise ValueError(f"format {head['format']!r} schema {head['schema']!r}, expected renkei-kan 1 or 2")
    species, reach_A = tuple(int(number) for number in head["species"]), float(head["baseline_cutoff_A"])
    layers = []
    for place in range(len(species)):
        depth = sum(name.startswith("weight") for name in file[str(place)])
        names = [(f"{place}/weight{number}", f"{place}/bias{number}") for number in range(1, depth + 1)]
        layers.append(tuple((dataset(file, weight, size), dataset(file, bias, size)) for weight, bias in names))
    baseline = None
    if reach_A != 0:
        baseline = Baseline(dataset(file, "repulsion", size), dataset(file, "attraction", size), reach_A)
    charges = None
    if int(head["schema"]) == 2:
        charges = ewald.PointCharges(dataset(file, "charges", size), float(head["charge_width_A"]))
    return KanModel(
        species,
        float(head["radial_cutoff_A"]),
        float(head["angular_cutoff_A"]),
        tuple(int(power) for power in head["powers"]),
        dataset(file, "radial", size),
        dataset(file, "angular", size),
        dataset(file, "bias", size),
        tuple(layers),
        str(head["activation"]),
        dataset(file, "reference_eV", size),
        float(head["energy_scale_eV"]),
        baseline,
        charges,
    )
