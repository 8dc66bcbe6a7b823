"""The benchmark of molecular dynamics: it runs without peers, on structures it knows."""

import numpy as np
import pytest
from ase import Atoms

from benchmarks import dynamics
from benchmarks.kernel import alloy


@pytest.mark.needs_compiled
def test_it_runs_without_peers_and_says_so(quickly):
    text, told = quickly("dynamics")
    assert sum("peers are absent" in line for line in text.splitlines()) == 1
    assert sum("errors are left out" in line for line in text.splitlines()) == 1
    for name in ("alloy, 96 atoms, 1 beads", "alloy, 96 atoms, 2 beads"):
        assert told[name]["peers"] == {}
        assert 0 < told[name]["ours_ms"]["without forces"] < told[name]["ours_ms"]["float64"]


@pytest.mark.needs_compiled
@pytest.mark.parametrize("single", [True, False])
def test_forces_have_the_asked_size(single):
    case = alloy("", (3, 3, 3), 2.6)
    forces = dynamics.loops_for(case, single).energy(case.positions, case.numbers, case.cell, case.pbc)[2]
    np.testing.assert_allclose(np.sqrt(np.mean(forces**2)), dynamics.FORCE_EV_PER_A, rtol=1e-4)


def test_a_structure_of_other_species_is_refused(tmp_path):
    file = tmp_path / "salt.extxyz"
    Atoms("NaCl", positions=[[0, 0, 0], [2.8, 0, 0]], cell=[5.6, 5.6, 5.6], pbc=True).write(file)
    with pytest.raises(SystemExit, match=r"salt.extxyz: atomic numbers \[11, 17\]; this benchmark knows Li, Ge, P and S"):
        dynamics.crystal(file, (1, 1, 1))


def test_a_structure_is_repeated(tmp_path):
    file = tmp_path / "li2s.extxyz"
    Atoms("SLi2", positions=[[0, 0, 0], [1.4, 1.4, 1.4], [4.2, 1.4, 1.4]], cell=[5.7, 5.7, 5.7], pbc=True).write(file)
    case = dynamics.crystal(file, (2, 1, 3))
    assert case.positions.shape == (1, 18, 3)
    np.testing.assert_allclose(np.diag(case.cell), [11.4, 5.7, 17.1])
