"""Quantum ESPRESSO: real runs on two atoms of silicon, and its failures, real ones and played ones."""

import dataclasses
import os
import stat

import numpy as np
import pytest
from pydantic import ValidationError

from protocol.errors import BadSetting, EngineFailed, Exit
from sim_daemon.engines import espresso
from sim_daemon.engines.base import EngineContext, EngineCrashed, LabelFailed, NotConverged
from sim_daemon.labelling import label_with_care

SILICON = {"pseudopotentials": {"Si": "Si.pz-vbc.UPF"}, "ecutwfc_Ry": 12.0}
TWO_POINTS = {"kpts": (2, 2, 2), "koffset": (1, 1, 1)}
VERSION = "Program PWSCF v.9.9 starts\nParallel version (MPI), running on {ranks} processors"


@pytest.fixture
def play(build, tmp_path):
    """play(script) -> an espresso engine whose pw.x is that shell script; it is asked for its version first."""

    def make(script, ranks=1, command="{folder}/pw.x", printed_ranks=1, **settings):
        program = tmp_path / "pw.x"
        version = VERSION.format(ranks=printed_ranks)
        program.write_text(f'#!/bin/sh\necho "{version}"\n[ $# = 0 ] && exit 1\n{script}\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        (tmp_path / "Si.UPF").write_text("played")
        keys = {"pseudo_dir": str(tmp_path), "pseudopotentials": {"Si": "Si.UPF"}, "ecutwfc_Ry": 12.0, **settings}
        return build("espresso", ranks=ranks, command=command.replace("{folder}", str(tmp_path)), **keys)

    return make


@pytest.mark.needs_pw
def test_silicon(build, silicon):
    label = build("espresso", **SILICON, **TWO_POINTS).label(silicon)
    assert label.energy == pytest.approx(-214.85, abs=0.3)  # -15.79 Ry: LDA silicon with this pseudopotential
    assert np.abs(label.forces.sum(axis=0)).max() < 1e-3
    assert label.forces[1] @ (silicon.positions[1] - 1.3575) < 0  # back to the site
    assert np.allclose(label.stress, label.stress.T)


@pytest.mark.needs_pw
def test_stress_pulls_inwards_where_the_cell_is_too_large(build, silicon):
    engine = build("espresso", **SILICON, **TWO_POINTS)
    traces = [
        np.trace(engine.label(dataclasses.replace(silicon, positions=f * silicon.positions, cell=f * silicon.cell)).stress)
        for f in (0.92, 1.08)
    ]
    assert traces[0] < 0 < traces[1]


@pytest.mark.needs_pw
def test_a_cycle_that_is_cut_short_and_the_longer_second_rung(build, silicon):
    engine = build("espresso", **SILICON, input_data={"electrons": {"electron_maxstep": 9}})
    with pytest.raises(NotConverged, match="did not converge"):
        engine.label(silicon)
    done = label_with_care(engine, silicon, 3, None)
    assert (done.calls, done.failures) == (2, 1)
    assert done.label.energy == pytest.approx(build("espresso", **SILICON).label(silicon).energy, abs=1e-5)


@pytest.mark.needs_pw
def test_charge_reaches_pw(build, silicon):
    metal = {"system": {"occupations": "smearing", "degauss": 0.05}}
    neutral = build("espresso", **SILICON, input_data=metal).label(silicon)
    charged = build("espresso", charge=1, multiplicity=1, **SILICON, input_data=metal).label(silicon)
    assert abs(charged.energy - neutral.energy) > 1.0


@pytest.mark.needs_pw
def test_settings_that_pw_refuses_end_the_run(build, silicon):
    engine = build("espresso", **SILICON, input_data={"system": {"nonsense": 2}})
    with pytest.raises(EngineFailed, match="nonsense"):
        engine.label(silicon)


@pytest.mark.needs_pw
def test_atoms_on_top_of_each_other_are_a_failure_of_the_structure(build, silicon):
    with pytest.raises(LabelFailed, match="overlap"):
        build("espresso", **SILICON).label(dataclasses.replace(silicon, positions=np.zeros((2, 3))))


@pytest.mark.needs_pw
def test_time_outs_are_accidents_and_leave_no_process(build, silicon):
    engine = build("espresso", **SILICON, timeout_s=0.05, attempts=2)
    with pytest.raises(EngineFailed, match=r"crashed 2 times.*longer than 0\.05 s") as caught:
        label_with_care(engine, silicon, 2, None)
    assert caught.value.exit_code == Exit.ENGINE


def test_a_missing_program_or_pseudopotential_is_one_sentence(play, build, tmp_path):
    with pytest.raises(EngineFailed, match="apt-get install quantum-espresso"):
        play("", command="no-such-pw.x")
    with pytest.raises(EngineFailed, match="no pseudopotential of Si"):
        play("", pseudopotentials={"Si": "nothing.UPF"})
    with pytest.raises(EngineFailed, match="does not answer as"):
        build("espresso", command="true", pseudo_dir=str(tmp_path), pseudopotentials={"Si": "Si.UPF"}, ecutwfc_Ry=12)


def test_crashes_and_unreadable_output_are_accidents(play, silicon):
    for script, word in (
        ("echo 'Segmentation fault' >&2; exit 139", "code 139: Segmentation fault"),
        ("exit 0", "code 0"),  # no JOB DONE
        ("echo JOB DONE.", "cannot be read"),
        ("printf ' Error in routine davcio (5):\\n   error while writing\\n'; exit 1", "davcio: error while writing"),
    ):
        with pytest.raises(EngineCrashed, match=word):
            play(script).label(silicon)


def test_numerical_failures_belong_to_the_structure(play, silicon):
    with pytest.raises(LabelFailed, match="cdiaghg"):
        play("printf ' Error in routine  cdiaghg (12):\\n   S matrix not positive definite\\n'; exit 1").label(silicon)
    with pytest.raises(NotConverged):
        play("echo 'convergence NOT achieved after 100 iterations: stopping'; echo JOB DONE.").label(silicon)


def test_copies_that_do_not_know_each_other_are_refused(play, silicon):
    with pytest.raises(EngineFailed, match="1 MPI processes instead of 2"):
        play("", ranks=2, command="env R={ranks} {folder}/pw.x").label(silicon)


def test_the_launcher(play, tmp_path):
    play("")
    (tmp_path / "mpirun").write_text("")
    program = str(tmp_path / "pw.x")
    assert espresso.command_line(f"{program} -nk 2", 1) == [program, "-nk", "2"]
    assert espresso.command_line(program, 4) == [str(tmp_path / "mpirun"), "-n", "4", program]
    assert espresso.command_line(f"env -n {{ranks}} {program}", 4) == ["env", "-n", "4", program]


def test_the_second_rung_mixes_less_and_charge_and_spin_come_from_the_system(tmp_path):
    settings = espresso.Settings(**SILICON, ecutrho_Ry=60.0, input_data={"electrons": {"mixing_beta": 0.5}})
    context = EngineContext(1, 2, tmp_path, 1)
    first, second = (espresso.input_data(settings, context, rung) for rung in (0, 1))
    assert (first["electrons"]["mixing_beta"], first["electrons"]["electron_maxstep"]) == (0.5, 100)
    assert (second["electrons"]["mixing_beta"], second["electrons"]["electron_maxstep"]) == (0.2, 400)
    assert first["system"] == {
        **second["system"],
        "nosym": True,
        "tot_charge": 1,
        "nspin": 2,
        "tot_magnetization": 1,
        "ecutrho": 60.0,
    }


def test_scratch_is_empty_before_each_call(play, silicon, tmp_path):
    engine = play("ls | wc -l > ../count; touch rest")
    for _ in range(2):
        with pytest.raises(EngineCrashed):
            engine.label(silicon)
        assert (tmp_path / "scratch" / "count").read_text().strip() == "3"  # input and the two streams


def test_the_environment_of_our_ranks_does_not_reach_pw(monkeypatch):
    monkeypatch.setenv("PMI_RANK", "1")
    monkeypatch.setenv("OMPI_MCA_btl", "self")
    assert "PMI_RANK" not in espresso.clean_environment()
    assert espresso.clean_environment()["OMPI_MCA_btl"] == "self"  # a site's own choice
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    monkeypatch.setenv("OMPI_ALLOW_RUN_AS_ROOT", "1")
    assert "OMPI_MCA_btl" not in espresso.clean_environment()
    assert "OMPI_COMM_WORLD_SIZE" not in espresso.clean_environment()
    assert espresso.clean_environment()["OMPI_ALLOW_RUN_AS_ROOT"] == "1"
    assert espresso.clean_environment()["PATH"] == os.environ["PATH"]


@pytest.mark.parametrize("data", [{"system": {"tot_charge": 1}}, {"control": {"Outdir": "/tmp"}}, {"ions": {}}])
def test_keys_that_the_engine_sets_are_refused(data):
    with pytest.raises(ValidationError):
        espresso.Settings(**SILICON, input_data=data)


def test_the_pseudopotentials_bytes_are_in_the_fingerprint_and_their_folder_is_not(play, tmp_path):
    first = play("").fingerprint
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "Renamed.UPF").write_text("played")
    assert play("", pseudo_dir=str(tmp_path / "other"), pseudopotentials={"Si": "Renamed.UPF"}).fingerprint == first
    (tmp_path / "other" / "Renamed.UPF").write_text("another")
    assert play("", pseudo_dir=str(tmp_path / "other"), pseudopotentials={"Si": "Renamed.UPF"}).fingerprint != first


def test_what_it_cannot_do_is_said(play, silicon, water):
    with pytest.raises(BadSetting, match="three directions"):
        play("").label(water)
    with pytest.raises(BadSetting, match="Ge"):
        play("").label(dataclasses.replace(silicon, numbers=np.array([14, 32])))
