"""kan: trainable functions of one distance or one cosine each, summed about an atom, below a small network per species.

They are trained as sums of Chebyshev polynomials, which are the first layer of a network on Chebyshev moments, and exported as
cubic splines (kernels/folding.py): phi of the centre's and the neighbour's species, psi of the centre's and both neighbours'.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from kernels import folding, kan_model
from kernels.descriptors.base import Chebyshev
from protocol.settings import Section
from train_daemon.learners.base import Export, LearnerContext
from train_daemon.moment_learner import Model, MomentLearner, NetworkSettings


class Radial(Section):
    """Functions of a distance."""

    order: int = Field(default=15, ge=0, le=100)  # of their polynomials
    cutoff_A: float = Field(default=6.0, gt=0, le=20)


class Angular(Section):
    """Functions of the cosine of an angle."""

    order: int = Field(default=8, ge=0, le=100)
    cutoff_A: float = Field(default=4.0, gt=0, le=20)
    powers: tuple[Annotated[int, Field(ge=1, le=6)], ...] = Field(
        default=(1,), min_length=1
    )  # of the cut-offs; functions for each


class Settings(NetworkSettings):
    """Keys of `learner:` in run.yaml."""

    name: str = "kan"
    radial: Radial = Radial()
    angular: Angular = Angular()
    functions: int = Field(default=16, ge=1, le=1000)  # of each kind: each species' sums, the inputs of its network
    hidden: tuple[int, ...] = Field(default=(16,), max_length=7)  # widths of the hidden layers above the sums
    intervals: int = Field(default=256, ge=1, le=100_000)  # of the exported splines


def build(settings: Settings, context: LearnerContext) -> KanLearner:
    """The learner on the best device there is."""
    import torch

    from train_daemon.fit import choose_device

    torch.set_num_threads(context.threads)
    return KanLearner(settings, context, *choose_device(context.device))


class KanLearner(MomentLearner):
    """The files are those of kernels/potentials/kan.py."""

    settings: Settings

    def export(self, model: Model, folder: Path) -> Export:
        """Write the artefact's files into an existing empty folder."""
        s, network = self.settings, model.network
        kan_model.write(folder, folding.fold(network, s.intervals))
        architecture = {
            "radial": s.radial.model_dump(mode="json"),
            "angular": s.angular.model_dump(mode="json"),
            "functions": s.committee * s.functions,
            "hidden": [s.committee * width for width in s.hidden],
            "intervals": s.intervals,
            "committee": s.committee,
            "activation": s.activation,
            "baseline": s.baseline,
            "charges": s.charges,
            "charge_width_A": s.charge_width_A,
        }
        d = network.descriptor
        return Export("kan", d.species, 0.0 if network.charges else d.radial_cutoff_A, architecture)

    def _descriptor(self, species: tuple[int, ...]) -> Chebyshev:
        s = self.settings
        orders = s.radial.order, s.radial.cutoff_A, s.angular.order, s.angular.cutoff_A
        return Chebyshev(species, "species_resolved", *orders, s.angular.powers)

    def _hidden(self) -> tuple[int, ...]:
        return (self.settings.functions, *self.settings.hidden)
