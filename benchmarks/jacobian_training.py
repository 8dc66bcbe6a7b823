"""Training on forces with and without stored descriptor Jacobians: python -m benchmarks.jacobian_training [--quick].

The project's trainer beside benchmarks/stored_jacobian.py: the same structures, minibatches of the same size, the same networks
and loss, float32, AdamW, one core. Seconds of an epoch (all structures with their forces), seconds of preparing, and peak memory
above imports and compiled loops, each contender in a process of its own. The first row of a case tells how far loss and gradient
of one minibatch are apart, as shares of the largest value. Epochs are medians.
Prints tables and, as the last line, one JSON object.
Seconds are those that the process had on its core, which other jobs change little.

Data: the folders tio2-aenet-pytorch (train.extxyz.gz) and water-dft (data_0.extxyz.gz) below RENKEI_REFERENCE_DATA or --data.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks import reference_data, stored_jacobian
from benchmarks.processes import alone, memory_MiB
from kernels.descriptors.numba_cpu import values
from kernels.potentials.bpnn import BpnnModel
from renkei.labels import frames as labelled
from renkei.training.fit import training_set
from train_daemon import fit
from train_daemon.blocks import Layers
from train_daemon.dataset import Sample, TrainingSet
from train_daemon.direct import DirectStep
from train_daemon.learners import chebyshev_bpnn
from train_daemon.learners.base import Budget, LearnerContext
from train_daemon.losses import AlphaMix
from train_daemon.moment_learner import Model
from train_daemon.recipe import Recipe
from train_daemon.sides import divided
from train_daemon.step import differentiate
from train_daemon.tables import table_of

WARM_UP = 2  # structures with which everything is compiled, before memory is measured
AENET = chebyshev_bpnn.Settings.model_validate(  # of the published run with aenet-PyTorch
    {
        "family": "species_weighted",
        "radial": {"order": 20, "cutoff_A": 6.5},
        "angular": {"order": 6, "cutoff_A": 5.0},
        "hidden": (5, 5),
        "loss": {"name": "alpha_mix", "alpha": 0.1},
    }
)


class Case(NamedTuple):
    """What is trained on."""

    file: str  # below the reference data
    frames: int
    quick_frames: int
    settings: chebyshev_bpnn.Settings


CASES = {
    "TiO2, 6 to 95 atoms, 56 features, 5-5": Case("tio2-aenet-pytorch/train.extxyz.gz", 250, 20, AENET),
    "water, 192 atoms, the default learner": Case("water-dft/data_0.extxyz.gz", 32, 2, chebyshev_bpnn.Settings()),
}


def samples_of(file: Path, count: int) -> TrainingSet:
    """`count` frames of a file, evenly chosen."""
    frames = labelled.read([file])
    chosen = [frames[place] for place in np.linspace(0, len(frames) - 1, count).astype(int)]
    return training_set(chosen, tuple(sorted({int(z) for frame in chosen for z in frame.structure.numbers})))


def build(settings: chebyshev_bpnn.Settings) -> chebyshev_bpnn.BpnnLearner:
    """The project's learner on one core."""
    return chebyshev_bpnn.build(settings, LearnerContext("cpu", 1, 0))


def first_model(settings: chebyshev_bpnn.Settings, data: TrainingSet) -> bytes:
    """Random networks and their normalisation."""
    learner = build(settings)
    return learner.dump(learner.start(data))


