"""The rule of the three floors, and where heavy libraries may be imported."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLOOR = {"kernels": 0, "protocol": 0, "sim_daemon": 1, "train_daemon": 1, "renkei": 2}
FILES = sorted(f for package in FLOOR for f in (ROOT / package).rglob("*.py"))
PLUGIN_FOLDERS = {
    "sim_daemon/engines": {"base", "ase_bridge", "potential_bridge"},
    "sim_daemon/samplers": {"base"},
    "train_daemon/learners": {"base"},
    "protocol/channels": {"base"},
}
HEAVY = {"torch", "triton", "mpi4py", "pyscf", "watchdog", "matplotlib", "tblite"}
GPU_FILES = {  # of kernels, with torch and triton at their heads; imported by one another and by the trainer alone
    "kernels/descriptors/triton_gpu.py": {"torch", "triton"},
    "kernels/descriptors/triton_loops.py": {"triton"},
    "kernels/descriptors/triton_pull.py": {"triton"},
    "kernels/neighbors/torch_device.py": {"torch"},
    "kernels/device_md.py": {"torch"},
}


def imports(tree: ast.AST) -> list[str]:
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names.append(node.module or "")
            names += [f"{node.module}.{a.name}" for a in node.names]
    return names


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_an_import_goes_to_the_same_package_or_a_lower_floor(file):
    own = file.relative_to(ROOT).parts[0]
    for name in imports(ast.parse(file.read_text())):
        package = name.split(".")[0]
        if package in FLOOR and package != own:
            assert FLOOR[package] < FLOOR[own], f"{name_of(file)} imports {name}"


@pytest.mark.parametrize("file", [f for f in FILES if str(f.relative_to(ROOT).parent) in PLUGIN_FOLDERS], ids=name_of)
def test_a_plug_in_imports_no_sibling(file):
    folder = str(file.relative_to(ROOT).parent)
    prefix = folder.replace("/", ".") + "."
    for name in imports(ast.parse(file.read_text())):
        if name.startswith(prefix):
            assert name.removeprefix(prefix).split(".")[0] in PLUGIN_FOLDERS[folder], f"{name_of(file)} imports {name}"


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_heavy_libraries_are_not_imported_by_the_login_node(file):
    """At module level only where nobody comes without need: the trainer's own files may import torch."""
    allowed = {"torch"} if file.relative_to(ROOT).parts[0] == "train_daemon" else set()
    if name_of(file) in ("renkei/canvas.py", "renkei/figures.py"):  # imported by the report alone
        allowed = {"matplotlib"}
    allowed = GPU_FILES.get(name_of(file), allowed)
    top = ast.Module([n for n in ast.parse(file.read_text()).body if isinstance(n, ast.Import | ast.ImportFrom)], [])
    found = {name.split(".")[0] for name in imports(top)} & (HEAVY - allowed)
    assert not found, f"{name_of(file)} imports {found} at its head"


def test_the_simulator_never_imports_torch():
    for file in FILES:
        if file.relative_to(ROOT).parts[0] != "train_daemon" and name_of(file) not in GPU_FILES:
            names = imports(ast.parse(file.read_text()))
            assert not any(n.split(".")[0] in ("torch", "triton") for n in names), name_of(file)
            assert not any(f"{n.replace('.', '/')}.py" in GPU_FILES for n in names), name_of(file)


def test_the_trainer_starts_without_triton():
    """What needs triton is imported at the head of no file of the trainer but the one that is imported when it is wanted."""
    wanting = {"train_daemon/triton_maps.py"}
    assert "kernels.descriptors.triton_gpu" in imports(ast.parse((ROOT / next(iter(wanting))).read_text()))
    modules = {file.removesuffix(".py").replace("/", ".") for file in {*GPU_FILES, *wanting}}
    for file in FILES:
        if name_of(file) not in {*GPU_FILES, *wanting}:
            top = [n for n in ast.parse(file.read_text()).body if isinstance(n, ast.Import | ast.ImportFrom)]
            assert not modules & set(imports(ast.Module(top, []))), name_of(file)


@pytest.mark.parametrize("file", [f for f in FILES if f.name == "__init__.py"], ids=name_of)
def test_an_init_holds_a_docstring_and_nothing_else(file):
    body = ast.parse(file.read_text()).body
    assert isinstance(body[0], ast.Expr)
    if file.parent.name != "renkei":
        assert len(body) == 1
