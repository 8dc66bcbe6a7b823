"""Rings whose statistics are known."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def rings():
    """The module of exact samples of harmonic rings beside this file."""
    spec = importlib.util.spec_from_file_location("harmonic_rings", Path(__file__).parent / "harmonic_rings.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
