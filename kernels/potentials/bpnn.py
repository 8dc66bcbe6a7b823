"""Behler-Parrinello networks on Chebyshev descriptors (format "bpnn").

energy = sum over atoms of energy_scale * network_s((features - mean_s) * scale_s) + reference_s, with s the atom's species,
and, if there are any, the two-body energy of kernels/baseline.py and that of the charges of kernels/ewald.py. All layers but the
last have the activation.

weights.h5, schema 1, 2 with a two-body energy, or 3 with charges (HDF5, little endian float64 and int64, contiguous, nothing
compressed):

    attributes of /      format "renkei-bpnn", schema, digest (sha256 of the content below, in hex)
                         species (S,) atomic numbers in the descriptor's order, family, activation, powers (P,),
                         radial_order, radial_cutoff_A, angular_order, angular_cutoff_A, energy_scale_eV
    /<place>/            one group per species, named by its place in `species`: "0", "1", ...
        attribute        reference_eV, energy of an atom that is added
        mean, scale      (F,) features enter as (feature - mean) * scale; scale 0 switches a feature off
        weight0, bias0   (out, in), (out,) of the first layer; then weight1, bias1, ...; the last one has out = 1
    /pairs/              the two-body energy: repulsion (S, S) eV A^12, attraction (S, S) eV A^6; attribute cutoff_A
    /charges/            charges (S,) e; attribute width_A

The order of the features is that of kernels/descriptors/base.py. The same model always gives the same bytes.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from kernels import ewald
from kernels.arrays import Array
from kernels.baseline import Baseline, push_pairs, scaled
from kernels.descriptors.base import Chebyshev, kinds
from kernels.descriptors.numba_cpu import plan_of
from kernels.jit import entry
from kernels.moments import measure, push
from kernels.native import Loops
from kernels.neighborhood import fitting, gather, workspace
from kernels.neighbors.base import Lattice, lattice
from kernels.neighbors.numba_cpu import is_usable, search
from kernels.network import ACTIVATIONS, Networks, energy_and_gradient, networks
from kernels.plan import Plan, mix, unmix
from kernels.potentials.base import Evaluation
from kernels.weight_file import dataset, read_verified

FILE = "weights.h5"
NO_PAIRS = Baseline(np.zeros((0, 0)), np.zeros((0, 0)), 1.0)
Layers = tuple[tuple[Array, Array], ...]


@dataclass(frozen=True)
class BpnnModel:
    """All numbers of a potential; S species in the descriptor's order."""

    descriptor: Chebyshev
    layers: tuple[Layers, ...]  # (S) of (matrix (out, in), bias (out,)), from the features to one number
    activation: str  # of kernels.network.ACTIVATIONS
    mean: Array  # (S, F)
    scale: Array  # (S, F)
    reference_eV: Array  # (S,)
    energy_scale_eV: float = 1.0
    baseline: Baseline | None = None
    charges: ewald.PointCharges | None = None

    def __post_init__(self) -> None:
        """Raises ValueError if sizes do not fit or a number is not finite."""
        species, length = len(self.descriptor.species), self.descriptor.length
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {self.activation!r}")
        _check(self.mean, (species, length), "mean")
        _check(self.scale, (species, length), "scale")
        _check(self.reference_eV, (species,), "reference_eV")
        _check(np.asarray(self.energy_scale_eV), (), "energy_scale_eV")
        if len(self.layers) != species or not all(self.layers):
            raise ValueError(f"{len(self.layers)} networks for {species} species")
        for stack in self.layers:
            width = length
            for number, (matrix, bias) in enumerate(stack):
                _check(matrix, (len(bias), width), f"weight{number}")
                _check(bias, (len(matrix),), f"bias{number}")
                width = len(bias)
            if width != 1:
                raise ValueError(f"the last layer has {width} outputs, expected 1")
        if self.baseline is not None:
            _check_baseline(self.baseline, species, self.descriptor.radial_cutoff_A)
        if self.charges is not None:
            ewald.check(self.charges, species)


def _check(array: Array, shape: tuple[int, ...], name: str) -> None:
    if np.shape(array) != shape:
        raise ValueError(f"{name} has shape {np.shape(array)}, expected {shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds numbers that are not finite")


def _check_baseline(baseline: Baseline, species: int, reach_A: float) -> None:
    for name, matrix in (("repulsion", baseline.repulsion), ("attraction", baseline.attraction)):
        _check(matrix, (species, species), name)
        if np.min(matrix) < 0 or not np.array_equal(matrix, np.transpose(matrix)):
            raise ValueError(f"{name} must be symmetric and not negative")
    if not 0 < baseline.cutoff_A <= reach_A:
        raise ValueError(f"the pairs' cut-off is {baseline.cutoff_A} A, expected at most the radial one, {reach_A} A")


