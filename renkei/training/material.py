"""What a training takes in: frames for training, validation and test, checked together, and the sentences to tell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from protocol.errors import BadSetting
from renkei.labels import checks as data_checks
from renkei.labels import frames as labelled
from renkei.labels.frames import Frame
from renkei.labels.splitting import split


class Material(NamedTuple):
    """Frames of the three sides."""

    training: tuple[Frame, ...]
    validation: tuple[Frame, ...]
    test: tuple[Frame, ...]
    species: tuple[int, ...]  # atomic numbers of the training side
    warnings: tuple[str, ...]

    @property
    def sides(self) -> dict[str, tuple[Frame, ...]]:
        """The sides that have frames, by name."""
        named = {"training": self.training, "validation": self.validation, "test": self.test}
        return {name: frames for name, frames in named.items() if frames}


def gather(data: Sequence[Path], validation: Path | None, share: float, test: Path | None, seed: int) -> Material:
    """Read and check everything.

    share: of the frames that are held out for validation, in blocks, where no `validation` is given.
    Raises BadSetting for the first frame that cannot be used.
    """
    frames, told = data_checks.without_repeats(labelled.read(data))
    if validation is not None:
        training, held = frames, labelled.read([validation])
    else:
        training, held = split(frames, share, seed)
    if validation is None and share > 0 and not held:
        where = ", ".join(str(path) for path in data)
        raise BadSetting(f"{len(frames)} frames leave none for validation", where, "add frames, or say --validation-share 0")
    tested = labelled.read([test]) if test is not None else ()
    species = data_checks.species(training)
    for others in (held, tested):
        data_checks.require_species(others, species, "the training data")
    told = (*told, *data_checks.mixtures([*training, *held, *tested]), *data_checks.references([*training, *held, *tested]))
    if validation is not None:
        told += data_checks.shared(training, held, "validation")
    told += data_checks.shared([*training, *held], tested, "test")
    return Material(training, held, tested, species, told)
