"""What leaves: a potential in the files of other codes, and the labels of a run as extended xyz."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from ase.data import atomic_masses, chemical_symbols

from kernels.potentials import bpnn
from protocol import atomic, names
from protocol.errors import BadSetting
from renkei import artefact
from renkei.artefact import Artefact
from renkei.labels import xyz as predicted_xyz
from renkei.run_data import RunData

SNIPPET, LABELS, README = "in.potential", "labels.extxyz", "README.md"
ASE_README = """\
# A potential for ASE

{about}. Energies in eV, forces in eV/Å, stress in eV/Å³. It needs renkei, but no torch.

```python
from renkei import Potential

atoms.calc = Potential("{folder}")
print(atoms.get_potential_energy(), atoms.get_forces())
```
"""
LAMMPS_SNIPPET = """\
# {about}, for LAMMPS with
# the pair style aenet of https://github.com/HidekiMori-CIT/aenet-lammps, built with aenet 2.0.4 (older ones have other angular
# functions). LAMMPS must find {files} in the folder where it runs.
#
# At the head of the input, before the box is made:
#   units metal           (eV, Angstrom)
#   newton on             (the pair style needs it)
# After the box and the atoms are made, with the atom types {types}:  include {snippet}

{masses}
pair_style aenet
pair_coeff * * v00 {symbols} nn {symbols}
neighbor 2.0 bin          # beyond the {cutoff:g} Angstrom that the potential reaches

# With the pair style of https://github.com/atomisticnet/aenet-lammps instead of the two lines above:
#   pair_style aenet {files}
#   pair_coeff * *
# The .nn files are those of gfortran on a little-endian machine; nnASCII2bin.x of aenet-PyTorch makes others of .nn.ascii.
"""


def ase(source: Path, into: Path) -> list[str]:
    """The artefact's folder as it is, with three lines of Python beside it; returns the names of what was written."""
    found = artefact.find(source)
    target = into / artefact.POTENTIAL
    atomic.make_folder(target)
    for name in (*found.card.files, names.CARD):
        shutil.copyfile(found.folder / name, target / name)
    text = ASE_README.format(about=_about(found), folder=artefact.POTENTIAL)
    atomic.replace_bytes(into / README, text.encode())
    return [f"{artefact.POTENTIAL}/", README]


def aenet(source: Path, into: Path) -> list[str]:
    """SYMBOL.nn.ascii of each species; returns their names.  Raises BadSetting for a model that aenet cannot express."""
    found = artefact.find(source)
    _write_aenet(found, into, binary=False)
    return [f"{symbol}.nn.ascii" for symbol in _symbols(found)]


def lammps(source: Path, into: Path) -> list[str]:
    """The files of aenet, as text and as LAMMPS reads them, and a commented piece of input; returns their names."""
    found = artefact.find(source)
    _write_aenet(found, into, binary=False)
    _write_aenet(found, into, binary=True)
    symbols = _symbols(found)
    files = [f"{symbol}.nn" for symbol in symbols]
    text = LAMMPS_SNIPPET.format(
        about=_about(found),
        snippet=SNIPPET,
        types=", ".join(f"{k} {symbol}" for k, symbol in enumerate(symbols, start=1)),
        masses="\n".join(f"mass {k} {atomic_masses[z]:.6g}" for k, z in enumerate(found.card.species, start=1)),
        symbols=" ".join(symbols),
        files=" ".join(files),
        cutoff=found.card.cutoff_A,
    )
    atomic.replace_bytes(into / SNIPPET, text.encode())
    return [*(f"{symbol}.nn.ascii" for symbol in symbols), *files, SNIPPET]


def extxyz(source: Path, into: Path) -> list[str]:
    """All labels of a run, their origins in `info`; returns the name of the file with their number. BadSetting without any."""
    run = RunData(source)
    labels = [atoms for name in run.simulators for atoms in run.labels(name)]
    if not labels:
        raise BadSetting("there is no label in it yet", str(source), "give a run that has sampled")
    return [f"{LABELS} ({predicted_xyz.write_atoms(into / LABELS, labels)} structures)"]


KINDS: dict[str, Callable[[Path, Path], list[str]]] = {"aenet": aenet, "ase": ase, "extxyz": extxyz, "lammps": lammps}


def _write_aenet(found: Artefact, into: Path, binary: bool) -> None:
    if found.card.format != "bpnn":
        raise BadSetting(f"a potential of the format {found.card.format} has no files of aenet", str(found.folder))
    model = bpnn.read(found.folder)
    if model.charges is not None:
        raise BadSetting(
            "aenet's files cannot express a model with charges",
            str(found.folder),
            "train one with --set learner.charges=none, or export --to ase",
        )
    if model.descriptor.family != "species_weighted":
        raise BadSetting(
            "aenet's files cannot express a species-resolved model",
            str(found.folder),
            "train one with --set learner.family=species_weighted, or export --to ase",
        )
    try:
        import_module("kernels.potentials.aenet").write(into, model, binary=binary)
    except ModuleNotFoundError as error:
        raise BadSetting("this installation cannot write aenet's files", str(found.folder)) from error
    except ValueError as error:
        raise BadSetting(str(error), str(found.folder)) from error


def _symbols(found: Artefact) -> list[str]:
    return [chemical_symbols[z] for z in found.card.species]


def _about(found: Artefact) -> str:
    return f"A potential of {', '.join(_symbols(found))}, made by renkei (generation {found.card.generation})"
