"""SNAP's files: their length, and what stands where."""

import numpy as np
import pytest

from benchmarks.peers.lammps_start import Spectrum


@pytest.mark.parametrize(("twojmax", "published"), [(2, 5), (4, 14), (6, 30), (8, 55), (10, 91)])
def test_number_of_components(twojmax, published):
    assert Spectrum(twojmax, 5.0, (1.0,)).length == published


def test_files_hold_what_the_pair_style_reads(tmp_path):
    spectrum = Spectrum(2, 4.5, (1.0, 0.5))
    parameters, table = spectrum.write(tmp_path, np.arange(12.0).reshape(2, 6) / 7)
    assert "rcutfac 4.5" in parameters.read_text()
    lines = table.read_text().splitlines()
    assert lines[0] == "2 6"
    assert lines[1] == "E0 0.5 1.0"
    assert lines[8] == "E1 0.5 0.5"
    assert [float(line) for line in lines[9:]] == [k / 7 for k in range(6, 12)]
