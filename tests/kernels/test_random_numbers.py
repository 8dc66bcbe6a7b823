import numpy as np

from kernels.random_numbers import generator, step_rng


def test_a_stream_is_a_function_of_its_name_alone():
    a = generator(7, "sim0", "momenta", 2, 11).standard_normal((4, 3))
    np.testing.assert_array_equal(a, step_rng(7, "sim0", 11)("momenta", 2).standard_normal((4, 3)))


def test_streams_differ_by_every_part_of_the_name():
    names = [(7, "sim0", "momenta", 2, 11), (8, "sim0", "momenta", 2, 11), (7, "hot", "momenta", 2, 11)]
    names += [(7, "sim0", "accept", 2, 11), (7, "sim0", "momenta", 3, 11), (7, "sim0", "momenta", 2, 12)]
    first = {generator(*name).random() for name in names}
    assert len(first) == len(names)


def test_the_bits_are_those_of_numpy_philox():
    # frozen: a change of key or counter would change every chain
    assert generator(1, "sim0", "accept", 0, 1).random() == 0.2773525061427088


def test_long_draws_of_neighbouring_steps_do_not_meet():
    a = generator(1, "sim0", "momenta", 0, 1).integers(0, 2**63, 20000)
    b = generator(1, "sim0", "momenta", 0, 2).integers(0, 2**63, 20000)
    assert not np.intersect1d(a, b).size
