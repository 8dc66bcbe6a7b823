"""Labels of steps on their way to the trainer."""

from types import SimpleNamespace

from sim_daemon import labels


def test_of_each_ring_so_many_labels_are_kept():
    pairs = [(None, SimpleNamespace(ring=ring)) for ring, count in ((4, 3), (5, 1), (9, 8)) for _ in range(count)]
    assert labels.kept(pairs, 4) == 3 + 1 + 4
    assert labels.kept(pairs, 1) == 3
    assert labels.kept([], 4) == 0
