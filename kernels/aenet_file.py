"""One file of the code aenet: the network of one species with its Chebyshev descriptor, as text or as Fortran records.

Both forms (kernels/fortran.py) hold the same things in the same order, which `_records` lists.

energy of an atom = output / energy_scale + energy_shift + atomic energy of its species, where the network takes
(feature - average) / sqrt(second_moment - average^2).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from kernels import fortran
from kernels.arrays import Array
from kernels.fortran import Source

SHORTEST_A = 0.5  # written as the shortest distance, by which aenet judges how many neighbours there can be
PARAMETERS = 4  # numbers that aenet keeps for each feature; those of the first one are the descriptor's


@dataclass(frozen=True)
class AenetFile:
    """What counts in a file; L layers with the input, F features, W weights, T species of the training set."""

    sizes: tuple[int, ...]  # (L) nodes; the first is F, the last 1
    activations: tuple[int, ...]  # (L - 1) places in kernels.network.ACTIVATIONS; the last is 0
    weights: Array  # (W,) of each layer the matrix (out, in + 1) by columns, the last column for the bias
    species: str  # symbol of the atoms that have this network
    environment: tuple[str, ...]  # symbols of their neighbours; the order matters
    radial_order: int
    radial_cutoff_A: float
    angular_order: int
    angular_cutoff_A: float
    average: Array  # (F,)
    second_moment: Array  # (F,)
    energy_scale: float  # per eV
    energy_shift_eV: float
    types: tuple[str, ...]  # (T)
    atomic_energies_eV: Array  # (T,)

    def __post_init__(self) -> None:
        """Raises ValueError for numbers that do not fit each other or are not finite."""
        if self.species not in self.types:
            raise ValueError(f"its species {self.species} is not among {' '.join(self.types)}, the types of its training set")
        if not 0 < self.angular_cutoff_A <= self.radial_cutoff_A:
            raise ValueError(
                f"its cut-offs are {self.radial_cutoff_A:g} A (radial) and {self.angular_cutoff_A:g} A (angular), "
                "and the angular one must be positive and at most the radial one"
            )
        length = (1 + (len(self.environment) > 1)) * (self.radial_order + self.angular_order + 2)
        if self.sizes[0] != length:
            raise ValueError(
                f"its network takes {self.sizes[0]} features, but orders {self.radial_order} and {self.angular_order} "
                f"with {len(self.environment)} species in ENV make {length}"
            )
        if self.energy_scale == 0:
            raise ValueError("its energy scale is 0")
        for name in ("weights", "average", "second_moment", "energy_scale", "energy_shift_eV", "atomic_energies_eV"):
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"its {name.removesuffix('_eV').replace('_', ' ')} holds numbers that are not finite")

    @property
    def atomic_energy_eV(self) -> float:
        """Of its own species."""
        return float(self.atomic_energies_eV[self.types.index(self.species)])


def read(path: Path) -> AenetFile:
    """The network of a file, text if its name ends in .ascii.  Raises ValueError, one sentence, if it cannot be understood."""
    try:
        data = path.read_bytes()
        source: Source = fortran.Text(data.decode("utf-8", "replace")) if path.suffix == ".ascii" else fortran.Records(data)
        return _parse(source)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def write(path: Path, file: AenetFile) -> None:
    """Write a file, text if its name ends in .ascii. The same numbers always give the same bytes."""
    form = fortran.as_text if path.suffix == ".ascii" else fortran.as_record
    path.write_bytes(b"".join(form(kind, content) for kind, content in _records(file)))


def _count(source: Source, what: str) -> int:
    (number,) = source.integers(1, what)
    if not 1 <= number <= 10**9:
        raise ValueError(f"its {what} cannot be {number}")
    return number


def _parse(source: Source) -> AenetFile:
    """All parts, one after the other; what is written for people or for training alone is passed over."""
    sizes, activations, weights = _network(source)
    source.line("description")
    species = source.line("species")
    environment = source.names(_count(source, "number of species in ENV"), "species in ENV")
    source.reals(1, "shortest distance")
    source.reals(1, "longest distance")
    parameters, average, second_moment = _descriptor(source, sizes[0], len(environment))
    source.line("training set")
    source.mark("mark of normalisation")
    scale, shift = source.reals(1, "energy scale"), source.reals(1, "energy shift")
    count = _count(source, "number of types")
    types, energies = source.names(count, "types"), source.reals(count, "atomic energies")
    source.integers(1, "number of atoms")
    source.integers(1, "number of structures")
    source.reals(3, "energies of the training set")
    source.end()
    orders = [int(parameters[1]), int(parameters[3])]
    return AenetFile(
        sizes, activations, weights, species, environment,
        orders[0], float(parameters[0]), orders[1], float(parameters[2]),
        average, second_moment, float(scale[0]), float(shift[0]), types, energies,
    )  # fmt: skip


def _network(source: Source) -> tuple[tuple[int, ...], tuple[int, ...], Array]:
    depth = _count(source, "number of layers")
    head = [_count(source, what) for what in ("largest number of nodes", "number of weights", "number of values")]
    sizes = source.integers(depth, "nodes")
    activations = source.integers(depth - 1, "activations")
    places = source.integers(depth, "places of weights"), source.integers(depth, "places of values")
    if depth < 2 or min(sizes) < 1 or sizes[-1] != 1:
        raise ValueError(f"its layers have {', '.join(map(str, sizes))} nodes; expected two layers or more, the last with 1 node")
    ends, values = _ends(sizes)
    if (head, *places) != ([max(sizes), ends[-1], values[-1] + 1], ends, values):
        raise ValueError(f"its numbers of weights and values do not fit layers of {', '.join(map(str, sizes))} nodes")
    if not all(0 <= code <= 4 for code in activations) or activations[-1] != 0:
        raise ValueError(f"its activations are {', '.join(map(str, activations))}; expected codes from 0 to 4, the last one 0")
    return tuple(sizes), tuple(activations), source.reals(head[1], "weights")


def _ends(sizes: Sequence[int]) -> tuple[list[int], list[int]]:
    """Where the weights and the values of each layer end; L numbers each."""
    weights, values = [0], [0]
    for into, out in pairwise(sizes):
        weights.append(weights[-1] + (into + 1) * out)
        values.append(values[-1] + into + 1)
    return weights, values


def _descriptor(source: Source, features: int, species: int) -> tuple[Array, Array, Array]:
    """Parameters (4,), average (F,), second moment (F,)."""
    kind = source.line("descriptor")
    if kind.lower() != "chebyshev":
        raise ValueError(f"its descriptor is {kind!r}; Renkei evaluates Chebyshev alone")
    found, each = _count(source, "number of features"), _count(source, "number of parameters of a feature")
    if (found, each) != (features, PARAMETERS):
        raise ValueError(
            f"it has {found} features of {each} parameters; expected {features}, as its network takes, of {PARAMETERS} parameters"
        )
    source.integers(features, "kinds of features")
    parameters = source.reals(PARAMETERS * features, "parameters of features")[:PARAMETERS]
    orders = parameters[1::2]
    if not np.isfinite(parameters).all() or (orders < 0).any() or (orders != np.rint(orders)).any():
        raise ValueError(f"its descriptor has cut-offs and orders {', '.join(f'{number:g}' for number in parameters)}")
    source.integers_before_reals((2 * features, species * features), "species of features")  # aenet's own text has the latter
    source.integers(1, "number of evaluations")
    _, _, average, moment = (source.reals(features, name) for name in ("minima", "maxima", "averages", "second moments"))
    return parameters, average, moment


def _records(file: AenetFile) -> Iterator[tuple[str, Any]]:
    """Everything in a file, in its order: kind and content. What only training needs is 0."""
    features, (ends, values) = file.sizes[0], _ends(file.sizes)
    parameters = np.zeros(PARAMETERS * features)
    parameters[:PARAMETERS] = file.radial_cutoff_A, file.radial_order, file.angular_cutoff_A, file.angular_order
    yield from (("integers", [n]) for n in (len(file.sizes), max(file.sizes), ends[-1], values[-1] + 1))
    yield from (("integers", array) for array in (file.sizes, file.activations, ends, values))
    yield "reals", file.weights
    yield "line", ("Renkei", 1024)  # one word: aenet's converter reads no more
    yield "line", (file.species, 2)
    yield "integers", [len(file.environment)]
    yield "names", file.environment
    yield from (("reals", [length]) for length in (SHORTEST_A, file.radial_cutoff_A))
    yield "line", ("Chebyshev", 100)
    yield from (("integers", [n]) for n in (features, PARAMETERS))
    yield "integers", [0] * features
    yield "reals", parameters
    yield "integers", [0] * (2 * features)
    yield "integers", [0]
    yield from (("reals", array) for array in ([0.0] * features, [0.0] * features, file.average, file.second_moment))
    yield "line", ("Renkei", 1024)
    yield "mark", True
    yield from (("reals", [number]) for number in (file.energy_scale, file.energy_shift_eV))
    yield "integers", [len(file.types)]
    yield "names", file.types
    yield "reals", file.atomic_energies_eV
    yield from (("integers", [0]), ("integers", [0]), ("reals", [0.0] * 3))
