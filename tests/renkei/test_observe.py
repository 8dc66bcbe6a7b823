"""Observables of a run folder: segments, strides, phases, refusals."""

import io

import h5py
import numpy as np
import pytest

import renkei
from kernels import statistics
from protocol.errors import BadSetting
from protocol.store import Store
from renkei import observe, run_view


def found_in(root, wanted, sink=None, **selected):
    [simulator] = run_view.read(root).simulators
    return observe.observe(Store(root), simulator, wanted, observe.Selection(**selected), sink=sink)


@pytest.fixture(scope="module")
def in_pieces(make_run):
    """The sound run, its one segment cut into four."""
    root = make_run()
    [path] = Store(root).trajectories("sim/sim0")
    with h5py.File(io.BytesIO(path.read_bytes())) as file:
        steps = file["particles/all/position/step"][()]
        for piece in np.array_split(np.arange(len(steps)), [100, 101, 300]):
            with h5py.File(path.with_name(f"{steps[piece[-1]]:06d}.part"), "w") as part:
                file.copy("particles", part)
                file.copy("observables", part)
                for name in (
                    "particles/all/position/value",
                    "particles/all/position/step",
                    "observables/phase",
                    "observables/block",
                ):
                    values = file[name][piece[0] : piece[-1] + 1]
                    del part[name]
                    part[name] = values
    path.unlink()
    for part in path.parent.glob("*.part"):
        part.rename(part.with_suffix(".h5"))
    return root


def test_series_of_the_quoted_block(sound_run):
    found = found_in(sound_run, ["radius_of_gyration", "potential_energy_eV"])
    assert (found.step[0], found.step[-1], len(found.step)) == (71, 470, 400)
    energy = found.averages["potential_energy_eV"]
    column = renkei.open(sound_run).production()["potential_energy_eV"]
    np.testing.assert_array_equal(energy.series.ravel(), column)
    assert energy.estimate == statistics.estimate(energy.series)
    assert energy.unit == "eV"
    assert energy.refusal == ""
    assert energy.r_hat < 1.1
    # four beads with a spread of 0.05 A in each direction: 3 * 0.05^2 * 3/4
    assert found.averages["radius_of_gyration_H_A"].estimate.mean == pytest.approx(0.075, rel=0.03)


def test_segments_make_no_difference(sound_run, in_pieces):
    assert len(Store(in_pieces).trajectories("sim/sim0")) == 4
    whole, pieces = (found_in(root, ["energy", "pair_distribution", "bonds"]) for root in (sound_run, in_pieces))
    np.testing.assert_array_equal(whole.step, pieces.step)
    for name, average in whole.averages.items():
        np.testing.assert_array_equal(average.series, pieces.averages[name].series)
    for name, curve in whole.curves.items():
        np.testing.assert_allclose(curve.estimate.value, pieces.curves[name].estimate.value)
        np.testing.assert_allclose(curve.estimate.stderr, pieces.curves[name].estimate.stderr)


def test_one_segment_is_held_at_a_time(in_pieces):
    lengths = []
    found_in(in_pieces, ["radius_of_gyration"], sink=lambda step, series: lengths.append(len(step)))
    assert lengths == [30, 1, 199, 170]


def test_the_curve_is_the_mean_over_states_and_its_band_is_honest(sound_run):
    found = found_in(sound_run, ["bonds"])
    curve = found.curves["bond_length_distribution_O-H"]
    states = renkei.open(sound_run).trajectory()
    positions = states.positions[states.phase == 1]
    lengths = np.linalg.norm(positions[..., 1:, :] - positions[..., :1, :], axis=-1)
    edges = np.linspace(0.5, 3.5, 181)
    np.testing.assert_allclose(curve.estimate.value, np.histogram(lengths, edges)[0] / lengths.size / np.diff(edges))
    assert curve.estimate.ess > 300  # its states are independent
    # a bin's count is binomial, but for the two bonds and four beads of a state, which share an atom
    share = curve.estimate.value.max() * (3 / 180)
    assert curve.estimate.stderr.max() == pytest.approx(np.sqrt(share * (1 - share) / lengths.size) * 60, rel=0.7)


