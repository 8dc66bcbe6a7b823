"""A small run folder with known statistics, written through the protocol as the daemons do."""

import io
import math
import shutil
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from protocol.records import Batch, Canary, Card, Label, Origin, Phase, Structure
from protocol.store import Store
from renkei.cli import main
from renkei.prepare import run_folder
from sim_daemon.lead import Orders, lead
from sim_daemon.world import World

ENERGY_eV, SPREAD_eV = -100.0, 0.05
WATER = np.array([[0.0, 0.0, 0.0], [0.757, 0.586, 0.0], [-0.757, 0.586, 0.0]])
NUMBERS = np.array([8, 1, 1])
RESOLVED = """\
science:
  system: {structure: water.xyz, charge: 0, multiplicity: 1}
  engine: {name: harmonic, method: well}
  sampler: {name: sl_pihmc, beads: 4, walkers: 2, ensemble: {name: nvt, temperature_K: 300.0}}
  seed: 7
machine: {}
"""


PROTON = """\
science:
  system: {structure: proton.xyz, multiplicity: 2}
  engine: {name: harmonic, k_eV_per_A2: 33.3693}
  sampler:
    {name: pihmc, ensemble: {temperature_K: 300}, beads: BEADS, walkers: 4, timestep_fs: 1.0, trajectory_fs: 8,
     startup: trajectories}
  phases: {adapt: {max_steps: 10}, production: {steps: STEPS, max_blocks: 1}}
  seed: 2
machine: {simulator: {ranks: 1}}
"""


@dataclass
class Recipe:
    """What the synthetic simulator does; 3 generations take over at steps 11, 31, 51, production starts at step 71."""

    adapt: int = 70
    blocks: tuple[int, ...] = (400,)
    complete: bool = True
    spread: float = 0.6  # of beta dH
    work_shift: float = 0.0  # breaks <exp(-beta dH)> = 1
    difference_eV: float = 0.0  # breaks primitive = virial
    block_shift_eV: float = 0.0  # of the energies of the first block
    engine_failures: tuple[int, ...] = ()  # steps
    stuck: tuple[int, int] = (0, 0)  # steps from, to: all rejected
    converged: bool = True
    trainer: bool = True
    generations: int = 3
    walkers: int = 2
    weight_spread: float | None = None  # of log_weight, which the rows then have
    ladder_K: tuple[float, ...] = ()  # temperatures of the walkers, which exchange rings then
    hot_work_shift: float = 0.0  # work_shift of the highest rung alone
    alphas: tuple[float, ...] = ()  # of the blocks, in the rows where they are named
    approximation: str = ""
    far_start_eV: float = 0.0  # of the first production steps, forgotten within about 20
    thawed: bool = False  # the last generation takes over in the middle of production
    seed: int = 1


