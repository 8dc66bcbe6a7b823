import pytest

from protocol import ownership
from protocol.errors import EnvironmentFailed


def test_ours():
    ownership.check()


def test_a_stranger_owns_a_name(monkeypatch):
    monkeypatch.setattr(ownership, "packages_distributions", lambda: {"kernels": ["renkei", "kernels"], "protocol": ["renkei"]})
    with pytest.raises(EnvironmentFailed, match="belongs to kernels"):
        ownership.check()


def test_a_stranger_shadows_a_name(monkeypatch, tmp_path):
    real = ownership.find_spec

    class Spec:
        origin = str(tmp_path / "kernels" / "__init__.py")

    monkeypatch.setattr(ownership, "find_spec", lambda name: Spec if name == "kernels" else real(name))
    with pytest.raises(EnvironmentFailed, match="import kernels"):
        ownership.check()
    monkeypatch.setattr(ownership, "find_spec", lambda name: None)
    with pytest.raises(EnvironmentFailed, match="nothing"):
        ownership.check()
