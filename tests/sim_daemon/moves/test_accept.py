import math

import numpy as np

from sim_daemon.moves.accept import accept


class Uniform:
    def __init__(self, value):
        self.value, self.draws = value, 0

    def random(self):
        self.draws += 1
        return self.value


def test_decisions_and_one_draw_each():
    for log_ratio, uniform, wanted in [
        (0.1, 0.999, True),
        (-1.0, 0.5, False),
        (-1.0, 0.9, True),
        (math.nan, 0.999, False),
        (-math.inf, 0.0, False),
    ]:
        generator = Uniform(uniform)
        assert accept(log_ratio, generator) is wanted
        assert generator.draws == 1
    assert accept(-1.0, Uniform(0.64))  # 1 - u = 0.36 < exp(-1)


def test_rate_is_the_acceptance_probability():
    generator = np.random.default_rng(1)
    taken = np.mean([accept(math.log(0.3), generator) for _ in range(20000)])
    assert abs(taken - 0.3) < 4.5 * math.sqrt(0.3 * 0.7 / 20000)