@dataclass(frozen=True)
class Bpnn:
    """The potential of one model."""

    model: BpnnModel
    generation: int
    species: tuple[int, ...] = field(init=False)
    cutoff: float = field(init=False)
    _networks: Networks = field(init=False, repr=False)
    _baseline: Baseline | None = field(init=False, repr=False)  # in the networks' unit
    _loops: Loops | None = field(init=False, repr=False, compare=False)  # None: in Numba

    def __post_init__(self) -> None:
        """Lay the parameters out for the kernels."""
        model = self.model
        object.__setattr__(self, "species", model.descriptor.species)
        object.__setattr__(self, "cutoff", 0.0 if model.charges else model.descriptor.radial_cutoff_A)
        object.__setattr__(self, "_networks", networks(model.layers, model.activation, model.mean, model.scale))
        object.__setattr__(self, "_baseline", model.baseline and scaled(model.baseline, 1 / model.energy_scale_eV))
        object.__setattr__(self, "_loops", in_compiled_kernels(model.descriptor, self._networks, self._baseline))

    def evaluate(self, positions: Array, numbers: Array, cell: Array, pbc: Array) -> Evaluation:
        """Energies and forces; stress where all three directions are periodic. Positions not finite give NaN.

        positions: (B, N, 3) A; ValueError for another shape.  numbers: (N,).  cell: (3, 3) A.  pbc: (3,) bool.
        """
        positions = np.array(positions, dtype=np.float64, order="C")
        if positions.shape[1:] != (len(numbers), 3):
            raise ValueError(f"positions has shape {positions.shape}, expected (structures, {len(numbers)}, 3)")
        species = kinds(self.model.descriptor, numbers)
        if self._loops is None:
            plan = plan_of(self.model.descriptor)
            box, pairs = lattice(cell, pbc), self._baseline or NO_PAIRS
            raw, forces, virial = evaluate_in_numba(positions, species, box, plan, self._networks, pairs)
        else:
            raw, _, forces, virial = self._loops.energy(positions, numbers, cell, pbc)
        scale = float(self.model.energy_scale_eV)
        energy = scale * raw + float(np.sum(np.asarray(self.model.reference_eV)[species]))
        stress = -scale * virial / abs(np.linalg.det(cell)) if np.all(pbc) else None
        return ewald.added(Evaluation(energy, scale * forces, stress), self.model.charges, positions, species, cell, pbc)


def in_compiled_kernels(descriptor: Chebyshev, net: Networks, baseline: Baseline | None) -> Loops | None:
    """The compiled kernels for a model, or None where they are not, or not made for it."""
    try:
        return Loops(descriptor, net, baseline=baseline)
    except ValueError:
        return None


@entry
def evaluate_in_numba(
    positions: Array, species: Array, box: Lattice, plan: Plan, net: Networks, baseline: Baseline
) -> tuple[Array, Array, Array]:
    """Sum of network outputs and baseline (B,), forces (B, N, 3) and virial (B, 3, 3) in the same unit; one pass over each atom.

    positions: (B, N, 3) A.  species: (N,) places in the descriptor's list.  The compiled kernels do the same, and faster.
    """
    structures, atoms = positions.shape[0], positions.shape[1]
    energy, forces, virial = np.zeros(structures), np.zeros((structures, atoms, 3)), np.zeros((structures, 3, 3))
    features, gradient = np.empty(plan.length), np.empty(plan.length)
    nodes, slopes = np.empty((net.sizes.shape[1], net.widest)), np.empty((net.sizes.shape[1], net.widest))
    around = workspace(plan, 0, 0)
    for b in range(structures):
        if not is_usable(positions[b]):
            energy[b], forces[b], virial[b] = np.nan, np.nan, np.nan
            continue
        found = search(positions[b], box, plan.radial_cutoff)
        around = fitting(around, plan, found)
        for i in range(atoms):
            gather(plan, around, found, species, i)
            measure(plan, around)
            features[:] = 0.0
            mix(plan, around.moments, features)
            energy[b] += energy_and_gradient(net, species[i], features, nodes, slopes, gradient)
            unmix(plan, gradient, around.moments)
            push(plan, around, i, forces[b], virial[b])
            if baseline.repulsion.size > 0:
                energy[b] += push_pairs(baseline, around, species[i], i, forces[b], virial[b])
    return energy, forces, virial


def build(folder: Path, generation: int) -> Bpnn:
    """The potential of an artefact folder."""
    return Bpnn(read(folder), generation)


def write(folder: Path, model: BpnnModel) -> None:
    """Write weights.h5 into an existing folder.  Raises ValueError for a basis of B-splines, of which the file knows nothing."""
    if model.descriptor.basis != "chebyshev":
        raise ValueError(f"{FILE} of bpnn has no {model.descriptor.basis} basis; fold the network and write it as kan")
    image = io.BytesIO()
    with h5py.File(image, "w", libver="earliest", track_order=False) as file:
        for name, value in _head(model).items():
            file.attrs[name] = value
        if model.baseline is not None:
            pairs = file.create_group("pairs")
            pairs.attrs["cutoff_A"] = float(model.baseline.cutoff_A)
            for name, matrix in _pair_arrays(model.baseline).items():
                pairs.create_dataset(name, data=np.asarray(matrix, dtype="<f8"), track_times=False)
        if model.charges is not None:
            group = file.create_group("charges")
            group.attrs["width_A"] = float(model.charges.width_A)
            group.create_dataset("charges", data=np.asarray(model.charges.charges, dtype="<f8"), track_times=False)
        for place, stack in enumerate(model.layers):
            group = file.create_group(str(place))
            group.attrs["reference_eV"] = float(model.reference_eV[place])
            for name, array in _arrays(model.mean[place], model.scale[place], stack).items():
                group.create_dataset(name, data=np.asarray(array, dtype="<f8"), track_times=False)
        file.attrs["digest"] = _digest(model)
    (folder / FILE).write_bytes(image.getvalue())


