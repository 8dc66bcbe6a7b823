"""The press: what is judged is what is published, and a lost parent stays the parent."""

import numpy as np
import pytest

from protocol.errors import LearnFailed
from protocol.store import Store
from train_daemon.dataset import Dataset
from train_daemon.learners import chebyshev_bpnn
from train_daemon.learners.base import LearnerContext
from train_daemon.publication import Press, Published, recall


@pytest.fixture
def press(tmp_path, make_batch):
    store = Store(tmp_path)
    epoch = store.claim("train")
    data = Dataset(4)
    data.add("sim0/1/0", make_batch(np.random.default_rng(0), range(10)))
    settings = chebyshev_bpnn.Settings(radial={"order": 4, "cutoff_A": 4.0}, angular={"order": 2, "cutoff_A": 3.0}, hidden=(8,))
    yield Press(chebyshev_bpnn.build(settings, LearnerContext("cpu", 1, 0)), data, epoch, lambda simulator: 300.0)
    epoch.close()


def test_the_card_says_what_it_is_and_the_press_remembers(press, tmp_path):
    model = press.learner.start(press.dataset.training_set())
    verdict, packet = press.submit(model, {"rmse_force_eV_per_A": 0.5})
    card = Store(tmp_path).read_card(packet)
    assert verdict.publish
    assert card.metrics["training_rmse_force_eV_per_A"] == 0.5
    assert card.metrics["judged"] == verdict.reason
    assert set(card.files) == {"weights.h5"}
    assert card.architecture["hidden"] == [8]
    assert press.previous == Published(0, packet.digest, "bpnn", packet.path)
    assert recall(press.previous.dump(), Store(tmp_path)) == press.previous
    press.submit(model, {})
    assert press.parents == (packet.digest,)


def test_a_parent_whose_files_are_gone_is_still_the_parent(press, tmp_path):
    state = {"generation": 4, "digest": "ab" * 32, "format": "bpnn"}
    press.previous = recall(state, Store(tmp_path))
    assert press.previous.folder is None
    _, packet = press.submit(press.learner.start(press.dataset.training_set()), {})
    assert packet.number == 5
    assert Store(tmp_path).read_card(packet).parents == ("ab" * 32,)


@pytest.mark.filterwarnings("ignore:overflow")
def test_a_model_that_gives_no_finite_numbers_is_not_published(press, tmp_path):
    model = press.learner.start(press.dataset.training_set())
    layers = tuple(tuple((1e308 * w, b) for w, b in layer) for layer in model.network.layers)
    huge = model.with_layers(0, layers)
    with pytest.raises(LearnFailed, match="not finite"):
        press.submit(huge, {})
    assert Store(tmp_path).packets("train") == []
