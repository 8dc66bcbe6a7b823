"""Other masses on a real run of a harmonic engine, by the engine and by a model."""

import json

import numpy as np
import pytest

from kernels.potentials.harmonic import Harmonic
from kernels.units import AMU_EV_FS2_PER_A2, HBAR_EV_FS, KB_EV_PER_K
from protocol.errors import BadSetting
from protocol.store import Store
from renkei import isotope_change, run_view, stored_states

STIFFNESS, THERMAL = 33.3693, 300.0 * KB_EV_PER_K  # eV/A^2, eV; of `proton_run`
H, D = 1.008, 2.01410177812  # amu


def free_energy(mass, beads=8):
    """F_P of the proton's well, eV: 3 kT ln[2 sinh(P eta / 2)]."""
    omega = np.sqrt(STIFFNESS / (mass * AMU_EV_FS2_PER_A2))
    return 3 * THERMAL * np.log(2 * np.sinh(beads * np.arcsinh(omega * HBAR_EV_FS / (2 * beads * THERMAL))))


@pytest.fixture
def simulator(proton_run):
    [found] = run_view.read(proton_run).simulators
    return found


@pytest.mark.parametrize(("wanted", "mass"), [("H=D", D), ("1=1.5", 1.5), ("H=0.7", 0.7)])
def test_free_energy_by_the_engine(proton_run, simulator, wanted, mass):
    found = isotope_change.substitute(Store(proton_run), simulator, [wanted], 600, by_engine=True)
    assert (found.said, found.beads, found.change.health.samples) == ("the engine, harmonic", 8, 600)
    assert found.substitutions == (("H", 1, H, mass),)
    total, excess = found.change.total, found.change.excess
    want = free_energy(mass) - free_energy(H)
    assert abs(total.mean - want) < 4.5 * total.stderr
    assert abs(want) > 10 * total.stderr > 0
    classical = -1.5 * THERMAL * np.log(mass / H)
    assert found.change.classical_eV == pytest.approx(classical)
    assert excess.mean == pytest.approx(total.mean - classical)
    assert found.change.log_ratio.mean == pytest.approx(-excess.mean / THERMAL)
    assert found.change.refusal == ""


def test_the_ledger_saves_half_of_the_calls(proton_run, simulator, monkeypatch):
    calls = []
    word = stored_states.Labelling.evaluate
    monkeypatch.setattr(stored_states.Labelling, "evaluate", lambda self, x, *rest: calls.append(len(x)) or word(self, x, *rest))
    found = isotope_change.substitute(Store(proton_run), simulator, ["H=D"], 100, by_engine=True)
    assert sum(calls) == 8 * (100 + 1)
    simulator.ledger.approximation[:] = "contracted"  # the ledger's energies are not the engine's then
    asked = isotope_change.substitute(Store(proton_run), simulator, ["H=D"], 100, by_engine=True)
    assert sum(calls) == 8 * (100 + 1 + 200)
    assert asked.change.total.mean == pytest.approx(found.change.total.mean, abs=1e-12)


def test_an_engine_that_has_changed(proton_run, simulator):
    simulator.ledger.observables["potential_energy_eV"][:] += 0.01
    with pytest.raises(BadSetting, match="use the engine's version and settings of the run"):
        isotope_change.substitute(Store(proton_run), simulator, ["H=D"], 100, by_engine=True)


def test_a_model_is_asked_where_one_drove_the_block(proton_run, simulator, monkeypatch):
    store = Store(proton_run)
    by_engine = isotope_change.substitute(store, simulator, ["H=D"], 600, by_engine=True)
    with pytest.raises(BadSetting, match="there is no model to ask"):
        isotope_change.substitute(store, simulator, ["H=D"], 600)
    monkeypatch.setattr(stored_states.frozen_model, "load", lambda *_: Harmonic(STIFFNESS, np.zeros((1, 3))))
    simulator.ledger.generation[:] = 3
    monkeypatch.setattr(type(simulator), "events", lambda *_: [{"generation": 3, "digest": "d"}])
    found = isotope_change.substitute(store, simulator, ["H=D"], 600)
    assert found.said == "generation 3"
    assert found.change.total.mean == pytest.approx(by_engine.change.total.mean)


def test_weights_of_the_states_count(proton_run, simulator):
    """Rings of a well, weighted towards a stiffer one, which the engine then does not know."""
    rows, store = simulator.ledger, Store(proton_run)
    stiffer = 1.3
    rows.observables["log_weight"] = -(stiffer - 1) * rows.observables["potential_energy_eV"] / THERMAL
    weighted = stored_states.chosen(store, simulator, 600)
    assert weighted.log_weights.shape == weighted.states.positions.shape[:2] == (150, 4)
    found = isotope_change.substitute(store, simulator, ["H=1.1"], 600, by_engine=True).change
    del rows.observables["log_weight"]
    plain = isotope_change.substitute(store, simulator, ["H=1.1"], 600, by_engine=True).change
    assert found.health.kish < 0.8 * plain.health.kish
    # stiffer, the rings are tighter, and a heavier mass gains less by tightening them
    assert found.excess.mean > plain.excess.mean + 5 * plain.excess.stderr
    rows.observables["log_weight"] = np.where(np.arange(len(rows)) % 7, 0.0, np.nan)
    with pytest.raises(BadSetting, match="have no weight, the others have one"):
        stored_states.chosen(store, simulator, 600)