def _head(model: BpnnModel) -> dict[str, Any]:
    """Attributes of the root, without the digest."""
    d = model.descriptor
    return {
        "format": "renkei-bpnn",
        "schema": 3 if model.charges else 2 if model.baseline else 1,
        "species": np.array(d.species, dtype="<i8"),
        "family": d.family,
        "activation": model.activation,
        "powers": np.array(d.powers, dtype="<i8"),
        "radial_order": d.radial_order,
        "radial_cutoff_A": float(d.radial_cutoff_A),
        "angular_order": d.angular_order,
        "angular_cutoff_A": float(d.angular_cutoff_A),
        "energy_scale_eV": float(model.energy_scale_eV),
    }


def _arrays(mean: Array, scale: Array, stack: Layers) -> dict[str, Array]:
    """Datasets of one species."""
    arrays = {"mean": mean, "scale": scale}
    for number, (matrix, bias) in enumerate(stack):
        arrays |= {f"weight{number}": matrix, f"bias{number}": bias}
    return arrays


def _pair_arrays(baseline: Baseline) -> dict[str, Array]:
    """Datasets of the two-body energy."""
    return {"repulsion": baseline.repulsion, "attraction": baseline.attraction}


def _digest(model: BpnnModel) -> str:
    """sha256 over all names and numbers, in the order of the layout."""
    total = sha256()
    for name, value in _head(model).items():
        total.update(f"{name}={np.asarray(value).tolist()};".encode())
    if model.baseline is not None:
        total.update(f"pairs:{float(model.baseline.cutoff_A)!r};".encode())
        for name, array in _pair_arrays(model.baseline).items():
            total.update(f"{name}{np.shape(array)};".encode() + np.ascontiguousarray(array, dtype="<f8").tobytes())
    if model.charges is not None:
        array = np.ascontiguousarray(model.charges.charges, dtype="<f8")
        total.update(f"charges:{float(model.charges.width_A)!r};{array.shape};".encode() + array.tobytes())
    for place, stack in enumerate(model.layers):
        total.update(f"{place}:{float(model.reference_eV[place])!r};".encode())
        for name, array in _arrays(model.mean[place], model.scale[place], stack).items():
            total.update(f"{name}{np.shape(array)};".encode() + np.ascontiguousarray(array, dtype="<f8").tobytes())
    return total.hexdigest()


def read(folder: Path) -> BpnnModel:
    """The model of an artefact folder.  Raises ValueError if weights.h5 is missing, damaged or not of this layout."""
    return read_verified(folder / FILE, _parse, _digest)


def _parse(file: h5py.File, size: int) -> BpnnModel:
    """The model in an open file of so many bytes."""
    head = file.attrs
    if head["format"] != "renkei-bpnn" or int(head["schema"]) not in (1, 2, 3):
        raise ValueError(f"format {head['format']!r} schema {head['schema']!r}, expected renkei-bpnn 1, 2 or 3")
    baseline = charges = None
    if int(head["schema"]) == 3:
        group = file["charges"]
        charges = ewald.PointCharges(dataset(group, "charges", size), float(group.attrs["width_A"]))
    if int(head["schema"]) == 2 or "pairs" in file:
        pairs = file["pairs"]
        repulsion, attraction = (dataset(pairs, name, size) for name in ("repulsion", "attraction"))
        baseline = Baseline(repulsion, attraction, float(pairs.attrs["cutoff_A"]))
    descriptor = Chebyshev(
        tuple(int(number) for number in head["species"]),
        head["family"],
        int(head["radial_order"]),
        float(head["radial_cutoff_A"]),
        int(head["angular_order"]),
        float(head["angular_cutoff_A"]),
        tuple(int(power) for power in head["powers"]),
    )
    groups = [file[str(place)] for place in range(len(descriptor.species))]
    layers = []
    for group in groups:
        depth = sum(name.startswith("weight") for name in group)
        stack = [(dataset(group, f"weight{n}", size), dataset(group, f"bias{n}", size)) for n in range(depth)]
        layers.append(tuple(stack))
    return BpnnModel(
        descriptor,
        tuple(layers),
        str(head["activation"]),
        np.array([dataset(group, "mean", size) for group in groups]),
        np.array([dataset(group, "scale", size) for group in groups]),
        np.array([float(group.attrs["reference_eV"]) for group in groups]),
        float(head["energy_scale_eV"]),
        baseline,
        charges,
    )
