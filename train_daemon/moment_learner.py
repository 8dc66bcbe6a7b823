"""What the learners of networks on Chebyshev moments share: their keys, the model, its fits and its dump.

Normalisation, reference energies and energy scale are fixed at the start and stay fixed while fine-tuning. When the training side
has grown fourfold they are fitted anew, and the first and last layers are re-mapped so that the function does not change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from kernels.arrays import Array
from kernels.baseline import Baseline, coefficients, of_coefficients
from kernels.descriptors.base import Chebyshev
from kernels.pool import compiled_pool
from kernels.potentials import bpnn
from protocol import checkpoint
from protocol.settings import Section
from train_daemon import walls
from train_daemon.augmentation import Augmentation
from train_daemon.committee import mean
from train_daemon.dataset import TrainingSet
from train_daemon.learners.base import Budget, Export, FitReport
from train_daemon.library import Library
from train_daemon.losses import AlphaMix, AnyLoss
from train_daemon.normalisation import normalisation, remapped
from train_daemon.sides import Sides, divided

if TYPE_CHECKING:
    import torch

    from train_daemon.blocks import Maps
    from train_daemon.recipe import Recipe, Table

Layers = Sequence[Sequence[tuple[Array, Array]]]  # per species and layer: W (out, in), b (out,)
NORM = ("mean", "scale", "reference_eV", "energy_scale_eV")  # what the networks of a model share
RENORMALISE_AT = 4  # times the number of structures at the last normalisation


class NetworkSettings(Section):
    """Keys of `learner:` in run.yaml that all of them have."""

    name: str
    activation: Literal["tanh", "sigmoid", "linear", "mtanh", "twist"] = "tanh"
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

    def __init__(self, settings: NetworkSettings, seed: int, device: str, device_reason: str) -> None:
        self.settings, self.seed, self.device, self.device_reason = settings, seed, device, device_reason
        self._library: Library | None = None

    def start(self, data: TrainingSet) -> Model:
        """Random networks, their normalisation and reference energies from `data`."""
        library, members = self._kept(data)
        pairs = self._pairs(library, members) if library.with_pairs else None
        norm = normalisation(library, members, pairs)
        sizes = (library.descriptor.length, *self._hidden(), 1)
        networks = []
        for member in range(self.settings.committee):
            draw = np.random.default_rng([self.seed, member])
            layers = tuple(tuple(_random_layer(draw, a, b) for a, b in pairwise(sizes)) for _ in data.species)
            networks.append(bpnn.BpnnModel(library.descriptor, layers, self.settings.activation, **norm, baseline=pairs))
        return Model(tuple(networks), len(members), 0)

    def fit(self, model: Model, data: TrainingSet, budget: Budget) -> tuple[Model, FitReport]:
        """Warm-started training, one network after another; leaves `model` as it was."""
        library, members = self._kept(data)
        if len(members) >= RENORMALISE_AT * model.normalised_on:
            norm = normalisation(library, members, model.networks[0].baseline)
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

        alone = len(model.networks) == 1
        network = model.networks[member]
        table = self._table(network, sides if alone else sides.resampled(self.seed, member))
        layers = [[(self._tensor(weights), self._tensor(bias)) for weights, bias in species] for species in network.layers]

        def on_epoch(row: Mapping[str, float]) -> None:
            budget.on_epoch(row if alone else {**row, "member": member})

        def on_progress(take: Callable[[], Layers]) -> None:
            budget.on_progress(lambda: model.with_layers(member, take()))

        report = fit(layers, table, self._recipe(model, member), replace(budget, on_epoch=on_epoch, on_progress=on_progress))
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
        networks = []
        for member in _in_order(state["members"]):
            layers = tuple(tuple((layer["w"], layer["b"]) for layer in _in_order(species)) for species in _in_order(member))
            networks.append(bpnn.BpnnModel(descriptor, layers, self.settings.activation, **norm, baseline=pairs))
        return Model(tuple(networks), int(state["on"]), int(state["fits"]))

    def export(self, model: Model, folder: Path) -> Export:
        """Write the artefact's files into an existing empty folder."""
        raise NotImplementedError

    def _pairs(self, library: Library, members: Array) -> Baseline:
        rows, species = library.atoms(members), len(library.descriptor.species)
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
        seed = (hash((self.seed, model.fits - 1)) + member) % 2**32
        end = s.weight_decay, s.ema, s.patience_epochs, s.polish_steps, s.gradient_clip
        return Recipe(s.batch, s.learning_rate, min(1e-5, s.learning_rate), s.loss, s.activation, seed, *end)

    def _kept(self, data: TrainingSet) -> tuple[Library, Array]:
        """The library with everything of `data` in it, and the places."""
        if self._library is None:
            descriptor, with_pairs = self._descriptor(data.species), self.settings.baseline == "pairs"
            compiled = compiled_pool(descriptor) if self.device == "cpu" else None
            self._library = Library(descriptor, with_pairs=with_pairs, compiled=compiled)
        return self._library, self._library.add(data.samples)

    def _tensor(self, array: Array) -> torch.Tensor:
        """A copy in single precision on the device."""
        import torch

        return torch.tensor(array, dtype=torch.float32, device=self.device)

    def _table(self, network: bpnn.BpnnModel, sides: Sides) -> Table:
        """The training side on the device."""
        import torch

        from train_daemon.recipe import Table

        library = self._library
        assert library is not None
        maps, mix = self._maps(library)
        composition = library.composition(np.arange(len(library.energies)))
        energies, forces = library.above(network.baseline)
        virials = known = None
        if library.virial_known.any():
            virials = self._tensor(library.virials_above(network.baseline) / network.energy_scale_eV)
            known = self._tensor(library.virial_known)
        inputs = (library.features - network.mean[library.kinds]) * network.scale[library.kinds]
        return Table(
            members=sides.members,
            validation=sides.validation,
            inputs=self._tensor(inputs),
            kinds=library.kinds,
            starts=library.starts,
            energies=self._tensor((energies - composition @ network.reference_eV) / network.energy_scale_eV),
            forces=self._tensor(forces / network.energy_scale_eV),
            weights=self._tensor(sides.weights),
            forced=self._tensor(sides.forced),
            compositions=torch.from_numpy(np.unique(composition, axis=0, return_inverse=True)[1].reshape(-1)).to(self.device),
            slopes=self._tensor(network.scale),
            mixing=mix,
            energy_scale=network.energy_scale_eV,
            maps=maps,
            virials=virials,
            virial_known=known,
        )

    def _maps(self, library: Library) -> tuple[Callable[[Array], Maps], torch.Tensor | None]:
        """The products of chosen structures, and the mixing of resolved features where they need it."""
        from kernels.descriptors.products import mixing
        from train_daemon.blocks import CpuMaps, DevicePool
        from train_daemon.compiled_maps import CompiledMaps

        if library.compiled is not None:
            return partial(CompiledMaps, library.compiled), None
        assert library.pool is not None
        mix = None if library.descriptor.family == "species_resolved" else self._tensor(mixing(library.descriptor))
        if self.device != "cpu":
            return DevicePool(library.spots, library.pool, self.device).maps, mix
        return partial(CpuMaps, library.spots, library.pool), mix


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
