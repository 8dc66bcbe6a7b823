"""Numbers through Fortran's text and records. Whole files: test_aenet_file.py."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import fortran


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=9))
def test_every_float_comes_back(numbers):
    text, record = fortran.as_text("reals", numbers), fortran.as_record("reals", numbers)
    lines = text.decode().split("\n")
    assert all(len(line) == 100 for line in lines[: len(numbers) // 4])
    assert fortran.Text(text.decode()).reals(len(numbers), "numbers").tobytes() == np.array(numbers).tobytes()
    assert fortran.Records(record).reals(len(numbers), "numbers").tobytes() == np.array(numbers).tobytes()


@settings(deadline=None)
@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=9))
def test_every_int32_comes_back(numbers):
    assert fortran.Text(fortran.as_text("integers", numbers).decode()).integers(len(numbers), "numbers") == numbers
    assert fortran.Records(fortran.as_record("integers", numbers)).integers(len(numbers), "numbers") == numbers


@pytest.mark.parametrize(("word", "number"), [("1.5d-03", 1.5e-3), ("-2.D+02", -200), ("1.5-103", 1.5e-103), (".5+100", 0.5e100)])
def test_exponents_of_fortran(word, number):
    assert fortran.Text(word).reals(1, "number")[0] == number


@pytest.mark.parametrize(("text", "count"), [("0 0 0 0\n7\n1.5 2.5", 4), ("0 0\n7\n1.5", 2), ("0 0 0\n7\n", 2)])
def test_how_many_integers_stand_before_the_reals(text, count):
    source = fortran.Text(text)
    if text.startswith("0 0 0\n"):  # neither count fits: the first one is demanded
        with pytest.raises(ValueError, match="goes on"):
            source.integers_before_reals((2, 4), "zeros")
        return
    source.integers_before_reals((2, 4), "zeros")
    assert source.integers(1, "number") == [7]


@pytest.mark.parametrize("value", [True, False])
def test_marks_and_lines(value):
    things = [("mark", value), ("line", ("A line for people", 30)), ("names", ("Ti", "O"))]
    text = fortran.Text(b"".join(fortran.as_text(*thing) for thing in things).decode())
    records = fortran.Records(b"".join(fortran.as_record(*thing) for thing in things))
    for source in (text, records):
        source.mark("mark")
        assert source.line("line") == "A line for people"
        assert source.names(2, "names") == ("Ti", "O")
        source.end()