class RunWriter:
    """Writes the two daemons' folders of one run."""

    def __init__(self, root, recipe):
        self.root, self.recipe = root, recipe
        self.store = Store(root, period_s=0.05)
        self.rng = np.random.default_rng(recipe.seed)
        self.energy = np.zeros(recipe.walkers)
        self.digests = {}
        self.replicas = list(range(recipe.walkers))

    def write(self):
        if self.recipe.trainer:
            self.train()
        self.simulate()
        return self.root

    def generation(self, step):
        if self.recipe.thawed:
            return 0 if step < 200 else 1
        return min((step - 11) // 20, self.recipe.generations - 1) if step > 10 else -1

    def train(self):
        epoch = self.store.claim("train")
        add = epoch.journal.append
        add({"event": "start", "epoch": epoch.number, "device": "cpu", "why": "no CUDA device", "unix": 1000.0})
        add({"event": "batch", "sender": "sim0", "epoch": 1, "number": 1, "labels": 4, "train": 3, "heldout": 1})
        for g in range(self.recipe.generations):
            packet = epoch.publish_weights(g, lambda folder, g=g: _weights(folder, g), {})
            self.digests[g] = packet.digest
            row = {"generation": g, "digest": packet.digest, "batches": [f"sim0/1/{k}" for k in range(1, g + 2)], "parents": []}
            row |= {"heldout_energy_rmse_meV_per_atom": 4.0 / (g + 1), "heldout_force_rmse_eV_per_A": 0.3 / (g + 1)}
            add({"event": "published", **row, "predicted_acceptance": 0.5 + 0.1 * g, "unix": 1010.0 + 40.0 * g})
        add({"event": "end", "reason": "STOP", "activities": {"training": 50.0, "waiting": 10.0, "other": 5.0}})
        epoch.save_checkpoint(
            {"cursor": {"batch": -1, "generation": self.recipe.generations - 1, "row": epoch.journal.rows_written}}
        )
        epoch.close("gone")

    def simulate(self):
        epoch = self.store.claim("sim/sim0")
        epoch.write_text("run.resolved.yaml", RESOLVED)
        add, recipe = epoch.journal.append, self.recipe
        versions = {"python": "3.11", "engine": "harmonic-0123"}
        add({"event": "start", "epoch": epoch.number, "ranks": 2, "host": "node", "versions": versions, "unix": 999.0})
        add({"event": "startup", "kind": "harmonic", "engine_calls": 40, "engine_failures": 1, "labels": 30, "seconds": 3.0})
        frames, batch = [], 0
        for step in range(1, recipe.adapt + 1):
            frames.append(self.step(add, step, "adapt", 0))
            if step in (10, 30, 50, 70):
                batch += 1
                epoch.publish_batch(batch, _batch(step), {"phase": "adapt", "generation": self.generation(step)})
                add({"event": "batch", "number": batch, "labels": 4})
        step = recipe.adapt
        for number, length in enumerate(recipe.blocks, start=1):
            met = {"acceptance": recipe.converged}
            add({"event": "freeze", "step": step + 1, "block": number, "reason": _reason(recipe), "criteria": {"met": met}})
            for _ in range(length):
                step += 1
                frames.append(self.step(add, step, "production", number))
            if recipe.complete or number < len(recipe.blocks):
                add({"event": "block_end", "block": number, "steps": length, "acceptance": 0.7})
        if frames:
            epoch.publish_trajectory(step, segment(frames))
        add({"event": "end", "reason": "production is complete", "activities": {"engine": 60.0, "surrogate": 30.0, "other": 1.5}})
        epoch.save_checkpoint({"cursor": {"batch": batch, "generation": -1, "row": epoch.journal.rows_written}})
        epoch.close("gone")

    def step(self, add, step, phase, block):
        swaps = {}
        if self.recipe.ladder_K:
            for lower in range(step % 2, self.recipe.walkers - 1, 2):
                taken = bool(self.rng.random() < 0.5)
                swaps[lower] = {"swap": {"partner": lower + 1, "accepted": taken, "log_ratio": -0.7}}
                pair = self.replicas[lower : lower + 2]
                self.replicas[lower : lower + 2] = pair[::-1] if taken else pair
        for walker in range(self.recipe.walkers):
            row = self.row(step, walker, phase, block) | swaps.get(walker, {})
            if self.recipe.ladder_K:
                row |= {"temperature_K": self.recipe.ladder_K[walker], "replica": self.replicas[walker]}
            add(row)
        displacements = 0.05 * self.rng.standard_normal((self.recipe.walkers, 4, 3, 3))
        return step, phase, block, WATER + displacements

    def row(self, step, walker, phase, block):
        recipe, rng = self.recipe, self.rng
        self.energy[walker] = 0.8 * self.energy[walker] + 0.6 * rng.standard_normal()
        energy = ENERGY_eV + SPREAD_eV * self.energy[walker] + recipe.block_shift_eV * (block == 1)
        if recipe.far_start_eV and block and step - recipe.adapt <= 100:
            energy += recipe.far_start_eV * math.exp(-(step - recipe.adapt) / 20)
        work = recipe.spread * rng.standard_normal() + 0.5 * recipe.spread**2 + recipe.work_shift
        hot = recipe.ladder_K and walker == recipe.walkers - 1
        work += recipe.hot_work_shift if hot else 0.0
        energy += 0.02 * (recipe.ladder_K[walker] - 300.0) if recipe.ladder_K else 0.0
        failed = step in recipe.engine_failures
        accepted = bool(math.log1p(-rng.random()) < -work) and not failed and not recipe.stuck[0] <= step < recipe.stuck[1]
        observables = {
            "energy_primitive_eV": energy + recipe.difference_eV + 0.1 * rng.standard_normal(),
            "energy_virial_eV": energy,
            "kinetic_energy_eV": 0.5 + 0.01 * rng.standard_normal(),
            "potential_energy_eV": energy - 0.5,
            "radius_of_gyration_H_A": 0.1 + 0.001 * rng.standard_normal(),
            "radius_of_gyration_O_A": 0.05 + 0.001 * rng.standard_normal(),
        }
        if recipe.weight_spread is not None:
            observables["log_weight"] = 300.0 + recipe.weight_spread * rng.standard_normal()
        generation = self.generation(step)
        more = {"approximation": recipe.approximation} if recipe.approximation and phase == "production" else {}
        if block and recipe.alphas:
            more["alpha"] = recipe.alphas[block - 1]
            observables["residual_eV"] = 0.02 * rng.standard_normal()
            observables["log_weight"] = -38.68172 * (1 - more["alpha"]) * observables["residual_eV"]
        return {
            "event": "step", "step": step, "walker": walker, "phase": phase, "block": block, "generation": generation,
            "digest": self.digests.get(generation, ""), "timestep_fs": 0.5, "md_steps": 60, "length_fs": 30.0,
            "accepted": accepted, "outcome": "rejected: engine_failure" if failed else "accepted" if accepted else "rejected",
            "log_ratio": None if failed else -work, "log_ratio_integrator": -0.1 * work, "log_ratio_model": -0.9 * work,
            "engine_calls": 4, "engine_failures": 2 * int(failed), "observables": observables,
            "seconds": {"engine": 0.1} if walker == 0 else {}, "unix": 1000.0 + 0.5 * step, **more,
        }  # fmt: skip


def _reason(recipe):
    return "converged" if recipe.converged else "adapt reached max_steps without convergence"


def segment(frames):
    """The bytes of a trajectory segment; frames: (step, phase, block, positions (W, P, N, 3))."""
    image = io.BytesIO()
    with h5py.File(image, "w") as file:
        atoms = file.create_group("particles/all")
        atoms["position/value"] = np.array([frame[3] for frame in frames])
        atoms["position/step"] = np.array([frame[0] for frame in frames])
        atoms["species"], atoms["box"], atoms.attrs["pbc"] = NUMBERS, np.zeros((3, 3)), np.zeros(3, dtype=bool)
        file["observables/phase"] = np.array([int(frame[1] == "production") for frame in frames])
        file["observables/block"] = np.array([frame[2] for frame in frames])
    return image.getvalue()


def _batch(step):
    structure = Structure(WATER, NUMBERS, np.zeros((3, 3)), np.zeros(3, dtype=bool))
    label = Label(structure, ENERGY_eV, 0.1 * WATER, None, 0, 1, "harmonic-0123")
    origins = [Origin("sim0", 0, step, 0, bead, -1, True, Phase.ADAPT, 0) for bead in range(4)]
    return Batch((label,) * 4, tuple(origins))


def _weights(folder, generation):
    (folder / "weights.h5").write_bytes(b"not a model")
    canary = Canary(WATER[None], NUMBERS, np.zeros((3, 3)), np.zeros(3, dtype=bool), np.zeros(1), np.zeros((1, 3, 3)))
    return Card("bpnn", generation, (1, 8), 6.0, 0, 1, "harmonic-0123", {}, {}, (), (), {}, canary)


@pytest.fixture(scope="session")
def make_run(tmp_path_factory):
    """Write a run: make_run(complete=False, ...) -> its folder; the fields of Recipe are the choices."""
    return lambda **choices: RunWriter(tmp_path_factory.mktemp("run"), Recipe(**choices)).write()


@pytest.fixture(scope="session")
def sound_run(make_run):
    """A run that nothing is wrong with; read only."""
    return make_run()


def _proton(folder, beads, steps):
    (folder / "one.yaml").write_text(PROTON.replace("BEADS", str(beads)).replace("STEPS", str(steps)))
    (folder / "proton.xyz").write_text("1\n\nH 0.01 0 0\n")
    root = run_folder(folder / "one.yaml", folder / "run", ())
    assert lead(World(), Orders(root)) == 0
    return root


@pytest.fixture(scope="session")
def proton_run(tmp_path_factory):
    """A real run, without a model, of a proton in a well of 33.3693 eV/A^2 (3000 1/cm): 300 K, 8 beads, 150 steps; read only."""
    return _proton(tmp_path_factory.mktemp("proton"), 8, 150)


@pytest.fixture(scope="session")
def classical_run(tmp_path_factory):
    """The same with one bead, 20 steps; read only."""
    return _proton(tmp_path_factory.mktemp("classical"), 1, 20)


@pytest.fixture
def trajectory_bytes():
    """The function that makes the bytes of a trajectory segment."""
    return segment


@pytest.fixture
def yaml_file(tmp_path):
    """One YAML of a water molecule with both sections, and its structure beside it."""
    folder = tmp_path / "inputs"
    folder.mkdir()
    header = 'Properties=species:S:1:pos:R:3 charge=0 pbc="F F F"'
    (folder / "water.xyz").write_text(f"3\n{header}\nO 0.0 0.0 0.0\nH 0.757 0.0 0.586\nH -0.757 0.0 0.586\n")
    (folder / "one.yaml").write_text(
        "# one molecule\n"
        "science:\n"
        "  system:\n"
        "    structure: water.xyz  # beside this file\n"
        "  engine: {name: tblite, method: GFN2-xTB}\n"
        "  sampler:\n"
        "    name: sl_pihmc\n"
        "    ensemble: {name: nvt, temperature_K: 300}\n"
        "    beads: 4  # few\n"
        "machine:\n"
        "  simulator: {ranks: 1}\n"
    )
    return folder / "one.yaml"


@pytest.fixture
def stand_ins(tmp_path, monkeypatch):
    """`python -m sim_daemon` and `python -m train_daemon` are stand-ins in the current folder."""
    shutil.copytree(Path(__file__).parent / "stand_ins", tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def renkei(capfd):
    """renkei WORDS -> (exit code, stdout, stderr)."""

    def call(*words):
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        captured = capfd.readouterr()
        return ended.value.code or 0, captured.out, captured.err

    return call


SPRING_A, STIFFNESS_eV_PER_A2 = 1.4, 4.0  # between all pairs of the toy molecules below
REFERENCES_eV = {1: -13.0, 8: -430.0}
SHAPES = {
    "OH2": np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]]),
    "O2": np.array([[0.0, 0.0, 0.0], [1.3, 0.0, 0.0]]),
}


