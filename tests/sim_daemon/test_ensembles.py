"""Constant pressure in the YAML: what is asked of keys, structure and engine, each with one sentence."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from protocol import settings
from protocol.errors import BadSetting
from protocol.records import Label
from sim_daemon.assemble import make_adapter
from sim_daemon.engines import base as engines
from sim_daemon.ensembles import Npt, Nvt, check_stress
from sim_daemon.samplers import base as samplers
from sim_daemon.system import read_system

LATTICE = "{} 0 0 0 {} 0 0 0 {}"
CUBE = "4 0 0 0 4 0 0 0 4"


def read(tmp_path, ensemble, lattice=CUBE, pbc="T T T", sampler="sl_pihmc"):
    (tmp_path / "x.xyz").write_text(f'1\nLattice="{lattice}" Properties=species:S:1:pos:R:3 pbc="{pbc}"\nAr 0 0 0\n')
    (tmp_path / "run.yaml").write_text(
        "system: {structure: x.xyz}\nengine: {name: lennard_jones, epsilon_eV: 0.01, sigma_A: 3.4}\n"
        f"sampler: {{name: {sampler}, beads: 1, ensemble: {{{ensemble}}}}}\n"
    )
    config = settings.load(Path(tmp_path), {"engine": engines.load, "sampler": samplers.load})
    return config, read_system(config)


NPT = "name: npt, temperature_K: 60, pressure_GPa: 0.1"


def test_both_ensembles_are_read(tmp_path):
    assert isinstance(read(tmp_path, "temperature_K: 60")[0].science.sampler.ensemble, Nvt)
    found = read(tmp_path, NPT + ", cell: full")[0].science.sampler.ensemble
    assert isinstance(found, Npt)
    assert (found.cell, found.barostat, found.cell_step) == ("full", "moves", "auto")


@pytest.mark.parametrize(
    ("ensemble", "structure", "sentence"),
    [
        (NPT.replace("npt", "npH"), {}, "name must be nvt or npt, got 'npH'"),
        ("name: npt, temperature_K: 60", {}, r"sampler\.ensemble\.pressure_GPa: is missing"),
        (NPT + ", cel: full", {}, r"sampler\.ensemble\.cel: unknown key; did you mean cell\?"),
        ("temperature_K: 60, pressure_GPa: 0.1", {}, "pressure_GPa belongs to constant pressure: write name: npt"),
        (NPT + ", barostat: extended, cell: full", {}, "extended moves an isotropic cell"),
        (NPT, {"pbc": "T T F"}, "needs a cell that is periodic in all three directions"),
        (NPT + ", cell: orthorhombic", {"lattice": "4 0 0 1 4 0 0 0 4"}, "cell vectors along x, y and z"),
        (NPT + ", cell: full", {"lattice": LATTICE.format(2, 4, 12)}, "differ by a factor of 6, above 5"),
        (NPT + ", cell: full", {"lattice": "4 0 0 4 2 0 0 0 4"}, "a cosine of 0.894, above 0.75"),
    ],
)
def test_one_sentence_for_what_cannot_be(tmp_path, ensemble, structure, sentence):
    with pytest.raises(BadSetting, match=sentence) as caught:
        read(tmp_path, ensemble, **structure)
    assert "\n" not in str(caught.value)


def test_first_principles_that_move_the_volume_need_a_stress():
    label = Label(None, 0.0, np.zeros((1, 3)), None, 0, 1, "")
    ensemble = Npt(name="npt", temperature_K=60, pressure_GPa=0.1, barostat="extended")
    with pytest.raises(BadSetting, match="needs the stress of first principles"):
        check_stress(SimpleNamespace(name="pihmc", ensemble=ensemble), label, "run.yaml")
    check_stress(SimpleNamespace(name="sl_pihmc", ensemble=ensemble), label, "run.yaml")  # the surrogate's is used
    moves = ensemble.model_copy(update={"barostat": "moves"})
    check_stress(SimpleNamespace(name="pihmc", ensemble=moves), label, "run.yaml")


def test_the_cells_step_is_tuned_given_or_none(tmp_path):
    for keys, step in ((NPT, None), (NPT + ", cell_step: 0.02", 0.02), (NPT + ", barostat: extended", 0.0)):
        config, system = read(tmp_path, keys)
        adapter = make_adapter(config.science.sampler, system)
        assert adapter.cell_step() == (step if step is not None else pytest.approx(0.1 / np.sqrt(2)))
    config, system = read(tmp_path, "temperature_K: 60")
    assert make_adapter(config.science.sampler, system).cell_step() == 0.0
