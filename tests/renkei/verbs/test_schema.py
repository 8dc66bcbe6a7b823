"""The schema is one that editors can use."""

import json


def test_schema_knows_every_plugin(renkei):
    code, out, _ = renkei("schema")
    assert code == 0
    schema = json.loads(out)
    engines = {choice["$ref"].rpartition("/")[2] for choice in schema["$defs"]["science"]["properties"]["engine"]["anyOf"]}
    assert {"engine_tblite", "engine_pyscf", "engine_espresso"} <= engines
    assert schema["$defs"]["sampler_sl_pihmc"]["properties"]["beads"]["minimum"] == 1
    text = json.dumps(schema)
    for reference in {part.split('"')[0] for part in text.split('"$ref": "#/$defs/')[1:]}:
        assert reference in schema["$defs"], reference