def spring_label(positions, numbers):
    """Energy (eV) and forces of one toy molecule (N, 3) A."""
    energy, forces = sum(REFERENCES_eV[int(z)] for z in numbers), np.zeros_like(positions)
    for i in range(len(positions)):
        for j in range(i):
            vector = positions[j] - positions[i]
            distance = np.linalg.norm(vector)
            energy += 0.5 * STIFFNESS_eV_PER_A2 * (distance - SPRING_A) ** 2
            pull = STIFFNESS_eV_PER_A2 * (distance - SPRING_A) * vector / distance
            forces[i] += pull
            forces[j] -= pull
    return energy, forces


def toy_molecule(formula="OH2", seed=0, box=None, width=0.06):
    """ASE atoms with their label in the calculator; box: edge of a cubic cell (A), far larger than the molecule."""
    positions = SHAPES[formula] + width * np.random.default_rng(seed).standard_normal(SHAPES[formula].shape)
    atoms = Atoms(formula, positions) if box is None else Atoms(formula, positions, cell=[box] * 3, pbc=True)
    energy, forces = spring_label(atoms.positions, atoms.numbers)
    stress = {} if box is None else {"stress": np.arange(6) * 1e-4}
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces, **stress)
    return atoms


@pytest.fixture(scope="session")
def molecule():
    """molecule("O2", seed=1, box=12.0) -> a labelled toy as ASE atoms."""
    return toy_molecule


