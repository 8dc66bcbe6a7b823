"""A learner in forty lines: networks on radial functions alone, on top of what the project's own learners share."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from kernels.descriptors.base import Chebyshev
from kernels.potentials import bpnn
from train_daemon.learners.base import Export, LearnerContext
from train_daemon.moment_learner import Model, MomentLearner, NetworkSettings


class Settings(NetworkSettings):
    """Keys of `learner:` in run.yaml."""

    name: str = "examples.radial_learner"
    order: int = Field(default=20, ge=0, le=100)
    cutoff_A: float = Field(default=6.0, gt=0, le=20)
    hidden: tuple[int, ...] = (20, 20)


def build(settings: Settings, context: LearnerContext) -> RadialLearner:
    """The learner on the best device there is; torch is loaded here, not at the head of the file."""
    from train_daemon.fit import choose_device

    return RadialLearner(settings, context, *choose_device(context.device))


class RadialLearner(MomentLearner):
    """Start, fit, dump and restore are inherited."""

    settings: Settings

    def export(self, model: Model, folder: Path) -> Export:
        """Write the networks in the format `bpnn`."""
        bpnn.write(folder, model.network)
        return Export("bpnn", model.network.descriptor.species, self.settings.cutoff_A, self.settings.model_dump(mode="json"))

    def _descriptor(self, species: tuple[int, ...]) -> Chebyshev:
        return Chebyshev(
            species, "species_resolved", self.settings.order, self.settings.cutoff_A, 0, 0.1
        )  # no two atoms so close

    def _hidden(self) -> tuple[int, ...]:
        return self.settings.hidden
