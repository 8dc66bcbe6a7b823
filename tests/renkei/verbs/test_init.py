"""init writes a commented run folder that `check` understands."""

import pytest
from ase.build import bulk, molecule

from protocol.settings import load
from renkei.plugins import PLUGINS
from sim_daemon.system import read_system


@pytest.fixture
def structure(tmp_path):
    """File of two water molecules."""
    pair = molecule("H2O")
    other = molecule("H2O")
    other.translate([0, 0, 3])
    (pair + other).write(tmp_path / "pair.xyz")
    return tmp_path / "pair.xyz"


def test_from_a_structure_and_an_engine(renkei, structure, tmp_path):
    run = tmp_path / "run"
    code, out, err = renkei("init", run, "--structure", structure, "--engine", "tblite", "--set", "seed=4")
    assert (code, err) == (0, "")
    assert "H4O2: cluster of molecules, charge +0, multiplicity 1, start-up: trajectories" in out
    config = load(run, PLUGINS)
    system = read_system(config)
    assert system.restraint is not None
    assert (config.science.seed, config.science.engine.method, config.science.sampler.beads) == (4, "GFN2-xTB", 16)
    assert "# beads of one ring are near-copies" in (run / "run.yaml").read_text()
    assert (run / "pair.xyz").is_file()


def test_a_crystal_starts_from_its_harmonic_modes(renkei, tmp_path):
    bulk("Si").write(tmp_path / "si.cif")
    assert renkei("init", tmp_path / "run", "--structure", tmp_path / "si.cif", "--temperature-K", 600)[0] == 0
    science = load(tmp_path / "run", PLUGINS).science
    assert (science.sampler.startup, science.engine.method, science.sampler.beads) == ("harmonic", "GFN1-xTB", 4)
    assert science.sampler.ensemble.temperature_K == 600
    assert science.system.restraint is None


def test_a_sampler_of_local_moves_has_no_keys_of_trajectories(renkei, structure, tmp_path):
    words = ["--structure", structure, "--set", "sampler.name=metropolis", "--set", "sampler.beads=1"]
    assert renkei("init", tmp_path / "run", *words)[0] == 0
    sampler = load(tmp_path / "run", PLUGINS).science.sampler
    assert (sampler.name, sampler.beads, sampler.startup) == ("metropolis", 1, "trajectories")


def test_the_next_command_fits_the_machine(renkei, structure, tmp_path):
    assert "renkei run" in renkei("init", tmp_path / "here", "--structure", structure)[1]
    assert "renkei submit" in renkei("init", tmp_path / "there", "--structure", structure, "--machine", "slurm")[1]


def test_charge_and_multiplicity_are_written(renkei, structure, tmp_path):
    assert renkei("init", tmp_path / "run", "--structure", structure, "--charge", 1)[0] == 0
    system = load(tmp_path / "run", PLUGINS).science.system
    assert (system.charge, system.multiplicity) == (1, 2)


def test_from_a_shipped_configuration(renkei, tmp_path):
    assert renkei("init", tmp_path / "run", "--config", "quartz", "--set", "seed=9")[0] == 0
    config = load(tmp_path / "run", PLUGINS)
    assert (config.science.seed, config.structure_path) == (9, tmp_path / "run" / "quartz.xyz")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--engine", "tblit", "--structure", "pair.xyz"], "--engine: there is no engine called 'tblit'; did you mean tblite?"),
        (["--engine", "espresso", "--structure", "pair.xyz"], "engine.pseudopotentials: is missing"),
        (["--structure", "pair.xyz", "--multiplicity", "2"], "20 electrons (charge +0) cannot have multiplicity 2"),
        (["--structure", "pair.xyz", "--set", "sampler.beads=0"], "sampler.beads: must be >= 1, got 0"),
        (["--structure", "nowhere.xyz"], "--structure nowhere.xyz: there is no such file"),
        (["--config", "quarz"], "did you mean quartz?"),
        ([], "wants --structure FILE or --config NAME"),
    ],
)
def test_one_sentence_and_nothing_written(renkei, structure, tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    code, _, err = renkei("init", tmp_path / "run", *words)
    assert code == 2
    assert sentence in err
    assert not (tmp_path / "run").exists()


def test_a_run_folder_is_never_overwritten(renkei, tmp_path):
    renkei("init", tmp_path / "run", "--config", "toy")
    before = (tmp_path / "run" / "run.yaml").read_text()
    code, _, err = renkei("init", tmp_path / "run", "--config", "quartz")
    assert code == 2
    assert "holds a run already" in err
    assert (tmp_path / "run" / "run.yaml").read_text() == before
