"""chebyshev_bpnn: a small network per species on Chebyshev descriptors (the aenet family), trained on energies and forces.

Normalisation, reference energies and energy scale are fixed at the start and stay fixed while fine-tuning. When the training side
has grown fourfold they are fitted anew, and the first and last layers are re-mapped so that the function does not change.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from kernels.arrays import Array
from kernels.descriptors.base import Chebyshev
from kernels.potentials import bpnn
from protocol import checkpoint
from protocol.settings import Section
from train_daemon.dataset import TrainingSet
from train_daemon.learners.base import Budget, Export, FitReport, LearnerContext

if TYPE_CHECKING:
    import torch

    from train_daemon.fit import Recipe, Table
    from train_daemon.library import Library

RENORMALISE_AT = 4  # times the number of structures at the last normalisation
SCALE_FLOOR = 1e-2  # smallest standard deviation of a feature, as a share of the largest of its species
Layers = tuple[tuple[tuple[Array, Array], ...], ...]  # per species and layer: W (out, in), b (out,)


class Radial(Section):
    """Radial functions."""

    order: int = Field(default=15, ge=0, le=100)
    cutoff_A: float = Field(default=6.0, gt=0, le=20)


class Angular(Section):
    """Angular functions."""

    order: int = Field(default=8, ge=0, le=100)
    cutoff_A: float = Field(default=4.0, gt=0, le=20)


class Settings(Section):
    """Keys of `learner:` in run.yaml."""

    name: str = "chebyshev_bpnn"
    radial: Radial = Radial()
    angular: Angular = Angular()
    family: Literal["species_resolved", "species_weighted"] = "species_resolved"
    hidden: tuple[int, ...] = Field(default=(30, 30), min_length=1, max_length=8)
    activation: Literal["tanh", "sigmoid", "linear"] = "tanh"
    energy_weight: float = Field(default=10.0, gt=0)  # of (dE)^2 / N against the mean square of a force component
    batch: int = Field(default=16, ge=1)  # structures of a minibatch
    learning_rate: float = Field(default=3e-3, gt=0, le=1)  # of Adam, at the start of each fit; it ends at 1e-5 along a cosine


@dataclass(frozen=True)
class Model:
    """A network with its normalisation, and the number of structures that this was fitted on."""

    network: bpnn.BpnnModel
    normalised_on: int
    fits: int  # done so far; numbers the random orders


def build(settings: Settings, context: LearnerContext) -> BpnnLearner:
    """The learner on the best device there is."""
    import torch

    from train_daemon.fit import choose_device

    torch.set_num_threads(context.threads)
    return BpnnLearner(settings, context.seed, *choose_device(context.device))


class BpnnLearner:
    """See the head of this file. Features and geometry of every structure are kept from fit to fit."""

    def __init__(self, settings: Settings, seed: int, device: str, device_reason: str) -> None:
        self.settings, self.seed, self.device, self.device_reason = settings, seed, device, device_reason
        self._library: Library | None = None

    def start(self, data: TrainingSet) -> Model:
        """A random network, its normalisation and reference energies from `data`."""
        library, members = self._kept(data)
        norm = _normalisation(library, members)
        draw = np.random.default_rng([self.seed, 0])
        sizes = (library.descriptor.length, *self.settings.hidden, 1)
        layers = tuple(tuple(_random_layer(draw, a, b) for a, b in pairwise(sizes)) for _ in data.species)
        network = bpnn.BpnnModel(descriptor=library.descriptor, layers=layers, activation=self.settings.activation, **norm)
        return Model(network, len(members), 0)

    def fit(self, model: Model, data: TrainingSet, budget: Budget) -> tuple[Model, FitReport]:
        """Warm-started training; leaves `model` as it was."""
        from train_daemon.fit import fit

        library, members = self._kept(data)
        if len(members) >= RENORMALISE_AT * model.normalised_on:
            model = Model(remapped(model.network, _normalisation(library, members)), len(members), model.fits)
        table = self._table(model.network, library, members, np.array([sample.weight for sample in data.samples]))
        layers = [[(self._tensor(weights), self._tensor(bias)) for weights, bias in species] for species in model.network.layers]

        def snapshot() -> Model:
            kept = tuple(tuple((_array(weights), _array(bias)) for weights, bias in species) for species in layers)
            return Model(replace(model.network, layers=kept), model.normalised_on, model.fits + 1)

        def on_epoch(row: Any) -> None:
            budget.on_epoch(row)
            budget.on_progress(snapshot)

        report = fit(layers, table, self._recipe(model), replace(budget, on_epoch=on_epoch))
        return snapshot(), report

    def dump(self, model: Model) -> bytes:
        """The model for our own checkpoint (HDF5 bytes)."""
        network = model.network
        layers = {
            str(s): {str(k): {"w": w, "b": b} for k, (w, b) in enumerate(layers)} for s, layers in enumerate(network.layers)
        }
        state = {name: np.asarray(getattr(network, name)) for name in ("mean", "scale", "reference_eV", "energy_scale_eV")}
        return checkpoint.dump(
            {
                **state,
                "layers": layers,
                "species": list(network.descriptor.species),
                "on": model.normalised_on,
                "fits": model.fits,
            }
        )

    def restore(self, blob: bytes) -> Model:
        """The inverse of dump."""
        state = checkpoint.load(blob)
        layers = tuple(
            tuple((layer["w"], layer["b"]) for _, layer in sorted(species.items()))
            for _, species in sorted(state["layers"].items())
        )
        network = bpnn.BpnnModel(
            descriptor=self._descriptor(tuple(int(z) for z in state["species"])),
            layers=layers,
            activation=self.settings.activation,
            mean=state["mean"],
            scale=state["scale"],
            reference_eV=state["reference_eV"],
            energy_scale_eV=float(state["energy_scale_eV"]),
        )
        return Model(network, int(state["on"]), int(state["fits"]))

    def export(self, model: Model, folder: Path) -> Export:
        """Write the artefact's files into an existing empty folder."""
        bpnn.write(folder, model.network)
        d = model.network.descriptor
        architecture = {
            "family": d.family,
            "radial": {"order": d.radial_order, "cutoff_A": d.radial_cutoff_A},
            "angular": {"order": d.angular_order, "cutoff_A": d.angular_cutoff_A, "powers": list(d.powers)},
            "hidden": list(self.settings.hidden),
            "activation": self.settings.activation,
        }
        return Export("bpnn", d.species, d.radial_cutoff_A, architecture)

    def _descriptor(self, species: tuple[int, ...]) -> Chebyshev:
        s = self.settings
        return Chebyshev(species, s.family, s.radial.order, s.radial.cutoff_A, s.angular.order, s.angular.cutoff_A)

    def _recipe(self, model: Model) -> Recipe:
        from train_daemon.fit import Recipe

        s = self.settings
        seed = hash((self.seed, model.fits)) % 2**32
        return Recipe(s.batch, s.learning_rate, min(1e-5, s.learning_rate), s.energy_weight, s.activation, seed)

    def _kept(self, data: TrainingSet) -> tuple[Library, Array]:
        """The library with everything of `data` in it, and the places."""
        from train_daemon.library import Library

        if self._library is None:
            self._library = Library(self._descriptor(data.species))
        return self._library, self._library.add(data.samples)

    def _tensor(self, array: Array) -> torch.Tensor:
        """A copy in single precision on the device."""
        import torch

        return torch.tensor(array, dtype=torch.float32, device=self.device)

    def _table(self, network: bpnn.BpnnModel, library: Library, members: Array, weights: Array) -> Table:
        """The training side on the device."""
        from kernels.descriptors.products import mixing
        from train_daemon.blocks import CpuMaps, DevicePool
        from train_daemon.fit import Table

        pool, spots = library.pool, library.spots
        assert pool is not None
        every = np.arange(len(library.energies))
        inputs = (library.features - network.mean[library.kinds]) * network.scale[library.kinds]
        energies = (library.energies - library.composition(every) @ network.reference_eV) / network.energy_scale_eV
        kept = np.zeros(len(every))
        kept[members] = weights
        mix = None if library.descriptor.family == "species_resolved" else self._tensor(mixing(library.descriptor))
        maps = DevicePool(spots, pool, self.device).maps if self.device != "cpu" else lambda chosen: CpuMaps(spots, pool, chosen)
        tensors = (
            self._tensor(energies),
            self._tensor(library.forces / network.energy_scale_eV),
            self._tensor(kept),
            self._tensor(network.scale),
        )
        return Table(members, self._tensor(inputs), library.kinds, library.starts, *tensors, mix, network.energy_scale_eV, maps)


