"""Files of aenet, text and binary: what is in them, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from kernels import aenet_file
from kernels.aenet_file import AenetFile

FIELDS = ("sizes", "activations", "species", "environment", "types", "energy_scale", "energy_shift_eV")
ARRAYS = ("weights", "average", "second_moment", "atomic_energies_eV")


def example(**changes):
    """Oxygen in TiO2 with 12 features and numbers of every size."""
    rng = np.random.default_rng(5)
    file = AenetFile(
        sizes=(12, 3, 2, 1),
        activations=(1, 1, 0),
        weights=rng.normal(size=50) * 10.0 ** rng.integers(-120, 20, 50),
        species="O",
        environment=("Ti", "O"),
        radial_order=3,
        radial_cutoff_A=6.5,
        angular_order=1,
        angular_cutoff_A=5.0,
        average=rng.normal(size=12),
        second_moment=rng.uniform(2, 3, 12),
        energy_scale=1.2738,
        energy_shift_eV=-7.7862,
        types=("O", "Ti"),
        atomic_energies_eV=np.array([-432.5, -1604.6]),
    )
    return replace(file, **changes)


def same(one, other):
    assert [getattr(one, name) for name in FIELDS] == [getattr(other, name) for name in FIELDS]
    assert all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ARRAYS)
    orders = [(file.radial_order, file.radial_cutoff_A, file.angular_order, file.angular_cutoff_A) for file in (one, other)]
    assert orders[0] == orders[1]


@pytest.mark.parametrize("name", ["O.nn.ascii", "O.nn"])
@pytest.mark.parametrize("environment", [("O",), ("Ti", "O"), ("H", "Ti", "O")])
def test_every_bit_survives_writing_and_reading(tmp_path, name, environment):
    rng = np.random.default_rng(1)
    features = 6 * (1 + (len(environment) > 1))
    weights = rng.normal(size=(features + 1) * 3 + 12)
    arrays = {"average": rng.normal(size=features), "second_moment": rng.uniform(2, 3, features)}
    changes = {"sizes": (features, 3, 2, 1), "weights": weights[: (features + 1) * 3 + 8 + 3], "environment": environment}
    for file in (example(), example(**changes, **arrays)):
        aenet_file.write(tmp_path / name, file)
        same(aenet_file.read(tmp_path / name), file)


def test_atomic_energy_is_that_of_the_files_own_species():
    assert example().atomic_energy_eV == -432.5
    assert example(species="Ti").atomic_energy_eV == -1604.6


def test_text_fits_the_fixed_formats_of_aenet(tmp_path):
    """(4(1x,I17)) and (4(1x,ES24.17)); an exponent of three digits takes the place of the E."""
    aenet_file.write(tmp_path / "O.nn.ascii", example(weights=np.array([1e-103, -2.5, *[0.1] * 48])))
    lines = (tmp_path / "O.nn.ascii").read_text().split("\n")
    assert lines[4] == "".join(f" {n:17d}" for n in (12, 3, 2, 1))
    assert lines[8][:50] == "  9.99999999999999958-104 -2.50000000000000000E+00"
    assert len(lines[8]) == 100
    assert lines[21:26] == ["Renkei", "O", " " * 17 + "2", "Ti", "O"]


def test_binary_is_a_fortran_sequential_file(tmp_path):
    aenet_file.write(tmp_path / "O.nn", example())
    data, lengths, at = (tmp_path / "O.nn").read_bytes(), [], 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "little")
        assert data[at + 4 + length : at + 8 + length] == data[at : at + 4]
        lengths.append(length)
        at += length + 8
    assert lengths[:9] == [4, 4, 4, 4, 16, 12, 16, 16, 400]
    assert lengths[9:26] == [1024, 2, 4, 4, 8, 8, 100, 4, 4, 48, 384, 96, 4, 96, 96, 96, 96]
    assert lengths[26:] == [1024, 4, 8, 8, 4, 4, 16, 4, 4, 24]


def as_other_writers(text, environment_numbers):
    """The same file with whole arrays in a line, D exponents, and so many species of features."""
    lines = text.replace("E-", "D-").replace("E+", "D+").split("\n")
    start = lines.index("Chebyshev") + 3  # the kinds of features; then 12 lines of parameters, 6 of their species
    joined = [" ".join(lines[8:21]), *lines[21:24], " ".join(lines[24:26]), *lines[26 : start + 3 + 12]]
    species = [" 0" * environment_numbers]
    return "\n".join([*lines[:8], *joined, *species, *lines[start + 3 + 12 + 6 :]])


@pytest.mark.parametrize(("environment", "numbers"), [(("Ti", "O"), 24), (("Ti", "H", "O"), 36), (("Ti", "H", "O"), 24)])
def test_line_breaks_exponents_and_the_two_counts_of_species(tmp_path, environment, numbers):
    file = example(environment=environment)
    aenet_file.write(tmp_path / "O.nn.ascii", file)
    text = (tmp_path / "O.nn.ascii").read_text()
    if len(environment) == 3:
        text = text.replace("Ti\nH\nO\n", "Ti\nH O\n", 1)
    (tmp_path / "other.nn.ascii").write_text(as_other_writers(text, numbers))
    same(aenet_file.read(tmp_path / "other.nn.ascii"), file)


def refused(tmp_path, change, name="O.nn.ascii"):
    """The sentence that a changed file is refused with."""
    aenet_file.write(tmp_path / name, example())
    path = tmp_path / name
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError, match=rf"{name}: ") as caught:
        aenet_file.read(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def line(number, text):
    """A change of one line of the text."""

    def change(data):
        lines = data.split(b"\n")
        lines[number] = text.encode()
        return b"\n".join(lines)

    return change


@pytest.mark.parametrize(
    ("number", "text", "word"),
    [
        (0, "0", "number of layers cannot be 0"),
        (0, "x", "should be whole numbers, got 'x'"),
        (2, "51", "do not fit layers of 12, 3, 2, 1 nodes"),
        (3, "20", "do not fit layers"),
        (4, "12 3 0 1", "12, 3, 0, 1 nodes"),
        (4, "12 3 2 2", "12, 3, 2, 2 nodes"),
        (4, "12 3 2 1 1", "goes on"),
        (5, "1 5 0", "activations are 1, 5, 0"),
        (5, "1 1 1", "the last one 0"),
        (6, "0 39 46 50", "do not fit layers"),
        (8, "1 2 3 ****", r"weights should be numbers, got '****'"),
        (8, "1 2 3 NaN", "weights holds numbers that are not finite"),
        (22, "Fe", "species Fe is not among O Ti"),
        (28, "Behler2011", "descriptor is 'Behler2011'"),
        (29, "10", "10 features of 4 parameters; expected 12"),
        (30, "5", "12 features of 5 parameters"),
        (34, "6.5 4 5.0 1", "orders 4 and 1 with 2 species in ENV make 14"),
        (34, "6.5 3.5 5.0 1", "orders 6.5, 3.5, 5, 1"),
        (34, "4.5 3 5.0 1", "4.5 A (radial) and 5 A (angular)"),
        (34, "4.5 3 -1 1", "must be positive"),
        (66, "yes", "should be T or F, got 'yes'"),
        (67, "0", "energy scale is 0"),
        (68, "inf", "energy shift holds"),
    ],
)
def test_wrong_lines_are_refused(tmp_path, number, text, word):
    assert word in refused(tmp_path, line(number, text))


def test_files_cut_anywhere_are_refused(tmp_path):
    for name in ("O.nn.ascii", "O.nn"):
        aenet_file.write(tmp_path / name, example())
        size = (tmp_path / name).stat().st_size
        for length in range(0, size - 4, 97):
            assert name in refused(tmp_path, lambda data, length=length: data[:length], name)
        assert "goes on after its end" in refused(tmp_path, lambda data: data + b"\n 5\n", name)
    assert "before its number of layers" in refused(tmp_path, lambda _: b"", "O.nn")


def test_damaged_records_are_refused(tmp_path):
    """Bits flipped in lengths and counts; what is text for people may change."""
    rng = np.random.default_rng(3)
    aenet_file.write(tmp_path / "O.nn", example())
    data = (tmp_path / "O.nn").read_bytes()
    for place in rng.integers(0, 100, 40):
        changed = bytearray(data)
        changed[place] ^= 1 << rng.integers(8)
        assert "O.nn: " in refused(tmp_path, lambda _, changed=changed: bytes(changed), "O.nn")
    assert "lengths differ" in refused(tmp_path, lambda data: data[:8] + b"\5" + data[9:], "O.nn")
    assert "take 4 bytes, expected 400" in refused(tmp_path, lambda data: data[:140] + data[:12] + data[548:], "O.nn")


def test_a_missing_file(tmp_path):
    with pytest.raises(ValueError, match=r"O\.nn cannot be read: No such file"):
        aenet_file.read(tmp_path / "O.nn")