@pytest.fixture(scope="session")
def molecules():
    """molecules(count, seed) -> labelled toys of two sizes, in boxes and not, in turn."""
    kinds = [("OH2", None), ("O2", None), ("OH2", 12.0)]
    return lambda count, seed=0: [toy_molecule(kinds[k % 3][0], 1000 * seed + k, kinds[k % 3][1]) for k in range(count)]


@pytest.fixture
def xyz(tmp_path):
    """xyz(frames, name) -> the path of an extended xyz file."""

    def make(frames, name="data.extxyz"):
        write(tmp_path / name, frames, format="extxyz")
        return tmp_path / name

    return make


@pytest.fixture(scope="session")
def trained(tmp_path_factory, molecules):
    """The folder of a real, tiny training by the command, its data beside it as data.extxyz and test.extxyz; read only."""
    folder = tmp_path_factory.mktemp("trained")
    write(folder / "data.extxyz", molecules(120), format="extxyz")
    write(folder / "test.extxyz", molecules(30, seed=1), format="extxyz")
    words = ["train", folder / "data.extxyz", "--into", folder / "result", "--test", folder / "test.extxyz", "--steps", "600"]
    with pytest.raises(SystemExit) as ended:
        main([*map(str, words), "--quiet", "--set", "learner.hidden=[10]", "--set", "learner.angular.order=2"])
    assert not ended.value.code
    return folder / "result"
