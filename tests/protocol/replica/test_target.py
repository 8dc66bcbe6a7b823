from protocol.replica.target import AHEAD, WINDOW, Target
from protocol.replica.wire import BODY, File, Held, Item

DIGEST = "0" * 64


def batch(number, size):
    return Item(
        1, number, (File(f"batches/batch-{number:06d}.h5", size, DIGEST), File(f"triggers/batch-{number:06d}.trigger", 9, DIGEST))
    )


def test_little_is_asked_for_at_a_time_and_nothing_is_taken_that_was_not(tmp_path):
    target = Target(tmp_path, "sim/sim0")
    target.held[1] = Held("id")
    target.offer([batch(number, 2**29) for number in range(32)])
    assert sum(chunk.size for chunk in target._plan) < 2**29 + AHEAD
    asked = target.questions()
    assert len(asked) == WINDOW
    assert target.questions() == []
    first = ("batches/batch-000000.h5", 0)
    for place in ((1, 0, "batches/batch-000000.h5", BODY), (1, 1, *first), (2, 0, *first), (1, 0, "epoch.json", 0)):
        assert not target.data(place, b"x" * BODY)
    assert len(target._part) == 0
    target.data((1, 0, *first), b"x" * BODY)
    target.data((1, 0, *first), b"x" * BODY)  # once more
    assert len(target._part) == BODY
    assert list(tmp_path.iterdir()) == []


def test_an_offer_of_what_is_held_or_planned_changes_nothing(tmp_path):
    target = Target(tmp_path, "sim/sim0")
    target.held[1] = Held("id", last=4)
    target.offer([batch(4, 10), batch(5, 10), batch(5, 10), batch(6, 10), batch(5, 10)])
    assert [(chunk.item.number, chunk.file.size) for chunk in target.questions()] == [(5, 10), (5, 9), (6, 10), (6, 9)]
    assert Item(2, 0, ()) not in target._queue
    target.offer([Item(2, 0, batch(0, 10).files)])  # of an epoch whose start has not come
    assert target.questions() == []
