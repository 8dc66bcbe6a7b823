"""A simulator that does not fit the others of its run is told why in one sentence, before it labels anything."""

import numpy as np
import pytest

from protocol.errors import WrongPeer
from protocol.settings import resolved
from protocol.store import Store
from sim_daemon import company
from sim_daemon.assemble import load_config
from sim_daemon.system import read_system

RUN = """
system: {structure: wet.xyz, restraint: {radius_A: 4.0, k_eV_per_A2: 1.0}}
engine: {name: tblite, method: GFN2-xTB}
sampler: {name: sl_pihmc, ensemble: {name: nvt, temperature_K: 300}, beads: 4}
simulators:
  wet: {}
  hot: {sampler: {ensemble: {temperature_K: 400}}}
  dry: {system: {structure: dry.xyz}}
"""
WET = "3\n\nO 0 0 0\nH 0.96 0 0\nH -0.24 0.93 0\n"


@pytest.fixture
def run(tmp_path):
    (tmp_path / "run.yaml").write_text(RUN)
    (tmp_path / "wet.xyz").write_text(WET)
    (tmp_path / "dry.xyz").write_text("2\n\nH 0 0 0\nH 0.74 0 0\n")
    return tmp_path


def joined(run, name):
    config = load_config(run, name)
    return company.join(run, Store(run), name, config, read_system(config))


def signed(run, name, elements, fingerprint="a", charge=0):
    """A simulator that has started and ended."""
    epoch = Store(run).claim(f"sim/{name}")
    epoch.write_text("run.resolved.yaml", resolved(load_config(run, name)))
    system = {"elements": elements, "charge": charge, "multiplicity": 1}
    epoch.journal.append({"event": "start", "versions": {"engine": fingerprint}, "system": system}, durable=True)
    epoch.close()


def edit(run, old, new):
    text = (run / "run.yaml").read_text()
    assert old in text
    (run / "run.yaml").write_text(text.replace(old, new))


def test_the_first_start_names_the_elements_of_all_and_later_ones_repeat_them(run):
    assert joined(run, "dry") == [1, 8]
    signed(run, "dry", [1, 8])
    edit(run, "  dry:", "  salty: {system: {structure: salty.xyz}}\n  dry:")
    (run / "salty.xyz").write_text("2\n\nNa 0 0 0\nCl 2.4 0 0\n")
    assert joined(run, "wet") == joined(run, "dry") == [1, 8]
    with pytest.raises(WrongPeer, match=r"simulator salty has Na, Cl, but since its first start this run learns H, O alone"):
        joined(run, "salty")


def test_another_engine_is_named_by_its_key(run):
    signed(run, "wet", [1, 8])
    assert joined(run, "hot") == [1, 8]
    edit(run, "GFN2", "GFN1")
    with pytest.raises(WrongPeer, match=r"simulator hot has another engine\.method than simulator wet of this run") as told:
        joined(run, "hot")
    assert "\n" not in str(told.value)
    edit(run, "GFN1", "GFN2")
    edit(run, "GFN2-xTB", "GFN2-xTB, timeout_s: 60")
    assert joined(run, "hot") == [1, 8], "no number of a label depends on it"


def test_another_charge(run):
    signed(run, "wet", [1, 8], charge=1)
    with pytest.raises(WrongPeer, match=r"charge 0, multiplicity 1, but simulator wet of this run has \(1, 1\)"):
        joined(run, "hot")


def test_another_version_of_the_engine(run):
    signed(run, "wet", [1, 8], fingerprint="a")
    company.check_engine(Store(run), "hot", "a")
    company.check_engine(Store(run), "wet", "b")
    with pytest.raises(WrongPeer, match="another version"):
        company.check_engine(Store(run), "hot", "b")


def test_a_run_of_an_earlier_version_says_nothing(run):
    epoch = Store(run).claim("sim/wet")
    epoch.journal.append({"event": "start", "versions": {"engine": "a"}}, durable=True)
    epoch.close()
    company.check_engine(Store(run), "hot", "b")
    assert np.array_equal(joined(run, "hot"), [1, 8])