def ours(settings: chebyshev_bpnn.Settings, data: TrainingSet, blob: bytes, seconds: float) -> dict[str, float]:
    """Figures of the project's trainer."""
    learner = build(settings)
    few = TrainingSet(data.samples[:WARM_UP], data.species)
    learner.fit(learner.start(few), few, Budget(2, 0, lambda: False, lambda row: None))
    before, began = memory_MiB(), time.process_time()
    learner = build(settings)
    model = learner.restore(blob)
    learner._kept(data)
    prepared = time.process_time() - began
    steps = -(-len(data.samples) // settings.batch)
    ends: list[float] = []

    def stop() -> bool:
        ends.append(time.process_time())
        return len(ends) > 2 * steps and ends[-1] - ends[0] > seconds

    learner.fit(model, data, Budget(10**9, 0, stop, lambda row: None))
    epochs = np.diff(ends[steps - 1 :: steps])
    return _figures(epochs, prepared, memory_MiB() - before)


def stored(settings: chebyshev_bpnn.Settings, data: TrainingSet, blob: bytes, seconds: float, merged: bool) -> dict[str, float]:
    """Figures of the trainer with stored Jacobians.  merged: one row for all images of a neighbour."""
    torch.set_num_threads(1)
    model = build(settings).restore(blob)
    trainer_of(settings, model, data.samples[:WARM_UP], merged).epoch()
    before, began = memory_MiB(), time.process_time()
    trainer = trainer_of(settings, model, data.samples, merged)
    prepared = time.process_time() - began
    trainer.epoch()
    epochs: list[float] = []
    while not epochs or sum(epochs) < seconds:
        began = time.process_time()
        trainer.epoch()
        epochs.append(time.process_time() - began)
    return _figures(np.array(epochs), prepared, memory_MiB() - before)


def _figures(epochs: Any, prepared: float, memory: float) -> dict[str, float]:
    return {"epoch_s": float(f"{np.median(epochs):.4g}"), "preparing_s": round(prepared, 2), "memory_MiB": round(memory, 1)}


def trainer_of(
    settings: chebyshev_bpnn.Settings, model: Model, samples: Sequence[Sample], merged: bool
) -> stored_jacobian.Trainer:
    batches = [
        batch_of(model.network, samples[begin : begin + settings.batch], merged)
        for begin in range(0, len(samples), settings.batch)
    ]
    layers = fresh_layers(model.network, torch.float32)
    return stored_jacobian.Trainer(layers, batches, alpha(settings), settings.learning_rate)


def batch_of(network: BpnnModel, samples: Sequence[Sample], merged: bool) -> stored_jacobian.Batch:
    """A minibatch with its stored derivatives."""
    descriptor, structures = network.descriptor, [sample.structure for sample in samples]
    features = [values(descriptor, s.positions[None], s.numbers, s.cell, s.pbc)[0] for s in structures]
    slopes = [stored_jacobian.derivatives(descriptor, structure, merged) for structure in structures]
    return stored_jacobian.batch(network, samples, features, slopes)


def alpha(settings: chebyshev_bpnn.Settings) -> float:
    """The forces' part of the loss, which must be alpha_mix, the only one that both trainers have."""
    assert isinstance(settings.loss, AlphaMix)
    return settings.loss.alpha


def fresh_layers(network: BpnnModel, dtype: torch.dtype) -> list[Layers]:
    """The networks as tensors."""
    return [[(torch.tensor(w, dtype=dtype), torch.tensor(b, dtype=dtype)) for w, b in species] for species in network.layers]


def apart(settings: chebyshev_bpnn.Settings, data: TrainingSet, blob: bytes, merged: bool) -> dict[str, float]:
    """How far the two trainers are apart for the first minibatch: loss and gradient, as shares of the largest value."""
    learner = build(settings)
    model, (library, members) = learner.restore(blob), learner._kept(data)
    chosen = members[: settings.batch]
    network, layers = model.network, fresh_layers(model.network, torch.float32)
    table = table_of(library, network, divided(library, data, False, None), "cpu")
    recipe = Recipe(settings.batch, settings.learning_rate, 1e-5, settings.loss, settings.activation, 0)
    flat = fit.flattened(stored_jacobian.parameters(layers))
    sums = differentiate(DirectStep(layers, flat, table, recipe), recipe.loss, chosen, 1.0)
    theirs = fresh_layers(network, torch.float32)
    weights = stored_jacobian.parameters(theirs)
    value = stored_jacobian.loss(theirs, batch_of(network, data.samples[: settings.batch], merged), alpha(settings))
    gradient = torch.cat([part.reshape(-1) for part in torch.autograd.grad(value, weights)])
    assert flat.grad is not None
    off = (gradient - flat.grad).abs().max() / flat.grad.abs().max()
    return {"loss": abs(float(value.detach()) / float(sums.loss) - 1), "gradient": float(off)}


def measured(case: Case, file: Path, quick: bool) -> dict[str, dict[str, float]]:
    """All figures of a case, with the ratios."""
    seconds = 1.0 if quick else 20.0
    data = alone(samples_of, file, case.quick_frames if quick else case.frames)
    settings, blob = case.settings, alone(first_model, case.settings, data)
    told = {"apart": alone(apart, settings, data, blob, False), "ours": alone(ours, settings, data, blob, seconds)}
    told["stored, each neighbour"] = alone(stored, settings, data, blob, seconds, False)
    told["stored, images merged"] = alone(stored, settings, data, blob, seconds, True)
    for name in list(told)[2:]:
        ratios = {f"{key}_ratio": round(told[name][key] / told["ours"][key], 1) for key in ("epoch_s", "memory_MiB")}
        told[name] |= ratios
    return told


def main() -> None:
    """Print the tables and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few structures, one second a contender")
    parser.add_argument("--data", type=Path, help="the folder above the two data sets")
    arguments = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, one core, float32, torch {torch.__version__}")
    told = {}
    for name, case in CASES.items():
        folder, file = case.file.split("/")
        parent = arguments.data / folder if arguments.data else None
        path = reference_data.folder(folder, parent) / file
        told[name] = measured(case, path, arguments.quick)
        print(f"{name}, {case.quick_frames if arguments.quick else case.frames} structures")
        for contender, figures in told[name].items():
            print(f"  {contender:24s}", ", ".join(f"{label} {value:.4g}" for label, value in figures.items()))
    print(json.dumps(told))


if __name__ == "__main__":
    main()
