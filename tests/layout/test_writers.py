"""Whatever the daemons and the protocol write into a run folder goes through protocol/atomic.py."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(f for package in ("protocol", "sim_daemon", "train_daemon") for f in (ROOT / package).rglob("*.py"))
CALLS = {  # names of functions and methods that change a file system
    *(
        "write_text",
        "write_bytes",
        "mkdir",
        "makedirs",
        "rename",
        "renames",
        "unlink",
        "remove",
        "rmdir",
        "rmtree",
        "symlink",
        "symlink_to",
    ),
    *("link", "hardlink_to", "touch", "truncate", "ftruncate", "mkstemp", "mkdtemp", "NamedTemporaryFile", "TemporaryDirectory"),
    *("copyfile", "copytree", "copy2", "save", "savez", "savetxt", "tofile", "pwrite", "fsync", "FileHandler", "dump_all"),
}
MODULES = {"os", "shutil", "tempfile", "np", "numpy", "Path", "logging"}
ELSEWHERE = {  # file -> what it does, and why that is no message, row or state
    "protocol/atomic.py": None,
    "protocol/log.py": {"FileHandler"},  # the log for people
    "train_daemon/scratch.py": {"mkstemp", "unlink", "pwrite"},  # nameless files on local scratch
    "train_daemon/publication.py": {"TemporaryDirectory"},  # a draft on local scratch
    "sim_daemon/engines/ase_bridge.py": {"rmtree", "mkdir", "write_bytes", "unlink"},  # the engine's own folder fp/
    "sim_daemon/engines/espresso.py": {"open"},  # likewise
}


def writes(tree: ast.AST) -> set[str]:
    """Names of the calls in a module that may change a file."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in ("os", "shutil", "tempfile"):
            found |= {alias.name for alias in node.names} & CALLS
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        owner = node.func.value.id if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name) else ""
        if name == "open" or (owner, name) == ("h5py", "File"):
            text = " ".join(ast.unparse(part) for part in [*node.args, *node.keywords])
            modes = {
                constant.value
                for part in ast.walk(node)
                if isinstance(constant := part, ast.Constant) and isinstance(constant.value, str)
            }
            in_memory = "backing_store=False" in text or "image" in text.split(",")[0]
            if not in_memory and any(mode and set(mode) <= set("rwaxbt+") and set(mode) & set("wax+") for mode in modes):
                found.add("open")
        elif (
            name in CALLS
            and (owner, name) != ("epoch", "write_text")
            and (name not in ("remove", "save", "link") or owner in MODULES)
        ):
            found.add(name)
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_only_atomic_writes_into_a_run_folder(file):
    allowed = ELSEWHERE.get(str(file.relative_to(ROOT)), set())
    if allowed is not None:
        extra = writes(ast.parse(file.read_text())) - allowed
        assert not extra, (
            f"{file.relative_to(ROOT)} calls {sorted(extra)}: what goes into a run folder goes through protocol/atomic.py"
        )


def test_this_test_sees_writers():
    for text in (
        "Path(x).write_text('')",
        "open(p, 'wb')",
        "shutil.copyfile(a, b)",
        "h5py.File(p, 'w')",
        "os.rename(a, b)",
        "p.open('a')",
    ):
        assert writes(ast.parse(text)), text
    assert not writes(ast.parse("h5py.File('image', 'w', driver='core', backing_store=False); open(p, 'rb'); names.remove(x)"))
