"""Every shipped configuration is complete: it resolves, its structure is sound, and `init` takes it."""

from pathlib import Path

import pytest

from protocol.settings import load, resolved
from renkei import prepare
from renkei.plugins import PLUGINS
from sim_daemon.system import read_system

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
ATOMS = {
    "water-tetramer": 12,
    "quartz": 9,
    "zundel": 7,
    "water-dft": 3,
    "silicon-qe": 2,
    "toy": 4,
    "argon-npt": 32,
    "zundel-pimd": 7,
    "silver-palladium": 13,
}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_shipped_configuration_resolves_and_its_structure_is_sound(path):
    config = load(path, PLUGINS)
    system = read_system(config)
    assert len(system.numbers) == ATOMS[path.stem]
    assert resolved(config)
    assert config.science.sampler.startup in ("harmonic", "trajectories")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_run_folder_understands_the_same(path, tmp_path):
    run = prepare.run_folder(path, tmp_path / "run", [])
    here, there = load(path, PLUGINS), load(run, PLUGINS)
    assert there.science.model_copy(update={"system": None}) == here.science.model_copy(update={"system": None})
    assert there.machine == here.machine


def test_known_ensembles():
    folder = CONFIGS[0].parent
    demo, quartz, zundel = (load(folder / f"{name}.yaml", PLUGINS).science for name in ("water-tetramer", "quartz", "zundel"))
    assert (demo.sampler.beads, demo.sampler.ensemble.temperature_K, demo.engine.method) == (16, 300, "GFN2-xTB")
    assert (quartz.sampler.beads, quartz.sampler.startup, quartz.engine.method) == (8, "harmonic", "GFN1-xTB")
    assert (zundel.system.charge, zundel.system.restraint is not None) == (1, True)


def test_every_structure_is_used_and_named():
    folder = CONFIGS[0].parent / "structures"
    used = {load(path, PLUGINS).structure_path.name for path in CONFIGS}
    assert used == {path.name for path in folder.glob("*.xyz")}
    readme = (folder / "README.md").read_text("utf-8")
    assert all(name in readme for name in used)


def test_job_scripts_name_both_daemons():
    scripts = {path.name: path.read_text() for path in (CONFIGS[0].parents[1] / "jobscripts").iterdir()}
    assert sorted(scripts) == ["pbs_sim.sh", "pbs_train.sh", "slurm_sim.sh", "slurm_train.sh"]
    for name, text in scripts.items():
        assert f"python -m {'sim' if '_sim' in name else 'train'}_daemon " in text
        assert text.startswith("#!/bin/bash\n")
