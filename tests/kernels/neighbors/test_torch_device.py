import numpy as np
import pytest
import torch

from kernels.neighbors import reference, torch_device
from kernels.neighbors.base import Pairs, lattice


def same(mine, want):
    order = np.lexsort((*want.shift.T[::-1], want.second, want.first))
    assert np.array_equal(mine.first, want.first[order])
    assert np.array_equal(mine.second, want.second[order])
    assert np.array_equal(mine.shift, want.shift[order])
    assert np.allclose(mine.vector, want.vector[order], rtol=0, atol=1e-12)
    assert np.allclose(mine.distance, want.distance[order], rtol=0, atol=1e-12)


@pytest.mark.parametrize("cutoff", [1.0, 2.9, 7.3])
def test_small_systems_match_the_reference(silica, cutoff):
    positions, _, cell, pbc = silica
    same(torch_device.pairs(positions[0], cell, pbc, cutoff), reference.pairs(positions[0], cell, pbc, cutoff))


@pytest.mark.parametrize("pbc", [(0, 0, 0), (0, 1, 1), (1, 1, 1)])
@pytest.mark.parametrize("edges", [(15.0, 12.0, 9.0), (40.0, 4.0, 5.0)])
def test_bins_match_the_reference(pbc, edges, monkeypatch):
    """More atoms than one bin takes, in several portions; the second box has directions shorter than the cut-off."""
    monkeypatch.setattr(torch_device, "AT_ONCE", 5_000)
    monkeypatch.setattr(torch_device, "ONE_BIN_ATOMS", 40)
    rng = np.random.default_rng(3)
    cell, flags = np.diag(edges) + rng.uniform(-1, 1, (3, 3)), np.array(pbc, dtype=bool)
    positions = rng.uniform(-0.3, 1.4, (71, 3)) @ cell
    same(torch_device.pairs(positions, cell, flags, 4.3), reference.pairs(positions, cell, flags, 4.3))


def test_structures_of_a_batch_do_not_see_each_other(silica):
    positions, _, cell, pbc = silica
    found = torch_device.batched(torch.tensor(positions), lattice(cell, pbc), 2.9)
    for b in range(3):
        mine = found.first // 6 == b
        assert (found.second[mine] // 6 == b).all()
        columns = [column[mine].numpy() for column in found]
        alone = torch_device.pairs(positions[b], cell, pbc, 2.9)
        assert all(
            np.array_equal(one, other) for one, other in zip([columns[0] - 6 * b, columns[1] - 6 * b], alone, strict=False)
        )
        assert np.array_equal(columns[3], alone.vector)


def test_a_pair_looks_opposite_from_its_other_end_to_the_last_bit(silica):
    positions, _, cell, pbc = silica
    near = Pairs(*(column.numpy() for column in torch_device.batched(torch.tensor(positions), lattice(cell, pbc), 3.3)))
    there = {(i, j, *shift): vector for i, j, shift, vector in zip(*(column.tolist() for column in near[:4]), strict=True)}
    for (i, j, *shift), vector in there.items():
        assert [-x for x in vector] == there[(j, i, *(-n for n in shift))]


def test_nobody_and_exploded_positions():
    box = np.zeros((3, 3)), np.zeros(3, bool)
    assert len(torch_device.pairs(np.array([[0.0, 0, 0], [0, 0, 9]]), *box, 2.0).first) == 0
    assert torch_device.pairs(np.zeros((0, 3)), *box, 2.0).vector.shape == (0, 3)
    with pytest.raises(ValueError, match="finite"):
        torch_device.pairs(np.array([[0, np.nan, 0]]), *box, 2.0)
