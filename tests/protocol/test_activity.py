import pytest

from protocol.activity import ActivityClock


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_nested_activities_and_the_rest():
    time = Clock()
    clock = ActivityClock(("engine", "io"), time)
    time.now = 1.0
    with clock.doing("engine"):
        time.now = 3.0
        with clock.doing("io"):
            time.now = 7.0
        time.now = 8.0
        assert clock.totals() == {"engine": 3.0, "io": 4.0, "other": 1.0}
    time.now = 16.0
    assert clock.totals() == {"engine": 3.0, "io": 4.0, "other": 9.0}
    assert sum(clock.totals().values()) == time.now


def test_laps():
    time = Clock()
    clock = ActivityClock(("engine",), time)
    with clock.doing("engine"):
        time.now = 2.0
        assert clock.lap() == {"engine": 2.0, "other": 0.0}
        time.now = 5.0
    time.now = 6.0
    assert clock.lap() == {"engine": 3.0, "other": 1.0}
    assert clock.lap() == {"engine": 0.0, "other": 0.0}


def test_an_exception_ends_the_activity():
    time = Clock()
    clock = ActivityClock(("engine",), time)

    def fail():
        with clock.doing("engine"):
            time.now = 1.0
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    time.now = 3.0
    assert clock.totals() == {"engine": 1.0, "other": 2.0}


def test_unknown_activity():
    with pytest.raises(ValueError, match="engin"), ActivityClock(("engine",)).doing("engin"):
        pass