def test_stride_and_phase(sound_run):
    found = found_in(sound_run, ["radius_of_gyration"], stride=7)
    assert found.step.tolist() == list(range(71, 471, 7))
    assert found_in(sound_run, ["radius_of_gyration"], phase="adapt").step.tolist() == list(range(1, 71))


def test_a_start_that_is_remembered_is_told_and_can_be_left_out(make_run):
    root = make_run(far_start_eV=0.6, blocks=(900,))
    found = found_in(root, ["energy"])
    assert "steps of the block remember its start" in found.notes[0]
    rest = found_in(root, ["energy"], skip=120)
    assert rest.step.tolist() == list(range(191, 971))
    assert rest.notes == ()
    assert found_in(root, ["energy"], phase="adapt").notes == ()
    gap = found.averages["potential_energy_eV"].estimate.mean - rest.averages["potential_energy_eV"].estimate.mean
    assert gap > 0.006  # 0.6 eV for 20 of 900 steps
    with pytest.raises(BadSetting, match="skip must be at least 0"):
        found_in(root, ["energy"], skip=-1)


def test_options(sound_run):
    run = renkei.open(sound_run)
    found = run.observable("pair_distribution", largest_A=3.0, bins=30, stride=5)
    assert found.curves["pair_distribution_O-H"].axis.points[-1] == pytest.approx(2.95)
    with pytest.raises(BadSetting, match="no option 'radius'; it has largest_A, bins"):
        run.observable("pair_distribution", radius=3.0)
    with pytest.raises(BadSetting, match="energy has no option 'bins'; it has none"):
        run.observable("energy", bins=3)


def test_a_short_or_correlated_series_is_refused(make_run):
    found = found_in(make_run(blocks=(12,)), ["energy", "bonds"])
    assert found.averages["energy_virial_eV"].refusal.startswith("not quoted: ")
    assert "at least 50 wanted" in found.averages["energy_virial_eV"].refusal
    assert found.curves["bond_length_distribution_O-H"].refusal.startswith("not quoted: ")


def test_heat_capacity_has_no_series_but_an_error(sound_run):
    average = found_in(sound_run, ["heat_capacity"]).averages["heat_capacity_eV_per_K"]
    assert average.series is None
    assert average.unit == "eV_per_K"
    assert average.estimate.stderr > 0


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"wanted": ["volume"]}, "no observable 'volume'; there are bonds, cell"),
        ({"wanted": ["cell"]}, "not periodic in three directions"),
        ({"wanted": ["energy"], "stride": 0}, "stride must be at least 1"),
        ({"wanted": ["energy"], "phase": "all"}, "phase must be one of production, adapt"),
        ({"wanted": ["energy"], "skip": 400}, "skip 400 leaves nothing of the 400 steps in production"),
    ],
)
def test_what_cannot_be_asked(sound_run, choices, said):
    with pytest.raises(BadSetting, match=said):
        found_in(sound_run, **choices)


def test_what_is_not_there(make_run):
    with pytest.raises(BadSetting, match="sim0 has no steps in production"):
        found_in(make_run(blocks=()), ["energy"])
    root = make_run()
    for path in Store(root).trajectories("sim/sim0"):
        path.unlink()
    with pytest.raises(BadSetting, match="no stored states"):
        found_in(root, ["energy"])


def test_weighted_states_give_weighted_means_curves_and_capacities(make_run):
    root = make_run(weight_spread=0.8, blocks=(400,))
    seen = []
    found = found_in(root, ["energy", "bonds", "heat_capacity"], sink=lambda step, series: seen.append(series["log_weight"]))
    run = renkei.open(root)
    rows = run.production()
    weights = np.exp(rows["log_weight"] - rows["log_weight"].max())
    assert found.weights.samples == len(weights)
    assert found.weights.kish == pytest.approx(weights.sum() ** 2 / (weights**2).sum())
    np.testing.assert_array_equal(np.concatenate(seen).ravel(), rows["log_weight"])
    energy = found.averages["energy_virial_eV"].estimate
    assert energy.mean == pytest.approx(np.average(rows["energy_virial_eV"], weights=weights), abs=1e-9)
    assert abs(energy.mean - rows["energy_virial_eV"].mean()) > 1e-4  # the weights do something
    states = run.trajectory()
    positions = states.positions[states.phase == 1]
    lengths = np.linalg.norm(positions[..., 1:, :] - positions[..., :1, :], axis=-1)
    edges = np.linspace(0.5, 3.5, 181)
    spread = np.broadcast_to(weights.reshape(*positions.shape[:2], 1, 1), lengths.shape)
    expected = np.histogram(lengths, edges, weights=spread)[0] / spread.sum() / np.diff(edges)
    np.testing.assert_allclose(found.curves["bond_length_distribution_O-H"].estimate.value, expected)
    plain = found_in(make_run(blocks=(400,)), ["bonds"]).curves["bond_length_distribution_O-H"].estimate
    assert found.curves["bond_length_distribution_O-H"].estimate.ess < 0.8 * plain.ess
    assert found.averages["heat_capacity_eV_per_K"].estimate.stderr > 0