def remapped(network: bpnn.BpnnModel, norm: dict[str, Any]) -> bpnn.BpnnModel:
    """The same function with another normalisation; a feature that was dead before begins with no weight."""
    layers = []
    ratio = network.energy_scale_eV / norm["energy_scale_eV"]
    for kind, species in enumerate(network.layers):
        (first, bias), (last, last_bias) = species[0], species[-1]
        old, new = network.scale[kind], norm["scale"][kind]
        new[(new == 0) & (old != 0)] = old[(new == 0) & (old != 0)]
        weights = first * np.divide(old, new, out=np.zeros_like(old), where=new != 0)
        bias = bias + first @ (old * (norm["mean"][kind] - network.mean[kind]))
        shift = (network.reference_eV[kind] - norm["reference_eV"][kind]) / norm["energy_scale_eV"]
        layers.append(((weights, bias), *species[1:-1], (last * ratio, last_bias * ratio + shift)))
    return replace(network, layers=tuple(layers), **norm)


def _normalisation(library: Library, members: Array) -> dict[str, Any]:
    """Mean and scale of the features, reference energies by least squares, energy scale = root mean square force times 1 A."""
    rows = library.atoms(members)
    count, length = len(library.descriptor.species), library.descriptor.length
    mean, scale = np.zeros((count, length)), np.zeros((count, length))
    for kind in range(count):
        features = library.features[rows[library.kinds[rows] == kind]]
        if len(features):
            mean[kind], spread = features.mean(axis=0), features.std(axis=0)
            floor = SCALE_FLOOR * spread.max()
            scale[kind] = 1.0 / np.maximum(spread, floor) if floor > 0 else 0.0
    references = np.linalg.lstsq(library.composition(members).astype(np.float64), library.energies[members], rcond=None)[0]
    force = float(np.sqrt(np.mean(library.forces[rows] ** 2)))
    return {"mean": mean, "scale": scale, "reference_eV": references, "energy_scale_eV": force or 1.0}


def _random_layer(draw: np.random.Generator, inputs: int, outputs: int) -> tuple[Array, Array]:
    bound = inputs**-0.5
    return draw.uniform(-bound, bound, (outputs, inputs)), np.zeros(outputs)


def _array(part: Any) -> Array:
    result: Array = part.detach().cpu().numpy().astype(np.float64)
    return result
