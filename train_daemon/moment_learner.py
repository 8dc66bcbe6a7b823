"""What the learners of networks on Chebyshev moments share: their keys, the model, its fits and its dump.

Normalisation, reference energies and energy scale are fixed at the start and stay fixed while fine-tuning. When the training side
has grown fourfold they are fitted anew, and the first and last layers are re-mapped so that the function does not change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from kernels.arrays import Array
from kernels.baseline import Baseline, coefficients, of_coefficients
from kernels.descriptors.base import Chebyshev
from kernels.potentials import bpnn
from protocol import checkpoint
from protocol.settings import Section
from train_daemon import charges as coulomb
from train_daemon import walls
from train_daemon.augmentation import Augmentation
from train_daemon.committee import mean
from train_daemon.dataset import TrainingSet
from train_daemon.learners.base import Budget, Export, FitReport, LearnerContext
from train_daemon.library import Below, Library, library_of
from train_daemon.losses import AlphaMix, AnyLoss
from train_daemon.normalisation import normalisation, remapped, unseen
from train_daemon.sides import Sides, divided

if TYPE_CHECKING:
    from train_daemon.recipe import Recipe

Layers = Sequence[Sequence[tuple[Array, Array]]]  # per species and layer: W (out, in), b (out,)
NORM = ("mean", "scale", "reference_eV", "energy_scale_eV")  # what the networks of a model share
WALL_ATOMS = 200_000  # that a two-body energy is fitted to, at most
RENORMALISE_AT = 4  # times the number of structures at the last normalisation


class NetworkSettings(Section):
    """Keys of `learner:` in run.yaml that all of them have."""

    name: str
    activation: Literal["tanh", "sigmoid", "linear", "mtanh", "twist"] = "tanh"
    networks: Literal["per_species", "shared"] = "per_species"  # shared: equal but for first and last biases
    loss: AnyLoss = AlphaMix()
    batch: int = Field(default=16, ge=1)  # structures of a minibatch
    learning_rate: float = Field(default=3e-3, gt=0, le=1)  # of AdamW, at the start of each fit; it ends at 1e-5 along a cosine
    weight_decay: float = Field(default=0.0, ge=0, le=1)  # of AdamW
    gradient_clip: float = Field(default=0.0, ge=0)  # longest gradient of a step by a network's parameters, Euclidean; 0: any
    ema: float = Field(default=0.0, ge=0, lt=1)  # decay of the moving average of the weights, which is what leaves a fit; 0: none
    patience_epochs: int = Field(
        default=0, ge=0
    )  # without a better loss of a validation side the fit ends with its best; 0: none
    polish_steps: int = Field(default=0, ge=0)  # of L-BFGS on all structures, at the end of each fit
    committee: int = Field(default=1, ge=1, le=32)  # networks on resampled data, whose mean is the potential
    augmentation: Augmentation | None = None  # displaced copies with energies from the forces
    baseline: Literal["none", "pairs"] = "none"  # pairs: a two-body energy, fitted at the start, lies below the networks
    charges: coulomb.Charges = "none"  # of the elements, e; their Coulomb energy lies below the networks
    charge_width_A: float = Field(default=1.0, ge=0.05, le=5)  # of the charges; erf(r / (sqrt(2) width)) / r instead of 1 / r


@dataclass(frozen=True)
class Model:
    """The networks of the committee, all with one normalisation, and the number of structures that this was fitted on."""

    networks: tuple[bpnn.BpnnModel, ...]
    normalised_on: int
    fits: int  # done so far; numbers the random orders

    @property
    def network(self) -> bpnn.BpnnModel:
        """What is exported: the mean of the networks as one."""
        return mean(self.networks)

    def with_layers(self, member: int, layers: Layers) -> Model:
        """The same with other layers of one network."""
        networks = list(self.networks)
        networks[member] = replace(networks[member], layers=tuple(tuple(species) for species in layers))
        return replace(self, networks=tuple(networks))


class MomentLearner:
    """A learner without its `export`, `_descriptor` and `_hidden` (widths of the hidden layers).

    Features and geometry of every structure are kept from fit to fit.
    """

    def __init__(self, settings: NetworkSettings, context: LearnerContext, device: str, device_reason: str) -> None:
        self.settings, self.context, self.device, self.device_reason = settings, context, device, device_reason
        self._library: Library | None = None

    def start(self, data: TrainingSet) -> Model:
        """Random networks, their normalisation and reference energies from `data`."""
        library, members = self._kept(data)
        pairs = self._pairs(library, members) if library.with_pairs else None
        norm = normalisation(library, members, pairs, self._shared)
        sizes = (library.descriptor.length, *self._hidden(), 1)
        networks = []
        for member in range(self.settings.committee):
            draw = np.random.default_rng([self.context.seed, member])
            layers = _random_layers(draw, sizes, len(data.species), self._shared)
            below: dict[str, Any] = {"baseline": pairs, "charges": library.charges}
            networks.append(bpnn.BpnnModel(library.descriptor, layers, self.settings.activation, **norm, **below))
        return Model(tuple(networks), len(members), 0)

    def fit(self, model: Model, data: TrainingSet, budget: Budget) -> tuple[Model, FitReport]:
        """Warm-started training, one network after another; leaves `model` as it was."""
        library, members = self._kept(data)
        first_seen = unseen(model.network) & (library.composition(members).sum(axis=0) > 0)  # elements of a simulator that joined
        if first_seen.any() or len(members) >= RENORMALISE_AT * model.normalised_on:
            norm = normalisation(library, members, model.networks[0].baseline, self._shared)
            model = Model(tuple(remapped(network, norm) for network in model.networks), len(members), model.fits)
        sides = divided(library, data, self.settings.patience_epochs > 0, self.settings.augmentation)
        model, reports = replace(model, fits=model.fits + 1), []
        for member in range(len(model.networks)):
            if member and budget.should_stop():
                break
            layers, report = self._fit_member(member, model, sides, budget)
            model = model.with_layers(member, layers)
            reports.append(report)
        return model, _together(reports)

    def _fit_member(self, member: int, model: Model, sides: Sides, budget: Budget) -> tuple[Layers, FitReport]:
        """Train one network of the committee."""
        from train_daemon.fit import arrays, fit
        from train_daemon.group import ALONE
        from train_daemon.tables import table_of, tensor

        library = self._library
        assert library is not None
        alone = len(model.networks) == 1
        network = model.networks[member]
        table = table_of(library, network, sides if alone else sides.resampled(self.context.seed, member), self.device)
        layers = [[(tensor(weights, self.device), tensor(bias, self.device)) for weights, bias in s] for s in network.layers]

        def on_epoch(row: Mapping[str, float]) -> None:
            budget.on_epoch(row if alone else {**row, "member": member})

        def on_progress(take: Callable[[], Layers]) -> None:
            budget.on_progress(lambda: model.with_layers(member, take()))

        told = replace(budget, on_epoch=on_epoch, on_progress=on_progress)
        report = fit(layers, table, self._recipe(model, member), told, self.context.group or ALONE)
        return arrays(layers), report

    def dump(self, model: Model) -> bytes:
        """The model for our own checkpoint (HDF5 bytes)."""
        first = model.networks[0]
        members = {
            str(m): {
                str(s): {str(k): {"w": w, "b": b} for k, (w, b) in enumerate(layers)} for s, layers in enumerate(network.layers)
            }
            for m, network in enumerate(model.networks)
        }
        norm = {name: np.asarray(getattr(first, name)) for name in NORM}
        counts = {"on": model.normalised_on, "fits": model.fits}
        if first.baseline is not None:
            norm["pairs"] = coefficients(first.baseline)
        return checkpoint.dump({**norm, **counts, "members": members, "species": list(first.descriptor.species)})

    def restore(self, blob: bytes) -> Model:
        """The inverse of dump."""
        state = checkpoint.load(blob)
        descriptor = self._descriptor(tuple(int(z) for z in state["species"]))
        norm: dict[str, Any] = {name: float(state[name]) if name == "energy_scale_eV" else state[name] for name in NORM}
        pairs = None
        if "pairs" in state:
            pairs = of_coefficients(state["pairs"], len(descriptor.species), descriptor.radial_cutoff_A)
        below: dict[str, Any] = {"baseline": pairs, "charges": coulomb.of_species(self.settings, descriptor.species)}
        networks = []
        for member in _in_order(state["members"]):
            layers = tuple(tuple((layer["w"], layer["b"]) for layer in _in_order(species)) for species in _in_order(member))
            networks.append(bpnn.BpnnModel(descriptor, layers, self.settings.activation, **norm, **below))
        return Model(tuple(networks), int(state["on"]), int(state["fits"]))

    def export(self, model: Model, folder: Path) -> Export:
        """Write the artefact's files into an existing empty folder."""
        raise NotImplementedError

    def _pairs(self, library: Library, members: Array) -> Baseline:
        rows, species = library.atoms(members), len(library.descriptor.species)
        rows = rows[:: -(-len(rows) // WALL_ATOMS)]
        columns = library.pair_forces[rows].reshape(3 * len(rows), -1)
        found = walls.fit(columns, library.forces[rows].ravel(), library.shortest_A)
        return of_coefficients(found, species, library.descriptor.radial_cutoff_A)

    def _descriptor(self, species: tuple[int, ...]) -> Chebyshev:
        raise NotImplementedError

    def _hidden(self) -> tuple[int, ...]:
        raise NotImplementedError

    def _recipe(self, model: Model, member: int) -> Recipe:
        from train_daemon.recipe import Recipe

        s = self.settings
        seed = (hash((self.context.seed, model.fits - 1)) + member) % 2**32
        end = s.weight_decay, s.ema, s.patience_epochs, s.polish_steps, self._shared, s.gradient_clip
        return Recipe(s.batch, s.learning_rate, min(1e-5, s.learning_rate), s.loss, s.activation, seed, *end)

    @property
    def _shared(self) -> bool:
        return self.settings.networks == "shared"

    def _kept(self, data: TrainingSet) -> tuple[Library, Array]:
        """The library with everything of `data` in it, and the places."""
        if self._library is None:
            charges = coulomb.of_species(self.settings, data.species)
            below = Below(self.settings.baseline == "pairs", charges)
            self._library = library_of(self._descriptor(data.species), below, self.context, self.device)
        return self._library, self._library.add(data.samples)


def _random_layers(draw: np.random.Generator, sizes: Sequence[int], species: int, shared: bool) -> tuple[bpnn.Layers, ...]:
    """Networks to begin with; shared ones differ in the first bias."""
    layers = [tuple(_random_layer(draw, a, b) for a, b in pairwise(sizes)) for _ in range(species)]
    if not shared:
        return tuple(layers)
    (weights, bias), *others = layers[0]
    bound = len(weights[0]) ** -0.5
    return tuple(((weights, draw.uniform(-bound, bound, bias.shape)), *others) for _ in layers)


def _random_layer(draw: np.random.Generator, inputs: int, outputs: int) -> tuple[Array, Array]:
    bound = inputs**-0.5
    return draw.uniform(-bound, bound, (outputs, inputs)), np.zeros(outputs)


def _in_order(numbered: Mapping[str, Any]) -> list[Any]:
    """Values of a mapping whose keys are numbers."""
    return [numbered[key] for key in sorted(numbered, key=int)]


def _together(reports: Sequence[FitReport]) -> FitReport:
    """Steps and epochs of all members, and their root mean square errors."""
    if len(reports) == 1:
        return reports[0]
    names = {name: None for report in reports for name in report.errors}  # a resampled side may lack virials
    told = {name: [report.errors[name] for report in reports if name in report.errors] for name in names}
    errors = {name: float(np.sqrt(np.mean(np.square(values)))) for name, values in told.items()}
    return FitReport(sum(report.steps for report in reports), sum(report.epochs for report in reports), errors)
