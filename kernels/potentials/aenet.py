"""Potentials of the code aenet (format "aenet"): a folder with one .nn.ascii or .nn file for each species.

They become a model of kernels/potentials/bpnn.py, without loss: energies and forces are aenet's to rounding. What a file
has of its own (normalisation, energy scale, shift and atomic energy, an ENV order that is the reverse of another file's)
is folded into the numbers of its species; kernels/aenet_file.py describes the file.

aenet's files do not say with which `version` of the descriptor they were trained:

    0     aenet 2.0.4: T_m(cos) of angles
    1     aenet 2.0.3 and before: T_m(2 cos / pi - 1), which are sums of T_0 ... T_m(cos) and go into the first layer
    10    as 0, with T_m(-1) of the central atom in the radial moments, which goes into the mean; for one species alone:
          with several its weight is that of a neighbour that depends on the order of their list
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from kernels import aenet_file
from kernels.aenet_file import AenetFile
from kernels.arrays import Array
from kernels.descriptors.base import Chebyshev
from kernels.network import ACTIVATIONS
from kernels.potentials.bpnn import Bpnn, BpnnModel, Layers

TEXT, BINARY = ".nn.ascii", ".nn"
VERSIONS = (0, 1, 10)
NARROWEST = 1e-10  # a feature whose spread is not larger is switched off


def build(folder: Path, generation: int, version: int = 0) -> Bpnn:
    """The potential of a folder of aenet's files; `version` as at the head of this file.  Raises ValueError as `read` does."""
    return Bpnn(read(folder, version), generation)


def read(folder: Path, version: int = 0) -> BpnnModel:
    """The model of a folder of aenet's files; `version` as at the head of this file.

    Raises ValueError, one sentence that names the file, where one cannot be understood, or where they are not one model:
    all must have the same cut-offs, orders, ENV order (or its reverse) and one activation.
    """
    if version not in VERSIONS:
        raise ValueError(f"version must be one of {', '.join(map(str, VERSIONS))}, got {version}")
    found = _by_species(folder)
    path, first = next(iter(found.values()))
    for symbol in first.environment:
        if symbol not in found:
            raise ValueError(f"{folder} has no network for {symbol}, which is in ENV of {path.name}")
    if version == 10 and len(first.environment) > 1:
        raise ValueError(f"{path}: version 10 is no function of the positions with several species in ENV")
    activation = _activation(list(found.values()))
    for other, file in found.values():
        _fits(other, file, path, first)
    ordered = [found[symbol][1] for symbol in first.environment]
    scale = ordered[0].energy_scale
    parts = [_folded(file, file.environment != first.environment, version, file.energy_scale / scale) for file in ordered]
    return BpnnModel(
        _descriptor(first),
        tuple(layers for layers, _, _ in parts),
        activation,
        np.array([mean for _, mean, _ in parts]),
        np.array([factor for _, _, factor in parts]),
        np.array([file.energy_shift_eV + file.atomic_energy_eV for file in ordered]),
        1 / scale,
    )


def write(folder: Path, model: BpnnModel, binary: bool = False) -> None:
    """Write SYMBOL.nn.ascii (or SYMBOL.nn) for each species into an existing folder.

    Mean and scale go into the first layer, which loses nothing; aenet's second moment would. What `read` makes of the files
    gives the same energies and forces to rounding, and the same bytes when it is written again.
    Raises ValueError where aenet has no such descriptor.
    """
    d = model.descriptor
    if d.family != "species_weighted":  # which has no powers but (1,)
        raise ValueError(
            f"aenet's files have species_weighted descriptors with powers (1,) alone; this model is {d.family} with {d.powers}"
        )
    if model.charges is not None:
        raise ValueError("aenet's files have no place for the charges below this model's networks")
    if model.baseline is not None:
        raise ValueError("aenet's files have no place for the two-body energy below this model's networks")
    strangers = [number for number in d.species if not 0 < number < len(chemical_symbols)]
    if strangers or model.energy_scale_eV == 0:
        raise ValueError(f"aenet's files cannot have {f'atomic numbers {strangers}' if strangers else 'energy_scale_eV 0'}")
    symbols = tuple(chemical_symbols[number] for number in d.species)
    for place, symbol in enumerate(symbols):
        layers = _without_norm(model.layers[place], model.mean[place], model.scale[place])
        hidden = ACTIVATIONS.index(model.activation)
        file = AenetFile(
            sizes=(d.length, *(len(bias) for _, bias in layers)),
            activations=(hidden,) * (len(layers) - 1) + (0,),
            weights=np.concatenate([np.column_stack(layer).T.ravel() for layer in layers]) + 0.0,  # no -0
            species=symbol,
            environment=symbols,
            radial_order=d.radial_order,
            radial_cutoff_A=d.radial_cutoff_A,
            angular_order=d.angular_order,
            angular_cutoff_A=d.angular_cutoff_A,
            average=np.zeros(d.length),
            second_moment=np.ones(d.length),
            energy_scale=1 / model.energy_scale_eV,
            energy_shift_eV=0.0,
            types=symbols,
            atomic_energies_eV=np.asarray(model.reference_eV),
        )
        aenet_file.write(folder / f"{symbol}{BINARY if binary else TEXT}", file)


