"""chebyshev_bpnn: a small network per species on Chebyshev descriptors (the aenet family), trained on energies and forces."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from kernels.descriptors.base import Chebyshev
from kernels.potentials import bpnn
from protocol.settings import Section
from train_daemon.learners.base import Export, LearnerContext
from train_daemon.moment_learner import Model, MomentLearner, NetworkSettings


class Radial(Section):
    """Radial functions."""

    order: int = Field(default=15, ge=0, le=100)
    cutoff_A: float = Field(default=6.0, gt=0, le=20)


class Angular(Section):
    """Angular functions."""

    order: int = Field(default=8, ge=0, le=100)
    cutoff_A: float = Field(default=4.0, gt=0, le=20)


class Settings(NetworkSettings):
    """Keys of `learner:` in run.yaml."""

    name: str = "chebyshev_bpnn"
    radial: Radial = Radial()
    angular: Angular = Angular()
    family: Literal["species_resolved", "species_weighted"] = "species_resolved"
    hidden: tuple[int, ...] = Field(default=(30, 30), min_length=1, max_length=8)


def build(settings: Settings, context: LearnerContext) -> BpnnLearner:
    """The learner on the best device there is."""
    from train_daemon.fit import use_machine

    return BpnnLearner(settings, context, *use_machine(context))


class BpnnLearner(MomentLearner):
    """The files are those of kernels/potentials/bpnn.py."""

    settings: Settings

    def export(self, model: Model, folder: Path) -> Export:
        """Write the artefact's files into an existing empty folder."""
        bpnn.write(folder, model.network)
        d = model.network.descriptor
        architecture = {
            "family": d.family,
            "radial": {"order": d.radial_order, "cutoff_A": d.radial_cutoff_A},
            "angular": {"order": d.angular_order, "cutoff_A": d.angular_cutoff_A, "powers": list(d.powers)},
            "hidden": [self.settings.committee * width for width in self.settings.hidden],
            "committee": self.settings.committee,
            "activation": self.settings.activation,
            "baseline": self.settings.baseline,
            "charges": self.settings.charges,
            "charge_width_A": self.settings.charge_width_A,
        }
        return Export("bpnn", d.species, 0.0 if model.network.charges else d.radial_cutoff_A, architecture)

    def _descriptor(self, species: tuple[int, ...]) -> Chebyshev:
        s = self.settings
        return Chebyshev(species, s.family, s.radial.order, s.radial.cutoff_A, s.angular.order, s.angular.cutoff_A)

    def _hidden(self) -> tuple[int, ...]:
        return self.settings.hidden
