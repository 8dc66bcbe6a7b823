"""Labelled data as they come: keys, gzip, batches, runs; and one sentence with file and frame for what cannot be used."""

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from protocol.errors import BadSetting, Torn
from renkei.labels import frames as labelled


def renamed(atoms, energy="REF_energy", forces="REF_forces"):
    """The label under other names, without a calculator."""
    plain = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    plain.info[energy] = atoms.get_potential_energy()
    plain.new_array(forces, atoms.get_forces())
    return plain


def refusal(path):
    with pytest.raises(BadSetting) as error:
        labelled.read([path])
    return str(error.value)


def test_numbers_arrive_unchanged_with_cell_and_stress(xyz, molecules):
    frames = molecules(3)
    found = labelled.read([xyz(frames)])
    assert [frame.source.rpartition(": ")[2] for frame in found] == ["frame 1", "frame 2", "frame 3"]
    for frame, atoms in zip(found, frames, strict=True):
        assert frame.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-8)
        np.testing.assert_allclose(frame.forces, atoms.get_forces(), atol=1e-7)
        np.testing.assert_array_equal(frame.structure.pbc, atoms.pbc)
        assert frame.charge == 0
    assert found[0].stress is None
    np.testing.assert_allclose(found[2].stress, frames[2].get_stress(voigt=False), atol=1e-9)
    assert np.all(found[1].structure.cell == 0)


@pytest.mark.parametrize(
    ("energy", "forces"),
    [("REF_energy", "REF_forces"), ("dft_energy", "dft_force"), ("TotEnergy", "F_Forces"), ("Energy", "force")],
)
def test_names_of_other_programs(xyz, molecule, energy, forces):
    atoms = molecule()
    [frame] = labelled.read([xyz(renamed(atoms, energy, forces), "other.xyz")])
    assert frame.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-8)
    np.testing.assert_allclose(frame.forces, atoms.get_forces(), atol=1e-7)


def test_a_reference_goes_before_a_calculator(xyz, molecule):
    atoms = renamed(molecule())
    atoms.calc = SinglePointCalculator(atoms, energy=1.0, forces=np.zeros((3, 3)))
    [frame] = labelled.read([xyz(atoms)])
    assert frame.energy < -400
    assert np.abs(frame.forces).max() > 0


def test_a_virial_counts_as_minus_stress_times_volume(xyz, molecule):
    atoms = renamed(molecule(box=10.0))
    atoms.info["virial"] = np.arange(9.0).reshape(3, 3) + np.arange(9.0).reshape(3, 3).T
    [frame] = labelled.read([xyz(atoms)])
    np.testing.assert_allclose(frame.stress, -atoms.info["virial"] / 1000.0, atol=1e-9)


def test_gzip_gives_the_same(xyz, molecules):
    plain = xyz(molecules(5))
    packed = plain.with_name("data.extxyz.gz")
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    both = [labelled.read([path]) for path in (plain, packed)]
    assert [frame.energy for frame in both[0]] == [frame.energy for frame in both[1]]
    packed.write_bytes(packed.read_bytes()[:-200])
    assert "cannot be unpacked" in refusal(packed)


def test_a_run_and_one_of_its_batches(sound_run):
    found = labelled.read([sound_run])
    batches = sorted(sound_run.rglob("batch-*.h5"))
    assert len(found) == sum(len(labelled.read([path])) for path in batches) > 0
    assert {frame.fingerprint for frame in found} == {"harmonic-0123"}
    assert {frame.trajectory for frame in found} == {f"{sound_run}/sim0/0"}
    first = labelled.read([batches[0]])
    assert len({frame.place for frame in first}) == 1, "the beads of a ring share their place"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a: a.calc.results.pop("energy"), "frame 2: has no energy; write energy="),
        (lambda a: a.calc.results.pop("forces"), "frame 2: has no forces; add columns forces:R:3"),
        (lambda a: a.calc.results.update(energy=np.nan), "frame 2: energy is not a finite number (nan); leave the frame out"),
        (lambda a: a.calc.results["forces"].__setitem__((1, 2), np.inf), "frame 2: forces of atom 2 are not finite numbers"),
        (lambda a: a.positions.__setitem__(1, a.positions[0] + 0.01), "overlap: 0.017 A; positions and cell must be in Angstrom"),
        (lambda a: a.numbers.__setitem__(0, 0), "frame 2: atom 1 is of an unknown element (X)"),
        (lambda a: a.positions.__setitem__((2, 0), np.nan), "frame 2: atom 3 has a position that is not a number"),
    ],
)
def test_what_is_wrong_with_a_frame_is_one_sentence(xyz, molecule, change, said):
    bad = molecule(seed=2)
    change(bad)
    told = refusal(xyz([molecule(seed=1), bad]))
    assert "data.extxyz: frame 2: " in told
    assert said in told


def test_several_energies_are_not_guessed(xyz, molecule):
    atoms = renamed(molecule(), "pbe_energy")
    atoms.info["scan_energy"] = -1.0
    assert "has several energy: pbe_energy, scan_energy; call the right one REF_energy" in refusal(xyz(atoms))


def test_files_that_are_none(tmp_path, xyz, molecule):
    assert "no such file or run folder" in refusal(tmp_path / "nowhere.xyz")
    (tmp_path / "data.cfg").write_text("")
    assert "is not of a known kind" in refusal(tmp_path / "data.cfg")
    assert "no run that has begun" in refusal(tmp_path)
    (tmp_path / "empty.xyz").write_text("")
    assert "there is no labelled structure in it" in refusal(tmp_path / "empty.xyz")
    cut = xyz([molecule(seed=1), molecule(seed=2)])
    cut.write_text("\n".join(cut.read_text().splitlines()[:-1]))
    assert "data.extxyz: frame 2: cannot be read as extended xyz (Frame has 2 atoms, expected 3)" in refusal(cut)
    cut.write_text(cut.read_text().replace("\nH ", "\nQq "))
    assert "cannot be read as extended xyz" in refusal(cut)


def test_what_export_wrote_keeps_its_trajectories(xyz, molecule):
    frames = []
    for step in (-1, 7):
        atoms = molecule(seed=step + 2)
        atoms.info |= {"simulator": "hot", "walker": 1, "step": step, "point": 3}
        frames.append(atoms)
    found = labelled.read([xyz(frames)])
    assert [Path(frame.trajectory).parts[-3:] for frame in found] == [("hot", "1", "startup"), ("data.extxyz", "hot", "1")]
    assert [frame.place for frame in found] == [3, 7]


def test_a_torn_batch_is_told(sound_run, tmp_path):
    batch = shutil.copy(sorted(sound_run.rglob("batch-*.h5"))[0], tmp_path / "torn.h5")
    Path(batch).write_bytes(Path(batch).read_bytes()[:500])
    with pytest.raises(Torn):
        labelled.read([Path(batch)])
