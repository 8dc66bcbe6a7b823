"""Odd data are told in a sentence, sound data are not."""

import re
from dataclasses import replace

import numpy as np
import pytest

from protocol.errors import BadSetting
from renkei.labels import checks as data_checks
from renkei.labels import frames as labelled


@pytest.fixture
def frames(xyz, molecules):
    return labelled.read([xyz(molecules(30))])


def test_sound_data_are_not_remarked_on(frames):
    assert data_checks.without_repeats(frames) == (frames, ())
    assert data_checks.references(frames) == ()
    assert data_checks.mixtures(frames) == ()
    assert data_checks.shared(frames[:15], frames[15:], "test") == ()


def test_repeats_are_used_once_and_contradictions_told_apart(frames):
    again = replace(frames[3], source="b.xyz: frame 1")
    other = replace(frames[4], energy=frames[4].energy + 0.1, source="b.xyz: frame 2")
    kept, told = data_checks.without_repeats([*frames, again, other])
    assert kept == frames
    assert told[0].startswith(f"b.xyz: frame 1: is the structure of {frames[3].source} (1 frames repeat earlier ones)")
    assert told[1].startswith(f"b.xyz: frame 2: is the structure of {frames[4].source} (1 frames repeat with another energy")
    assert "1 frames of the test data" in data_checks.shared(frames, [again], "test")[0]


@pytest.mark.parametrize("where", [slice(5, 12), slice(1, 30, 3)])
def test_energies_of_another_zero_are_found_with_their_sign(frames, where):
    """Some frames of all kinds are; all frames of one composition cannot be, where there are as many elements."""
    odd = list(frames)
    for k in range(*where.indices(len(odd))):
        odd[k] = replace(odd[k], energy=odd[k].energy + 30.0 * len(odd[k].forces))
    found = data_checks.references(odd)
    if where.step is None:
        assert float(re.search(r"energy is (\S+) eV", found[0])[1]) == pytest.approx(30.0, abs=0.5)
        assert "(7 such frames: H2O, O2)" in found[0]
        assert odd[5].source in found[0]
    else:
        assert found == ()


def test_least_absolute_residuals_are_not_bent(frames):
    odd = [replace(f, energy=f.energy + 1000.0) if k % 4 == 0 else f for k, f in enumerate(frames)]
    clean = np.array([k % 4 != 0 for k in range(len(frames))])
    assert np.abs(data_checks.residuals_per_atom(odd)[clean]).max() < 0.5


def test_mixed_charges_and_engines(frames):
    odd = [*frames, replace(frames[0], charge=1, fingerprint="other", source="b.xyz: frame 9")]
    told = data_checks.mixtures(odd)
    assert len(told) == 2
    assert told[0].startswith("b.xyz: frame 9: labels of several values of charge are mixed (0, 1)")


def test_an_unknown_element_names_the_frame(frames):
    assert data_checks.species(frames) == (1, 8)
    data_checks.require_species(frames, (1, 8), "the potential")
    with pytest.raises(BadSetting, match=r"frame 1: holds H, but the potential knows O only; leave the frame out"):
        data_checks.require_species(frames, (8,), "the potential")


def test_reference_energies_are_those_of_the_toy(frames):
    assert data_checks.reference_energies(frames) == pytest.approx({1: -13.0, 8: -430.0}, abs=0.5)
