"""`renkei.open(RUN)`."""

import subprocess
import sys

import numpy as np
import pytest

import renkei
from protocol.errors import BadSetting
from protocol.records import Label, Origin, Phase, Structure
from renkei import run_data


def test_ledger_as_a_table(sound_run):
    run = renkei.open(sound_run)
    table = run.ledger()
    assert run.simulators == ["sim0"]
    assert table["step"].tolist()[:4] == [1, 1, 2, 2]
    assert table["energy_virial_eV"].shape == table["accepted"].shape == (940,)
    assert table["engine_s"].sum() == pytest.approx(47.0)
    production = run.production()
    assert set(production["block"]) == {1}
    assert len(production["energy_virial_eV"]) == 800
    assert "sim0" in repr(run)


def test_trajectory_labels_and_weights(sound_run):
    run = renkei.open(str(sound_run))
    assert run.trajectory().positions.shape == (470, 2, 4, 3, 3)
    labels = list(run.labels())
    assert len(labels) == 16
    assert labels[0].get_potential_energy() == -100.0
    np.testing.assert_allclose(labels[0].get_forces(), 0.1 * labels[0].positions)
    assert labels[5].info["step"] == 30
    assert labels[5].info["phase"] == "adapt"
    assert [weights.generation for weights in run.weights()] == [0, 1, 2]
    assert run.weights()[2].card.species == (1, 8)


def test_stress_in_the_order_of_ase():
    stress = np.array([[1.0, 6.0, 5.0], [6.0, 2.0, 4.0], [5.0, 4.0, 3.0]])
    structure = Structure(np.zeros((1, 3)), np.array([1]), np.eye(3), np.ones(3, dtype=bool))
    label = Label(structure, 0.0, np.zeros((1, 3)), stress, 0, 2, "f")
    atoms = run_data.atoms_of(label, Origin("sim0", 0, 1, 0, 0, -1, True, Phase.ADAPT, 0))
    assert atoms.get_stress().tolist() == [1, 2, 3, 4, 5, 6]
    assert atoms.info["multiplicity"] == 2


def test_unknown_simulator_and_missing_run(sound_run, tmp_path):
    with pytest.raises(BadSetting, match=r"no simulator 'hot'.*sim0"):
        renkei.open(sound_run).ledger("hot")
    with pytest.raises(BadSetting, match="no simulator of this run has started"):
        renkei.open(tmp_path).ledger()
    with pytest.raises(BadSetting):
        renkei.open(tmp_path / "nowhere")


def test_before_production(make_run):
    run = renkei.open(make_run(blocks=()))
    assert run.production()["step"].size == 0


def test_importing_renkei_is_free():
    free = "import renkei, sys; assert not {'numpy', 'ase', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", f"{free}; renkei.open; assert 'torch' not in sys.modules"], check=True)
    with pytest.raises(AttributeError, match="nothing"):
        _ = renkei.nothing
