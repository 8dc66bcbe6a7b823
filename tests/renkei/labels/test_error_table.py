"""Errors as cells."""

from renkei.labels import error_table

PLAIN = {
    "structures": 7,
    "energy_rmse_meV_per_atom": 1.234,
    "energy_mae_meV_per_atom": 1.0,
    "energy_shifted_rmse_meV_per_atom": 0.5,
    "force_rmse_eV_per_A": 0.04567,
    "force_mae_eV_per_A": None,
    "force_largest_eV_per_A": 2.0,
}


def test_a_stress_has_a_column_only_where_there_is_one():
    heads, rows = error_table.table({"test": PLAIN})
    assert len(heads) == len(rows["test"]) == 7
    assert rows["test"][:2] == ["7", "1.23"]
    assert rows["test"][4:6] == ["0.0457", "–"]
    heads, rows = error_table.table({"test": PLAIN, "other": PLAIN | {"stress_rmse_eV_per_A3": 0.01}})
    assert heads[-1] == "stress RMSE, GPa"
    assert [values[-1] for values in rows.values()] == ["–", "1.602"]


def test_details_by_species_and_size():
    row = {"atoms": 3, "force_rmse_eV_per_A": 0.1, "force_mae_eV_per_A": 0.05}
    bins = [{"from_eV_per_A": 0.0, "to_eV_per_A": 0.1, **row}, {"from_eV_per_A": 10.0, "to_eV_per_A": float("inf"), **row}]
    told = error_table.details({"species": {"O": row}, "by_force": bins})
    assert told[0] == ("O", "3", "0.1000", "0.0500")
    assert [name for name, *_ in told[1:]] == ["|F| from 0 eV/Å to 0.1", "|F| from 10 eV/Å"]
