"""A batch and a model for programs that have no fixtures."""

import numpy as np

from protocol.records import Batch, Canary, Card, Label, Origin, Phase, Structure


def a_batch(seed, simulator="sim0", labels=3, atoms=3):
    """Random labels."""
    rng = np.random.default_rng(seed)
    numbers = np.ones(atoms, int)
    made = tuple(
        Label(
            Structure(rng.normal(size=(atoms, 3)), numbers, np.eye(3), np.zeros(3, bool)),
            rng.normal(),
            rng.normal(size=(atoms, 3)),
            None,
            0,
            1,
            "gfn2",
        )
        for _ in range(labels)
    )
    return Batch(made, tuple(Origin(simulator, 0, seed, 1, bead, -1, bead == 0, Phase.ADAPT, 0) for bead in range(labels)))


def a_writer(generation, size=100):
    """What Epoch.publish_weights wants: a model of one file of so many bytes."""
    canary = Canary(np.full((1, 2, 3), 0.1), np.array([1, 8]), np.eye(3), np.zeros(3, bool), np.ones(1), np.ones((1, 2, 3)))

    def write(folder):
        (folder / "weights.h5").write_bytes(np.random.default_rng(generation).bytes(size))
        return Card("bpnn", generation, (1, 8), 6.0, 0, 1, "gfn2", {}, {}, (), (), {}, canary)

    return write
