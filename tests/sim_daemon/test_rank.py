from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest

from kernels import native
from protocol.errors import EnvironmentFailed
from protocol.records import Structure
from sim_daemon.engines import harmonic
from sim_daemon.rank import PACE_PERIOD, PACE_PROBES, Pace, Rank, SharedSurrogate
from sim_daemon.world import World


def run(pace, calls, shared_s, alone_s):
    shared = 0
    for _ in range(calls):
        now = pace.share()
        pace.took(now, shared_s if now else alone_s)
        shared += now
    return shared


def test_sharing_goes_on_where_it_is_faster_and_is_given_up_where_it_is_not():
    pace = Pace()
    assert run(pace, PACE_PERIOD, 1.0, 2.0) == PACE_PERIOD - PACE_PROBES
    assert run(pace, PACE_PERIOD, 3.0, 2.0) <= 3 * PACE_PROBES  # it needs some calls to forget the good days
    assert run(pace, PACE_PERIOD, 3.0, 2.0) == PACE_PROBES


def test_a_batch_comes_back_whole_and_in_order():
    world = World()
    world.handlers = {"evaluate": lambda positions, digest, cell: [(x.sum(), 2 * x, None) for x in positions]}
    x = np.arange(24.0).reshape(4, 2, 3)
    value = SharedSurrogate(world, Pace(), "d", 0, (), 0.0).evaluate(x, None, None, None)
    np.testing.assert_array_equal(value.energy, x.sum(axis=(1, 2)))
    np.testing.assert_array_equal(value.forces, 2 * x)


def test_another_processor_than_rank_0_has_is_refused(tmp_path):
    rank = Rank(None, None, tmp_path, 1, lambda activity: nullcontext())
    with pytest.raises(EnvironmentFailed, match="rank 0 has the kernels vax, another rank "):
        rank.start_engine("vax")


def test_a_cheap_engine_labels_beside_the_engine_and_its_energies_are_not_guarded(tmp_path):
    springs = [harmonic.Settings(k_eV_per_A2=k, max_energy_eV_per_atom=1e-3) for k in (2.0, 1.5)]
    science = SimpleNamespace(engine=springs[0], cheap_engine=springs[1])
    machine = SimpleNamespace(simulator=SimpleNamespace(ranks_per_engine=1))
    system = SimpleNamespace(charge=0, multiplicity=1, structure=SimpleNamespace(numbers=np.ones(1, int)))
    rank = Rank(SimpleNamespace(science=science, machine=machine), system, tmp_path, 0, lambda activity: nullcontext())
    rank.start_engine(native.backend())
    rank.guard(0.0)
    ends = Structure(np.array([[0.1, 0.0, 0.0]]), np.ones(1, int), np.zeros((3, 3)), np.zeros(3, bool))
    [full], [cheap] = rank.label([ends]), rank.label_cheap([ends])
    assert full.label is None
    assert cheap.label.energy == pytest.approx(0.5 * 1.5 * 0.01)
    assert rank.fingerprint != rank.cheap_fingerprint
