import json

import pytest

from protocol import run_format
from protocol.errors import Torn, VersionClash
from protocol.store import Store


def test_a_start_signs_the_folder(store):
    store.claim("sim/sim0").close()
    assert json.loads((store.root / "format.json").read_text()) == {"format": run_format.FORMAT}
    assert run_format.check(store.root) == run_format.FORMAT


def test_a_newer_folder_is_refused_in_one_sentence(store):
    store.claim("train").close()
    (store.root / "format.json").write_text('{"format": 3}')
    for refused in (lambda: Store(store.root), lambda: store.claim("train")):
        with pytest.raises(VersionClash, match="of format 3, this version knows formats up to 2") as caught:
            refused()
        assert "\n" not in str(caught.value)
        assert caught.value.exit_code == 4


def test_an_older_folder_goes_on(store, make_batch, cursor):
    """Format 1: no format.json, no check sums."""
    first = store.claim("sim/sim0")
    first.publish_batch(0, make_batch(0), {})
    first.journal.append({"step": 0})
    first.save_checkpoint(cursor(0, -1, 1))
    first.close()
    (store.root / "format.json").unlink()
    for path in (first.folder / "epoch.json", first.folder / "triggers/batch-000000.trigger", first.folder / "journal.jsonl"):
        lines = path.read_text().splitlines()
        lines = [*lines[:-2], "}"] if "crc" in lines[-2:][0] and len(lines) > 1 else ['{"step": 0}']
        path.write_text("\n".join(lines).replace(",\n}", "\n}") + "\n")
        assert "crc" not in path.read_text()
    again = Store(store.root, period_s=0.1)
    assert run_format.read(store.root) == 1
    second = again.claim("sim/sim0")
    assert run_format.read(store.root) == run_format.FORMAT
    assert second.adopted.row == 1
    assert [packet.number for packet in again.packets("sim/sim0")] == [0]
    assert again.ledger("sim/sim0") == [{"step": 0}]
    second.close()


@pytest.mark.parametrize("text", ["", "[]", '{"format": "2"}', '{"format": 0}', '{"format": true}'])
def test_what_does_not_say_a_format(tmp_path, text):
    (tmp_path / "format.json").write_text(text)
    with pytest.raises(Torn, match=r"format\.json"):
        run_format.check(tmp_path)
