"""What every observable keeps to, whichever files there are."""

import ast
import inspect
from importlib import import_module

import numpy as np
import pytest

from protocol.errors import BadSetting
from renkei import observe
from renkei.observables import pressure
from renkei.observables.base import histogram, middles

ENERGIES = {"potential_energy_eV": -10.0, "energy_virial_eV": -9.5, "kinetic_energy_eV": 0.5}
LEDGER = {**ENERGIES, **dict.fromkeys(pressure.NAMES, 0.1)}


def built(name, system, water):
    """The observable for a molecule, or for the same atoms in a box where it wants one."""
    build = import_module(f"renkei.observables.{name}").build
    pair = np.concatenate([water, water + np.array([2.8, 0.0, 0.3])], axis=3)
    for cell in (None, 9 * np.eye(3)):
        try:
            return build(system(pair, [8, 1, 1] * 2, cell)), pair, cell
        except BadSetting:
            continue
    raise AssertionError(f"{name} wants neither a cluster nor a box")


@pytest.mark.parametrize("name", observe.names())
def test_shapes_names_and_pieces(name, system, states, water):
    """Shapes by state and walker, an axis for each curve, and the same numbers whether states come at once or one by one."""
    whole, positions, cell = built(name, system, water)
    found = whole.add(states(positions, cell, **LEDGER))
    assert found.series or found.curves
    assert all(values.shape == (3, 2) for values in found.series.values())
    for key, part in found.curves.items():
        assert part.total.shape == part.weight.shape == (3, 2, len(whole.axes[key].points))
    again, _, _ = built(name, system, water)
    pieces = [again.add(states(positions[k : k + 1], cell, first=1 + k, **LEDGER)) for k in range(3)]
    for key, values in found.series.items():
        np.testing.assert_array_equal(np.concatenate([piece.series[key] for piece in pieces]), values)
    for key, part in found.curves.items():
        np.testing.assert_array_equal(np.concatenate([piece.curves[key].total for piece in pieces]), part.total)


@pytest.mark.parametrize("name", observe.names())
def test_options_have_defaults_and_the_file_says_what_it_is(name):
    module = import_module(f"renkei.observables.{name}")
    parameters = list(inspect.signature(module.build).parameters.values())
    assert parameters[0].name == "system"
    assert all(parameter.default is not inspect.Parameter.empty for parameter in parameters[1:])
    assert 20 < len(ast.get_docstring(ast.parse(inspect.getsource(module))).splitlines()[0]) < 125


def test_histogram_is_a_density():
    edges = np.linspace(0, 2, 5)
    assert histogram(np.array([0.1, 0.2, 1.9, 3.0]), edges).tolist() == [1.0, 0.0, 0.0, 0.5]
    assert middles(edges).tolist() == [0.25, 0.75, 1.25, 1.75]


def test_a_missing_row(states, water):
    with pytest.raises(BadSetting, match=r"no energy_virial_eV.*it has potential_energy_eV"):
        states(water, potential_energy_eV=1.0).row("energy_virial_eV")
    with pytest.raises(BadSetting, match="no volume_A3"):
        states(water, volume_A3=np.nan).row("volume_A3")
