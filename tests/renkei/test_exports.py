"""What leaves says the same as what stayed."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from kernels.descriptors.base import Chebyshev
from kernels.ewald import PointCharges
from kernels.potentials import bpnn
from protocol import weights
from protocol.errors import BadSetting
from protocol.records import Canary, Card
from renkei import artefact, exports
from renkei.labels import frames as labelled


@pytest.fixture
def weighted(tmp_path):
    """An artefact of H and O with species-weighted descriptors, random numbers."""
    folder = tmp_path / "weighted"
    folder.mkdir()
    descriptor = Chebyshev((1, 8), "species_weighted", 4, 4.0, 2, 3.0, (1,))
    rng, size = np.random.default_rng(2), descriptor.length
    layers = tuple(((rng.standard_normal((5, size)), np.zeros(5)), (rng.standard_normal((1, 5)), np.zeros(1))) for _ in "HO")
    norm = (0.1 * rng.standard_normal((2, size)), np.ones((2, size)), np.array([-13.0, -430.0]))
    bpnn.write(folder, bpnn.BpnnModel(descriptor, layers, "tanh", *norm))
    canary = Canary(np.zeros((1, 1, 3)), np.array([1]), np.zeros((3, 3)), np.zeros(3, bool), np.zeros(1), np.zeros((1, 1, 3)))
    card = Card("bpnn", 3, (1, 8), 4.0, 0, 1, "fingerprint", {}, {}, (), (), {}, canary)
    weights.write_card(folder, replace(card, files=weights.digests(folder)))
    return folder


def test_aenet_files_give_the_same_energies(weighted, tmp_path, molecule):
    from kernels.potentials import aenet

    (tmp_path / "out").mkdir()
    assert exports.aenet(weighted, tmp_path / "out") == ["H.nn.ascii", "O.nn.ascii"]
    atoms = molecule()
    words = (atoms.positions[None], atoms.numbers, atoms.cell.array, atoms.pbc)
    mine, theirs = artefact.find(weighted).potential.evaluate(*words), aenet.build(tmp_path / "out", 0).evaluate(*words)
    np.testing.assert_allclose(theirs.energy, mine.energy, rtol=0, atol=1e-8)
    np.testing.assert_allclose(theirs.forces, mine.forces, rtol=0, atol=1e-8)


def test_lammps_gets_its_files_and_a_piece_of_input(weighted, tmp_path):
    (tmp_path / "out").mkdir()
    written = exports.lammps(weighted, tmp_path / "out")
    assert sorted(written) == sorted(path.name for path in (tmp_path / "out").iterdir())
    text = (tmp_path / "out" / "in.potential").read_text()
    assert "pair_coeff * * v00 H O nn H O" in text
    assert "mass 1 1.008\nmass 2 15.999" in text
    assert "#   pair_style aenet H.nn O.nn\n" in text
    assert not [line for line in text.splitlines() if line and not line.startswith(("#", "mass", "pair_", "neighbor"))]


def test_a_species_resolved_model_is_refused_in_a_sentence(trained, tmp_path):
    for kind in (exports.aenet, exports.lammps):
        with pytest.raises(BadSetting, match="cannot express a species-resolved model; train one with --set"):
            kind(trained, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_model_with_charges_is_refused_in_a_sentence(weighted, tmp_path):
    bpnn.write(weighted, replace(bpnn.read(weighted), charges=PointCharges(np.array([0.4, -0.8]), 1.0)))
    card = weights.read_card(weighted)
    (weighted / "card.json").unlink()
    weights.write_card(weighted, replace(card, files=weights.digests(weighted)))
    (tmp_path / "out").mkdir()
    for kind in (exports.aenet, exports.lammps):
        with pytest.raises(BadSetting, match=r"cannot express a model with charges; train one with --set learner\.charges=none"):
            kind(weighted, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    assert exports.ase(weighted, tmp_path / "out") == ["potential/", "README.md"]


def test_an_installation_without_the_writer_says_so(weighted, tmp_path, monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(exports, "import_module", missing)
    with pytest.raises(BadSetting, match="this installation cannot write aenet's files"):
        exports.aenet(weighted, tmp_path)


def test_the_lines_of_the_readme_run(trained, tmp_path, molecule):
    assert exports.ase(trained, tmp_path) == ["potential/", "README.md"]
    lines = (tmp_path / "README.md").read_text().split("```python\n")[1].split("```")[0]
    atoms = molecule()
    program = f"from ase import Atoms\natoms = Atoms({str(atoms.symbols)!r}, {atoms.positions.tolist()})\n{lines}"
    said = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    mine = artefact.find(trained).potential.evaluate(atoms.positions[None], atoms.numbers, np.zeros((3, 3)), atoms.pbc)
    assert float(said.split()[0]) == pytest.approx(float(mine.energy[0]), abs=1e-9)


def test_all_labels_of_a_run_with_their_origins(sound_run, tmp_path):
    [told] = exports.extxyz(sound_run, tmp_path)
    own, out = labelled.read([sound_run]), labelled.read([tmp_path / "labels.extxyz"])
    assert told == f"labels.extxyz ({len(own)} structures)"
    assert [frame.energy for frame in out] == pytest.approx([frame.energy for frame in own], abs=1e-8)
    assert [frame.place for frame in out] == [frame.place for frame in own]
    assert {frame.fingerprint for frame in out} == {"harmonic-0123"}
    assert "phase=adapt" in (tmp_path / "labels.extxyz").read_text()