def test_weights_that_cannot_carry_a_mean_refuse_it(make_run):
    found = found_in(make_run(weight_spread=6.0), ["energy", "bonds"])
    assert "n_eff of the weights" in found.averages["energy_virial_eV"].refusal
    assert "n_eff of the weights" in found.curves["bond_length_distribution_O-H"].refusal
    with pytest.raises(BadSetting, match="compares states with one another"):
        found_in(make_run(weight_spread=0.3), ["mean_square_displacement"])


def test_blocks_of_one_surrogate_and_alpha_together_keep_their_plain_weights(make_run):
    """And blocks with two alphas get those of both ensembles; blocks without weights are simply joined."""
    same = make_run(blocks=(100, 100), alphas=(0.5, 0.5))
    found = found_in(same, ["energy"], all_blocks=True)
    assert len(found.step) == 200
    assert "blocks together: 1 (generation 2, alpha 0.5, 200 states), 2" in found.notes[0]
    rows = [renkei.open(same).production(block=block)["log_weight"] for block in (1, 2)]
    kish = statistics.kish(np.concatenate(rows))[0]
    assert found.weights.kish == pytest.approx(kish, rel=1e-6)
    mixed = found_in(make_run(blocks=(100, 100), alphas=(0.5, 0.9)), ["energy"], all_blocks=True)
    assert kish < mixed.weights.kish < 400
    assert found_in(make_run(blocks=(60, 40)), ["energy"], all_blocks=True).weights is None
    contracted = make_run(blocks=(60, 40), alphas=(0.5, 0.5), approximation="1 contracted beads of 4")
    with pytest.raises(BadSetting, match="each has another target"):
        found_in(contracted, ["energy"], all_blocks=True)
    assert "approximate: 1 contracted beads" in found_in(contracted, ["energy"]).notes[0]


def test_names_have_a_line_each():
    assert {"energy", "heat_capacity", "pair_distribution", "structure_factor"} <= observe.names().keys()
    assert "base" not in observe.names()
    assert all(observe.names().values())


def test_a_rung_of_a_ladder_is_analysed_by_itself(make_run):
    root = make_run(walkers=3, ladder_K=(300.0, 330.0, 365.0))
    wanted = ["energy_virial_eV", "bonds"]
    lowest, highest = found_in(root, wanted), found_in(root, wanted, temperature_K=365.0)
    assert lowest.averages["energy_virial_eV"].series.shape == (400, 1)
    shift = highest.averages["energy_virial_eV"].estimate.mean - lowest.averages["energy_virial_eV"].estimate.mean
    assert shift == pytest.approx(1.3, abs=0.05)
    states = renkei.open(root).trajectory()
    for found, walker in ((lowest, 0), (highest, 2)):
        length = np.linalg.norm(states.positions[70:, walker, :, 1] - states.positions[70:, walker, :, 0], axis=-1)
        other = np.linalg.norm(states.positions[70:, walker, :, 2] - states.positions[70:, walker, :, 0], axis=-1)
        series = found.averages["bond_length_O-H_A"].series[:, 0]
        np.testing.assert_allclose(series, (length.mean(axis=1) + other.mean(axis=1)) / 2)
    with pytest.raises(BadSetting, match="no rung at 340 K"):
        found_in(root, wanted, temperature_K=340.0)
