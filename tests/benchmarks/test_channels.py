"""The benchmark of the channels: it runs, all three of them, and compares."""


def test_it_times_every_channel(quickly):
    text, told = quickly("channels")
    for name in ("files", "tcp", "mpi"):
        assert all(value > 0 for value in told[name].values())
        assert told[name]["latency_ms"] <= told[name]["slow_ms"]
    assert text.splitlines()[1].count("(1.00)") == 5  # files beside themselves
