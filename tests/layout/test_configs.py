"""Every shipped configuration is complete: it resolves, its structure is sound, and `init` takes it."""

from pathlib import Path

import pytest

from protocol.settings import load, plugin_names, resolved
from renkei import prepare, templates
from renkei.plugins import PLUGINS
from sim_daemon.system import read_system

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
ATOMS = {
    "water-tetramer": 12,
    "quartz": 9,
    "zundel": 7,
    "zundel-segments": 7,
    "zundel-delayed": 7,
    "zundel-two-level": 7,
    "zundel-mix": 7,
    "water-dft": 3,
    "silicon-qe": 2,
    "toy": 4,
    "argon-npt": 32,
    "zundel-pimd": 7,
    "zundel-ladder": 7,
    "heavy-water": 3,
    "water-pihmc": 3,
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


@pytest.mark.parametrize("name", templates.machine_names())
def test_a_machine_profile_resolves_and_names_itself(name, tmp_path):
    run = prepare.run_folder(CONFIGS[-1], tmp_path / "run", [])
    text = templates.machine(name).read_text("utf-8")
    (run / "machine.yaml").write_text(text)
    assert load(run, PLUGINS).machine.scheduler.simulator.queue
    assert f"--machine {name}\n" in text


def test_every_sampler_has_a_configuration():
    shown = {load(path, PLUGINS).science.sampler.name for path in CONFIGS}
    assert shown == set(plugin_names(PLUGINS["sampler"]))


def test_heavy_water_is_heavy():
    config = load(CONFIGS[0].parent / "heavy-water.yaml", PLUGINS)
    assert read_system(config).masses_amu.tolist() == pytest.approx([15.999, 2.01410178, 2.01410178], abs=1e-3)


def test_every_structure_is_used_and_named():
    folder = CONFIGS[0].parent / "structures"
    used = {load(path, PLUGINS).structure_path.name for path in CONFIGS}
    assert used == {path.name for path in folder.glob("*.xyz")}
    readme = (folder / "README.md").read_text("utf-8")
    assert all(name in readme for name in used)
