"""Molecular dynamics on one GPU: python -m benchmarks.gpu_md.

100 steps of 1 fs of the alloy of 21,600 atoms of benchmarks/kernel.py, at 300 K, with random weights that make small forces;
places and cut-offs in float64, sums in float32. The forces are compared with those of the CPU. Prints a table and, as the last
line, one JSON object; where there is no GPU, one sentence. A time includes the lists of neighbours that were made on the way.
"""

from __future__ import annotations

import itertools
import json
import time
from importlib.util import find_spec

import numpy as np

from benchmarks.kernel import Case, alloy
from kernels.arrays import Array
from kernels.potentials.bpnn import Bpnn, BpnnModel
from kernels.units import AMU_EV_FS2_PER_A2, KB_EV_PER_K

STEPS, TIMESTEP_FS, TEMPERATURE_K = 100, 1.0, 300.0
MASSES_AMU = {3: 6.94, 32: 72.63, 15: 30.974, 16: 32.06}


def reason_against() -> str:
    """Why this cannot run here; nothing if it can."""
    for name in ("torch", "triton"):
        if find_spec(name) is None:
            return f"not timed: {name} is not installed"
    import torch

    return "" if torch.cuda.is_available() else f"not timed: torch {torch.__version__} sees no GPU"


def potential(case: Case) -> BpnnModel:
    """Random weights; features divided by what they may sum to, so that an atom's forces are about 0.1 eV/A."""
    rng, species = np.random.default_rng(1), len(case.descriptor.species)
    sizes = [case.descriptor.length, *case.hidden, 1]
    layers = tuple(
        tuple((rng.normal(size=(out, into)) / np.sqrt(into), np.zeros(out)) for into, out in itertools.pairwise(sizes))
        for _ in range(species)
    )
    zeros = np.zeros((species, case.descriptor.length))
    return BpnnModel(case.descriptor, layers, "tanh", zeros, zeros + 0.02, np.zeros(species), 0.1)


def velocities(case: Case, masses: Array) -> Array:
    """Of a classical gas, (1, N, 3) A/fs."""
    width = np.sqrt(KB_EV_PER_K * TEMPERATURE_K / (masses * AMU_EV_FS2_PER_A2))
    return np.random.default_rng(5).normal(size=case.positions.shape) * width[:, None]


def timed(case: Case, model: BpnnModel, graph: bool) -> dict[str, float]:
    """Milliseconds of a step, and what the energy did."""
    import torch

    from kernels.device_md import DeviceBpnn, Dynamics

    masses = np.array([MASSES_AMU[int(number)] for number in case.numbers])
    on_device = DeviceBpnn(model, case.numbers, case.cell, case.pbc, "cuda")
    run = Dynamics(on_device, case.positions, velocities(case, masses), masses, TIMESTEP_FS, graph)
    run.run(2)  # compiles
    before = float(run.total_eV())
    torch.cuda.synchronize()
    began = time.perf_counter()
    run.run(STEPS)
    torch.cuda.synchronize()
    ms = 1e3 * (time.perf_counter() - began) / STEPS
    drift = 1e3 * abs(float(run.total_eV()) - before) / len(case.numbers)
    return {"ms_per_step": round(ms, 3), "us_per_atom": round(1e3 * ms / len(case.numbers), 4), "drift_meV_per_atom": drift}


def force_error(case: Case, model: BpnnModel) -> float:
    """Largest difference of a force from that of the CPU in float64, as a part of the largest force."""
    import torch

    from kernels.device_md import DeviceBpnn

    on_device = DeviceBpnn(model, case.numbers, case.cell, case.pbc, "cuda")
    places = torch.tensor(case.positions, dtype=torch.float64, device="cuda")
    on_device.renew(places)
    want = Bpnn(model, 0).evaluate(case.positions, case.numbers, case.cell, case.pbc).forces
    return float(np.abs(on_device.evaluate(places)[1].cpu().numpy() - want).max() / np.abs(want).max())


def main() -> None:
    """Print the table and the JSON line."""
    reason = reason_against()
    if reason:
        print(reason)
        return
    import torch

    case = alloy("21,600 atoms", (30, 30, 24), 2.62)
    model = potential(case)
    told = {"step by step": timed(case, model, False), "as a CUDA graph": timed(case, model, True)}
    error = force_error(case, model)
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}; forces off by {error:.1e} of the largest")
    for name, row in told.items():
        print(f"{case.name}, {STEPS} steps {name:18s}", ", ".join(f"{key} {value:.4g}" for key, value in row.items()))
    print(json.dumps({"device": torch.cuda.get_device_name(), "force_error": error, **told}))


if __name__ == "__main__":
    main()
