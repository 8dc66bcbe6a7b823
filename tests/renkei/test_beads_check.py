"""P against 2P on a real run of a harmonic engine, by the engine and by a model."""

import numpy as np
import pytest

from kernels.potentials.harmonic import Harmonic
from protocol.errors import BadSetting
from protocol.store import Store
from renkei import beads_check, run_view, stored_states

STIFFNESS = 33.3693  # eV/A^2, of `proton_run`


def test_the_engine_says_what_eight_beads_lack(proton_run):
    store, [simulator] = Store(proton_run), run_view.read(proton_run).simulators
    found, said = beads_check.double(store, simulator, 600, by_engine=True)
    assert said == "the engine, harmonic"
    assert found.health.samples == 600
    kinetic = found.means["kinetic_energy_H_eV"]
    answer = 1.5 * (0.169620337 - 0.138288315)
    assert abs(kinetic.difference.mean - answer) < 4.5 * kinetic.difference.stderr
    assert kinetic.difference.mean > 5 * kinetic.difference.stderr
    fewer = beads_check.double(store, simulator, 100, by_engine=True)[0]
    assert fewer.health.samples == 100


def test_a_model_is_asked_where_one_drove_the_block(proton_run, monkeypatch):
    store, [simulator] = Store(proton_run), run_view.read(proton_run).simulators
    with pytest.raises(BadSetting, match="there is no model to ask"):
        beads_check.double(store, simulator, 100, by_engine=False)
    monkeypatch.setattr(stored_states.frozen_model, "load", lambda *_: Harmonic(STIFFNESS, np.zeros((1, 3))))
    simulator.ledger.generation[:] = 3
    monkeypatch.setattr(type(simulator), "events", lambda *_: [{"generation": 3, "digest": "d"}])
    found, said = beads_check.double(store, simulator, 600, by_engine=False)
    assert said == "generation 3"
    by_engine = beads_check.double(store, simulator, 600, by_engine=True)[0]
    assert found.means["energy_virial_eV"].difference.mean == pytest.approx(by_engine.means["energy_virial_eV"].difference.mean)


def test_the_command_says_it_in_one_sentence(proton_run, renkei, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    code, out, _ = renkei("beads", proton_run, "--engine")
    assert code == 13
    assert "8 beads do not suffice: the kinetic energy of H lacks" in out
    assert "so about 2" in out  # 20 or so
    code, out, _ = renkei("beads", proton_run, "--engine", "--tolerance", "0.6")
    assert (code, "8 beads suffice" in out) == (0, True)
    code, _, err = renkei("beads", proton_run)
    assert code == 2
    assert "add --engine" in err


def test_a_run_without_states(make_run, renkei):
    code, _, err = renkei("beads", make_run(blocks=()))
    assert code == 2
    assert "no stored states of production" in err
