"""Structures and the system section: known masses and molecules, and one sentence for each bad input."""

from pathlib import Path

import numpy as np
import pytest

from protocol import settings
from protocol.errors import BadSetting
from sim_daemon.system import read_system

WATER = "3\n{}\nO 0 0 0\nH 0.757 0 0.586\nH -0.757 0 0.586\n"
PAIR = "6\n{}\nO 0 0 0\nH 0.757 0 0.586\nH -0.757 0 0.586\nO 0 0 3\nH 0.757 0 3.586\nH -0.757 0 3.586\n"
FREE = 'Properties=species:S:1:pos:R:3 pbc="F F F"'
BOX = 'Lattice="{0} 0 0 0 {0} 0 0 0 {0}" Properties=species:S:1:pos:R:3 pbc="T T T"'


@pytest.fixture
def system(tmp_path):
    """read_system of a structure's text and the keys of `system`."""

    def make(text, **keys):
        (tmp_path / "x.xyz").write_text(text)
        lines = "".join(f"  {key}: {value}\n" for key, value in keys.items())
        (tmp_path / "run.yaml").write_text(f"system:\n  structure: x.xyz\n{lines}engine: {{name: e}}\nsampler: {{name: s}}\n")
        return read_system(settings.load(Path(tmp_path), {}))

    return make


def test_water_molecule(system):
    water = system(WATER.format(FREE))
    assert water.numbers.tolist() == [8, 1, 1]
    assert water.masses_amu == pytest.approx([15.999, 1.008, 1.008], abs=1e-3)
    assert (water.charge, water.multiplicity, water.restraint, water.several_molecules) == (0, 1, None, False)
    assert water.structure.positions.shape == (3, 3)
    assert not water.structure.cell.any()
    assert not water.structure.pbc.any()


@pytest.mark.parametrize(
    ("isotopes", "hydrogen"), [("{H: D}", 2.0141), ("{1: 2.014}", 2.014), ("{H: T}", 3.01605), ("{H: 0.113}", 0.113)]
)
def test_isotopes_are_by_element(system, isotopes, hydrogen):
    assert system(WATER.format(FREE), isotopes=isotopes).masses_amu == pytest.approx([15.999, hydrogen, hydrogen], abs=1e-3)


def test_several_molecules_with_a_restraint(system):
    pair = system(PAIR.format(FREE), restraint="{radius_A: 4.0, k_eV_per_A2: 1.0}")
    assert pair.several_molecules
    assert pair.restraint.radius_A == 4.0


def test_periodic_molecules_need_no_restraint(system):
    box = system(PAIR.format(BOX.format(8.0)))
    assert box.several_molecules
    assert np.array_equal(box.structure.cell, 8.0 * np.eye(3))


def test_cell_is_zero_where_not_periodic(system):
    slab = BOX.format(8.0).replace("T T T", "T T F")
    assert system(WATER.format(slab)).structure.cell.tolist() == [[8, 0, 0], [0, 8, 0], [0, 0, 0]]


@pytest.mark.parametrize("keys", [{}, {"multiplicity": 2}, {"charge": 1, "multiplicity": 1}])
def test_a_metal_may_have_any_number_of_electrons(system, keys):
    aluminium = '1\nLattice="0 2.02 2.02 2.02 0 2.02 2.02 2.02 0" Properties=species:S:1:pos:R:3 pbc="{}"\nAl 0 0 0\n'
    assert system(aluminium.format("T T T"), **keys).multiplicity == keys.get("multiplicity", 1)
    if not keys:
        with pytest.raises(BadSetting, match=r"13 electrons \(charge \+0\) cannot have multiplicity 1"):
            system(aluminium.format("T T F"))


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [({"charge": 13}, r"charge \+13 leaves 0 electrons"), ({"multiplicity": 30}, "cannot have multiplicity 30")],
)
def test_a_crystal_keeps_the_sanity_of_charge_and_multiplicity(system, keys, sentence):
    with pytest.raises(BadSetting, match=sentence):
        system("1\n" + BOX.format(3.0) + "\nAl 0 0 0\n", **keys)


@pytest.mark.parametrize("charge", ["charge=1", "total_charge=1", "charge=1.0"])
def test_charge_of_the_file_must_agree(system, charge):
    ion = "4\n" + FREE + f" {charge}\nO 0 0 0.1\nH 0.95 0 0\nH -0.475 0.823 0\nH -0.475 -0.823 0\n"
    assert system(ion, charge=1).charge == 1
    with pytest.raises(BadSetting, match=r"x\.xyz: system\.charge is 0, but the structure's file says 1; make them agree"):
        system(ion)


@pytest.mark.parametrize(
    ("text", "keys", "sentence"),
    [
        (WATER.format(FREE), {"charge": 1}, r"9 electrons \(charge \+1\) cannot have multiplicity 1; possible: 2"),
        (WATER.format(FREE), {"multiplicity": 2}, r"10 electrons \(charge \+0\) cannot have multiplicity 2; possible: 1, 3"),
        (WATER.format(FREE), {"charge": 10}, r"charge \+10 leaves 0 electrons"),
        (WATER.format(FREE), {"isotopes": "{C: 13.0}"}, "no element C in the structure"),
        (
            WATER.format(FREE),
            {"isotopes": "{O: D}"},
            r"system\.isotopes\.O: must be a mass in amu, or D or T for hydrogen, got 'D'",
        ),
        (WATER.format(FREE), {"isotopes": "{H: -1}"}, "must be a mass between"),
        (WATER.format(FREE).replace("O 0", "Qq 0"), {}, "Qq"),
        (WATER.format(FREE).replace("O 0", "X 0"), {}, "atom 1 is of an unknown element"),
        (WATER.format(FREE).replace("O 0 0", "O nan 0"), {}, "atom 1 has a position that is not a number"),
        (WATER.format(FREE).replace("H 0.757 0 0.586", "H 0.1 0 0"), {}, r"atoms 1 \(O\) and 2 \(H\) overlap: 0\.100 A"),
        (WATER.format(BOX.format(0.0)), {}, "periodic along a, but cell vector a is zero"),
        (WATER.format(BOX.format("nan")), {}, "not finite"),
        (WATER.format('Lattice="8 0 0 16 0 0 0 0 8" Properties=species:S:1:pos:R:3 pbc="T T T"'), {}, "no volume"),
        ("1\n" + BOX.format(0.2) + "\nHe 0 0 0\n", {}, "overlaps its own periodic image: 0.200 A"),
        (PAIR.format(FREE), {}, r"system\.restraint: is missing: 2 molecules without periodicity"),
        (PAIR.format(FREE), {"restraint": "{radius_A: 1.5, k_eV_per_A2: 1}"}, r"reaches 1\.89 A, got 1\.5"),
        (PAIR.format(BOX.format(8.0)), {"restraint": "{radius_A: 5, k_eV_per_A2: 1}"}, "the structure is periodic"),
        ("0\n\n", {}, "no atoms"),
        ("3\n\nO 0 0 0\n", {}, "ASE cannot read it"),
        ("", {}, "x.xyz: "),
    ],
)
def test_one_sentence_for_a_bad_input(system, text, keys, sentence):
    with pytest.raises(BadSetting, match=sentence) as caught:
        system(text, **keys)
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(BadSetting, match=r"nowhere\.xyz: system\.structure: no such file"):
        _of(tmp_path, "nowhere.xyz")


def _of(folder, structure):
    (folder / "run.yaml").write_text(f"system: {{structure: {structure}}}\nengine: {{name: e}}\nsampler: {{name: s}}\n")
    return read_system(settings.load(folder, {}))
