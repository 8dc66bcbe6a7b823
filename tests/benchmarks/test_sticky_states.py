"""The benchmark of what the freeze criteria are for."""

import pytest


def test_it_tells_every_block(quickly, tmp_path):
    text, told = quickly("sticky_states", "--system", "ethanol", "--variant", "without", "--into", str(tmp_path))
    [block] = told["blocks"]["ethanol/without"]
    assert 0 <= block["acceptance"] <= 1
    assert block["longest"] <= 15
    assert block["deviation"] * block["stderr"] == pytest.approx(block["mean"] - 1)
    assert block["verdict"] in text
