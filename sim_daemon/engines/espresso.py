"""Quantum ESPRESSO's pw.x by files: one run for every label, in a folder emptied before it. Periodic cells.

Energies read from files and from a socket differ by 1e-7 relative (two sets of constants in ASE), so there is no socket mode.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field, field_validator

from protocol.errors import BadSetting, EngineFailed
from protocol.records import Label, Structure
from sim_daemon.engines import ase_bridge as bridge
from sim_daemon.engines.base import Engine, EngineContext, EngineCrashed, EngineSettings, LabelFailed, NotConverged

INSTALL = "apt-get install quantum-espresso quantum-espresso-data, conda install -c conda-forge qe, or load your site's module"
RESERVED = {"calculation", "outdir", "prefix", "pseudo_dir", "disk_io", "tprnfor", "tstress", "wf_collect", "restart_mode"} | {
    "ecutwfc", "ecutrho", "conv_thr", "tot_charge", "tot_magnetization", "ibrav", "nat", "ntyp"
}  # fmt: skip
MPI_MARKS = ("PMIX_", "PMI_", "MPIR_", "HYDI_", "HYDRA_")  # variables by which a launcher's ranks know their job
OPEN_MPI_MARKS = ("OMPI_", "OPAL_", "PRTE_")
START_LIMIT_S = 120.0  # for pw.x to say its version
SETUP_ROUTINES = "read_namelists|read_cards|readpp|read_upf|iosys|setup|input|card_|namelist|get_file_name"
NUMERICS_ROUTINES = "c_bands|diag|electrons|efermi|cholesky|mix_rho|sum_band|wfcinit|scale_h|potinit|ortho|check_atoms"
LONGER, GENTLER = 4, 0.4  # second rung: so many times the cycles, so much of the mixing


class Settings(EngineSettings):
    """Engine `espresso`."""

    name: str = "espresso"
    command: str = "pw.x"  # with several ranks per engine: prefixed by `mpirun -n RANKS`, unless it says {ranks} itself
    pseudo_dir: str = "/usr/share/espresso/pseudo"  # folder of the pseudopotentials
    pseudopotentials: dict[str, str] = Field(min_length=1)  # element -> file in pseudo_dir
    kpts: tuple[int, int, int] | None = None  # Monkhorst-Pack grid; null: the Gamma point alone
    koffset: tuple[int, int, int] = (0, 0, 0)  # of the grid, in half steps
    ecutwfc_Ry: float = Field(gt=0)  # cut-off of the wave functions
    ecutrho_Ry: float | None = Field(None, gt=0)  # of the density; null: 4 x ecutwfc_Ry (ultrasoft and PAW want more)
    conv_thr_Ry: float = Field(1e-8, gt=0, le=1e-4)  # of the energy; the accept step feels its noise times beta
    input_data: dict[str, dict[str, bool | int | float | str]] = {}  # further keys of pw.x, by namelist: {system: {nspin: 2}}

    @field_validator("input_data")
    @classmethod
    def _free_keys(cls, given: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for namelist, keys in given.items():
            if namelist not in ("control", "system", "electrons"):
                raise ValueError(f"namelist must be control, system or electrons, got {namelist!r}")
            for key in keys:
                if key.lower() in RESERVED:
                    raise ValueError(f"{namelist}.{key} is set by the engine itself (from other keys, or from system.charge)")
        return given


class Result(NamedTuple):
    """A finished run of pw.x."""

    code: int
    output: str


def build(settings: Settings, context: EngineContext) -> Engine:
    """The engine; raises EngineFailed if pw.x or a pseudopotential is missing."""
    bridge.serial_ase()
    argv = command_line(settings.command, context.ranks)
    folder = Path(settings.pseudo_dir).expanduser()
    digests = {element: _pseudopotential(folder / name, element) for element, name in sorted(settings.pseudopotentials.items())}
    return Espresso(settings, context, argv, digests)


def command_line(command: str, ranks: int) -> list[str]:
    """The words that start pw.x on `ranks` ranks; EngineFailed if a program is not there."""
    words = shlex.split(command.format(ranks=ranks))
    found = [shutil.which(word) for word in words if word.endswith("pw.x")] or [shutil.which(words[0])]
    if found[0] is None:
        raise EngineFailed(f"engine espresso cannot find the program of `{command}`", "engine.command", f"install it: {INSTALL}")
    if ranks == 1 or "{ranks}" in command:
        return words
    beside = Path(found[0]).parent / "mpirun"  # an mpirun of another MPI would start RANKS lonely copies
    return [str(beside) if beside.is_file() else "mpirun", "-n", str(ranks), *words]


def _pseudopotential(path: Path, element: str) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        what = f"no pseudopotential of {element}: {path} cannot be read"
        raise EngineFailed(
            what, "engine.pseudopotentials", "set engine.pseudo_dir, or install it: apt-get install quantum-espresso-data"
        ) from error


class Espresso:
    """One run of pw.x for every label; no density and no wave function outlives it."""

    rungs = 2

    def __init__(self, settings: Settings, context: EngineContext, argv: list[str], digests: Mapping[str, str]) -> None:
        self._settings, self._context, self._argv = settings, context, argv
        self._folder = context.scratch / "espresso"
        self.fingerprint = bridge.fingerprint(
            settings.model_copy(update={"command": "", "pseudo_dir": "", "pseudopotentials": {}}),
            context,
            self._version(),
            pseudopotentials=digests,
        )

    def label(self, structure: Structure, rung: int = 0) -> Label:
        """As Engine.label; eV, eV/A, eV/A^3. BadSetting for a cell that is not periodic in three directions."""
        if not structure.pbc.all():
            raise BadSetting(
                "engine espresso needs a cell periodic in three directions", "system.structure", "put the molecule in a box"
            )
        bridge.empty_folder(self._folder)
        self._write(structure, rung)
        result = self._run([*self._argv, "-in", "espresso.pwi"], self._settings.timeout_s)
        self._judge(result)
        energy, forces, stress = self._read()
        return bridge.checked_label(structure, energy, forces, stress, self._context, self.fingerprint)

    def _write(self, structure: Structure, rung: int) -> None:
        from ase.calculators.espresso import EspressoProfile, EspressoTemplate

        settings = self._settings
        missing = {str(s) for s in bridge.to_atoms(structure).symbols} - settings.pseudopotentials.keys()
        if missing:
            raise BadSetting(f"no pseudopotential is named for {', '.join(sorted(missing))}", "engine.pseudopotentials")
        profile = EspressoProfile("pw.x", Path(settings.pseudo_dir).expanduser().resolve())
        parameters = {
            "pseudopotentials": dict(settings.pseudopotentials),
            "kpts": settings.kpts,
            "koffset": settings.koffset,
            "input_data": input_data(settings, self._context, rung),
        }
        try:
            EspressoTemplate().write_input(profile, self._folder, bridge.to_atoms(structure), parameters, ["energy", "forces"])
        except OSError as error:
            bridge.check_disk(self._folder)
            raise EngineCrashed(f"the input of pw.x cannot be written: {error.strerror}", str(self._folder)) from error

    def _run(self, argv: list[str], limit_s: float) -> Result:
        """Run pw.x to its end; its whole process group is gone afterwards."""
        output = self._folder / "espresso.pwo"
        with open(output, "wb") as out, open(self._folder / "espresso.err", "wb") as err:
            streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": err}
            process = subprocess.Popen(argv, cwd=self._folder, env=clean_environment(), start_new_session=True, **streams)
            try:
                code = process.wait(limit_s)
            except subprocess.TimeoutExpired as error:
                what = f"pw.x took longer than {limit_s:g} s"
                raise EngineCrashed(what, str(output), "raise engine.timeout_s if that is normal") from error
            finally:
                end_group(process)
        return Result(code, output.read_text(errors="replace"))

    def _judge(self, result: Result) -> None:
        """Raise what the output says: NotConverged, LabelFailed, EngineFailed or EngineCrashed."""
        where = str(self._folder / "espresso.pwo")
        ranks = re.search(r"Number of MPI processes:\s+(\d+)|running on\s+(\d+) processors", result.output)
        if ranks and int(ranks.group(1) or ranks.group(2)) != self._context.ranks:
            what = f"pw.x ran on {ranks.group(1) or ranks.group(2)} MPI processes instead of {self._context.ranks}"
            raise EngineFailed(
                what, "engine.command", "name the launcher of the MPI that pw.x was built with: 'srun -n {ranks} pw.x'"
            )
        if "convergence NOT achieved" in result.output:
            raise NotConverged(
                "pw.x: the self-consistent cycle did not converge", where, "raise input_data.electrons.electron_maxstep"
            )
        error = re.search(r"Error in routine\s+(\S+)\s*\(.*?\):\s*\n\s*(.+)", result.output)
        if error:
            said = f"pw.x stopped in {error.group(1)}: {error.group(2).strip()}"
            if re.search(SETUP_ROUTINES, error.group(1)):
                raise EngineFailed(said, where, "correct the engine's settings")
            if re.search(NUMERICS_ROUTINES, error.group(1)):
                raise LabelFailed(said, where)
            raise EngineCrashed(said, where)
        if result.code or "JOB DONE" not in result.output:
            bridge.check_disk(self._folder)
            raise EngineCrashed(f"pw.x ended with code {result.code}: {self._last_error()}", where)

    def _last_error(self) -> str:
        lines = (self._folder / "espresso.err").read_text(errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if any(map(str.isalpha, line))), "no message")

    def _read(self) -> tuple[float, Any, Any]:
        from ase.calculators.espresso import EspressoTemplate

        try:
            results = EspressoTemplate().read_results(self._folder)
            return bridge.result_energy(results), results["forces"], bridge.stress_matrix(results["stress"])
        except (OSError, ValueError, LookupError, AttributeError, AssertionError, StopIteration) as error:
            raise EngineCrashed(f"the output of pw.x cannot be read: {error}", str(self._folder / "espresso.pwo")) from error

    def _version(self) -> str:
        """What pw.x calls itself, on one rank; it says so before it finds that there is no input."""
        bridge.empty_folder(self._folder)
        argv = next(([word] for word in self._argv if word.endswith("pw.x")), self._argv)
        try:
            output = self._run(argv, START_LIMIT_S).output
        except (OSError, EngineCrashed) as error:
            raise EngineFailed(f"{argv[0]} cannot be started: {error}", "engine.command", f"install it: {INSTALL}") from error
        version = re.search(r"Program PWSCF\s+v\.?\s*(\S+)", output)
        if version is None:
            what = f"`{shlex.join(argv)}` does not answer as pw.x: {self._last_error()}"
            raise EngineFailed(what, "engine.command", "try the command by hand")
        return version.group(1)


def input_data(settings: Settings, context: EngineContext, rung: int) -> dict[str, dict[str, Any]]:
    """The namelists of pw.x for one rung of the retry ladder."""
    given = {name: dict(settings.input_data.get(name, {})) for name in ("control", "system", "electrons")}
    control = {"calculation": "scf", "tprnfor": True, "tstress": True, "outdir": "./", "disk_io": "none"}
    # symmetry that comes and goes with the structure would make the energy step
    system: dict[str, Any] = {"nosym": True, **given["system"], "ecutwfc": settings.ecutwfc_Ry, "tot_charge": context.charge}
    if settings.ecutrho_Ry is not None:
        system["ecutrho"] = settings.ecutrho_Ry
    if context.multiplicity > 1:
        system["nspin"] = 2
    if system.get("nspin") == 2 and (context.multiplicity > 1 or system.get("occupations", "fixed") == "fixed"):
        system["tot_magnetization"] = context.multiplicity - 1
    electrons: dict[str, Any] = {
        "electron_maxstep": 100,
        "mixing_beta": 0.7,
        **given["electrons"],
        "conv_thr": settings.conv_thr_Ry,
    }
    if rung:
        electrons["electron_maxstep"] = LONGER * int(electrons["electron_maxstep"])
        electrons["mixing_beta"] = GENTLER * float(electrons["mixing_beta"])
    return {"control": {**given["control"], **control}, "system": system, "electrons": electrons}


def clean_environment() -> dict[str, str]:
    """Our environment without the traces of the MPI that runs our own ranks, which would confuse another program's MPI."""
    marks = MPI_MARKS + (OPEN_MPI_MARKS if "OMPI_COMM_WORLD_SIZE" in os.environ else ())
    kept = {k: v for k, v in os.environ.items() if not k.startswith(marks) or k.startswith("OMPI_ALLOW_RUN_AS_ROOT")}
    if "LD_LIBRARY_PATH" in kept:  # Open MPI from PyPI puts its own libraries first
        paths = [path for path in kept["LD_LIBRARY_PATH"].split(os.pathsep) if not path.startswith(sys.prefix)]
        kept["LD_LIBRARY_PATH"] = os.pathsep.join(paths)
    kept.setdefault("OMP_NUM_THREADS", "1")
    return kept


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End what is left of a process that leads its own group: asked first, since only a living mpirun ends its ranks."""
    for number, patience_s in ((signal.SIGTERM, 10.0), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, number)
            process.wait(patience_s)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