def _by_species(folder: Path) -> dict[str, tuple[Path, AenetFile]]:
    """The files of a folder by symbol, in the order of their names."""
    paths = sorted(path for path in folder.glob("*") if path.name.endswith((TEXT, BINARY)))
    found: dict[str, tuple[Path, AenetFile]] = {}
    for path in paths:
        file = aenet_file.read(path)
        unknown = [symbol for symbol in (file.species, *file.environment) if atomic_numbers.get(symbol, 0) == 0]
        if unknown:
            raise ValueError(f"{path}: {unknown[0]!r} is no element")
        if file.species in found:
            raise ValueError(
                f"{path} is of {file.species} like {found[file.species][0].name}: a folder has one file for a species"
            )
        if file.species not in file.environment or len(set(file.environment)) < len(file.environment):
            raise ValueError(f"{path}: its ENV must have {file.species} and no species twice, got {' '.join(file.environment)}")
        found[file.species] = path, file
    if not found:
        raise ValueError(f"{folder} has no file whose name ends in {TEXT} or {BINARY}")
    return found


def _descriptor(file: AenetFile) -> Chebyshev:
    return Chebyshev(
        tuple(atomic_numbers[symbol] for symbol in file.environment),
        "species_weighted",
        file.radial_order,
        file.radial_cutoff_A,
        file.angular_order,
        file.angular_cutoff_A,
    )


def _fits(path: Path, file: AenetFile, other: Path, first: AenetFile) -> None:
    """Whether a file's features are those of the first one, but for a sign."""
    mine, theirs = (
        f"radial order {f.radial_order} to {f.radial_cutoff_A} A, angular order {f.angular_order} to {f.angular_cutoff_A} A"
        for f in (file, first)
    )
    if mine != theirs:
        raise ValueError(f"{path}: its descriptor has {mine}, but that of {other.name} {theirs}; they must be the same")
    if file.environment not in (first.environment, first.environment[::-1]):
        raise ValueError(
            f"{path}: its ENV order is {' '.join(file.environment)}, that of {other.name} {' '.join(first.environment)}; "
            "it must be the same or the reverse"
        )


def _activation(files: list[tuple[Path, AenetFile]]) -> str:
    """The one of all hidden layers."""
    chosen: int | None = None
    for path, file in files:
        for code in file.activations[:-1]:
            chosen = code if chosen is None else chosen
            if code != chosen:
                raise ValueError(
                    f"{path}: it has the activation {ACTIVATIONS[code]} beside {ACTIVATIONS[chosen]}, and a model has only one"
                )
    return ACTIVATIONS[chosen or 0]


def _folded(file: AenetFile, reverse: bool, version: int, stretch: float) -> tuple[Layers, Array, Array]:
    """Layers, mean (F,) and scale (F,) on the features of version 0 in the order of the other files.

    stretch: energy scale of this file over that of the model.
    """
    layers, at = [], 0
    for into, out in pairwise(file.sizes):
        block = file.weights[at : at + (into + 1) * out].reshape(into + 1, out).T
        layers.append((block[:, :-1].copy(), block[:, -1].copy()))
        at += (into + 1) * out
    mean = file.average.copy()
    spread = np.sqrt(np.maximum(file.second_moment - mean * mean, 0))
    scale = np.divide(1, spread, out=np.zeros_like(spread), where=spread > NARROWEST)
    radial, angular = _descriptor(file).places
    terms = np.arange(file.radial_order + 1)
    if version == 10:
        mean[terms] -= (-1.0) ** terms
    if reverse and len(radial) == 2:  # all weights of species change sign: so do radial moments, not products of two weights
        turned = radial[1] + terms
        mean[turned] *= -1
        layers[0][0][:, turned] *= -1
    if version == 1:
        mix = _shifted_polynomials(file.angular_order)
        for begin in angular[0]:
            columns = slice(begin, begin + len(mix))
            matrix, bias = layers[0]
            matrix[:, columns] *= scale[columns]
            bias -= matrix[:, columns] @ mean[columns]
            matrix[:, columns] = matrix[:, columns] @ mix
            mean[columns], scale[columns] = 0, 1
    matrix, bias = layers[-1]
    layers[-1] = matrix / stretch, bias / stretch
    return tuple(layers), mean, scale


def _shifted_polynomials(order: int) -> Array:
    """Matrix (order + 1, order + 1) that makes T_m(2 x / pi - 1) of T_0 ... T_order(x)."""
    powers = [np.polynomial.Chebyshev.basis(m)(np.polynomial.Chebyshev([-1, 2 / np.pi])) for m in range(order + 1)]
    return np.array([np.pad(power.coef, (0, order + 1 - len(power.coef))) for power in powers])


def _without_norm(layers: Layers, mean: Array, scale: Array) -> Layers:
    """The same network on plain features."""
    matrix, bias = layers[0]
    matrix = np.asarray(matrix) * scale
    return ((matrix, bias - matrix @ mean), *layers[1:])