def test_no_energy_of_the_stored_rings(proton_run, simulator, monkeypatch):
    nowhere = Harmonic(np.inf, np.zeros((1, 3)))
    monkeypatch.setattr(stored_states.frozen_model, "load", lambda *_: nowhere)
    simulator.ledger.generation[:] = 3
    monkeypatch.setattr(type(simulator), "events", lambda *_: [{"generation": 3, "digest": "d"}])
    with pytest.raises(BadSetting, match="generation 3 has no energy for 600 stored and 600 scaled rings of 600"):
        isotope_change.substitute(Store(proton_run), simulator, ["H=D"], 600)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (["Hx=2"], "--to Hx=2: there is no element Hx in the structure; the structure has H, O; write e.g. --to H=D"),
        (["Cl=35"], "--to Cl=35: there is no element Cl in the structure"),
        (["H"], "--to H: must be ELEMENT=MASS; write e.g. --to H=D"),
        (["H="], "must be ELEMENT=MASS"),
        (["O=D"], "--to O=D: must be a mass in amu, or D or T for hydrogen, got 'D'"),
        (["O=0"], "must be a mass between 0.05 and 400 amu, got 0"),
        (["O=nan"], "must be a mass between 0.05 and 400 amu"),
        (["H=1.008"], "H has the mass 1.008 amu in this run already; name another mass"),
        (["H=D", "1=T"], "--to 1=T: H is named twice"),
        ([], "say which element gets which mass"),
    ],
)
def test_what_is_no_other_isotope(wanted, said):
    with pytest.raises(BadSetting) as raised:
        isotope_change.masses_with(np.array([1, 8, 1]), np.array([1.008, 15.999, 1.008]), wanted, "runs/water")
    assert str(raised.value).startswith("runs/water: ")
    assert said in str(raised.value)


def test_several_elements_at_once():
    others, found = isotope_change.masses_with(np.array([1, 8, 1]), np.array([D, 15.999, D]), ["H=1.008", "O = 17.999"], "")
    np.testing.assert_array_equal(others, [1.008, 17.999, 1.008])
    assert found == (("H", 2, D, 1.008), ("O", 1, 15.999, 17.999))


def test_the_command(proton_run, renkei, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    code, out, _ = renkei("isotopes", proton_run, "--to", "H=D", "--engine", "--rings", "600")
    assert code == 0
    assert "1 H from 1.008 to 2.0141 amu at 300 K" in out
    assert "600 stored rings of 8 beads, asked: the engine, harmonic" in out
    assert "F(m') − F(m)" in out
    assert "ln of the reduced partition function ratio" in out
    code, out, _ = renkei("isotopes", proton_run, "--to", "H=D", "--engine", "--rings", "600", "--json")
    told = json.loads(out)
    assert (code, told["refusal"], told["to"]["H"]["other_amu"]) == (0, "", D)
    total, excess = told["total_eV"], told["quantum_minus_classical_eV"]
    assert abs(total["mean"] - free_energy(D) + free_energy(H)) < 4.5 * total["stderr"]
    assert total["mean"] == pytest.approx(told["classical_eV"] + excess["mean"])


def test_the_command_refuses(proton_run, renkei, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    code, out, _ = renkei("isotopes", proton_run, "--to", "H=0.06", "--engine")
    assert code == 13
    assert out.count("not quoted") == 3
    assert "the states at hand say too little about the other masses (n_eff of the weights is" in out
    assert "take a smaller step in mass, or sample at the other mass" in " ".join(out.split())
    code, out, _ = renkei("isotopes", proton_run, "--to", "H=0.06", "--engine", "--json")
    assert (code, "n_eff" in json.loads(out)["refusal"]) == (13, True)
    code, _, err = renkei("isotopes", proton_run, "--to", "O=18", "--engine")
    assert code == 2
    assert "there is no element O in the structure" in err
    code, _, err = renkei("isotopes", proton_run, "--to", "H=D")
    assert code == 2
    assert "add --engine" in err


def test_one_bead_is_classical(classical_run, renkei, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    code, out, _ = renkei("isotopes", classical_run, "--to", "H=D")  # nobody has to be asked
    assert code == 0
    assert "one bead: the nuclei are classical" in out
    assert "quantum minus classical is 0, both exactly" in out
    code, out, _ = renkei("isotopes", classical_run, "--to", "H=D", "--json")
    told = json.loads(out)
    assert told["quantum_minus_classical_eV"]["mean"] == told["quantum_minus_classical_eV"]["stderr"] == 0
    assert told["total_eV"]["mean"] == pytest.approx(-1.5 * THERMAL * np.log(D / H))
    assert (code, told["refusal"]) == (0, "")


def test_a_run_without_states(make_run, renkei):
    code, _, err = renkei("isotopes", make_run(blocks=()), "--to", "H=D")
    assert code == 2
    assert "no stored states of production" in err
