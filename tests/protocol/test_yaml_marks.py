"""Edits of YAML text keep comments and layout."""

import pytest

from protocol import yaml_marks

TEXT = """\
# head
system:
  structure: a/b.xyz   # where
  restraint: {radius_A: 5.0, k_eV_per_A2: 1.0}

sampler:  # rings
  beads: 16
  hidden:
    - 1
    - 2
# foot
seed: 1
"""


@pytest.mark.parametrize(
    ("keys", "new", "line"),
    [
        (("system", "structure"), "b.xyz", "  structure: b.xyz   # where"),
        (("system", "restraint", "radius_A"), 6.5, "  restraint: {radius_A: 6.5, k_eV_per_A2: 1.0}"),
        (("system", "restraint"), None, "  restraint: null"),
        (("system", "restraint", "more"), [1, 2], "  restraint: {more: [1, 2], radius_A: 5.0, k_eV_per_A2: 1.0}"),
        (("sampler", "beads"), 8, "  beads: 8"),
        (("sampler", "ensemble", "temperature_K"), 300, "  ensemble: {temperature_K: 300}"),
        (("sampler", "hidden"), [3], "    [3]"),
        (("seed",), 2, "seed: 2"),
        (("phases", "adapt"), {"max_steps": 3}, "phases: {adapt: {max_steps: 3}}"),
    ],
)
def test_edit_sets_one_key_and_keeps_the_rest(keys, new, line):
    edited = yaml_marks.edit(TEXT, keys, new)
    data = yaml_marks.parse(edited, "x").data
    for key in keys:
        data = data[key]
    assert data == new
    assert line in edited.splitlines()
    assert "# head" in edited
    assert "# foot" in edited
    assert "# rings" in edited


def test_edit_of_an_empty_value_and_of_an_empty_file():
    assert yaml_marks.edit("seed:\nx: 1\n", ("seed",), 3) == "seed: 3\nx: 1\n"
    assert yaml_marks.edit("# only a comment\n", ("simulator", "ranks"), 3) == "# only a comment\nsimulator: {ranks: 3}\n"


def test_lines_of_keys_and_items():
    document = yaml_marks.parse(TEXT, "x.yaml")
    assert document.where(("sampler", "hidden", 1)) == "x.yaml:10"
    assert document.where(("sampler", "hidden", 1, "deeper")) == "x.yaml:10"
    assert document.where(("nowhere",)) == "x.yaml:1"
