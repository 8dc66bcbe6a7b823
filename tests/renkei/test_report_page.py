"""The page: whole, self-contained, and honest about what it lacks."""

import re
from html.parser import HTMLParser

import pytest

from protocol import jsontext
from renkei import report_page, results, run_view
from renkei.canvas import Figure


class Balanced(HTMLParser):
    """Fails on a tag that is closed out of order."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def page_of(root, pictures=()):
    view = run_view.read(root)
    report = jsontext.plain(results.report(view, results.read_trajectories(view)))
    return report_page.page(view, report, {"sim0": pictures})


def test_a_sound_run(sound_run):
    page = page_of(sound_run, [Figure("energies", "Energy", "A caption", b"\x89PNG")])
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert "Exact within the error bars" in page
    assert 'src="data:image/png;base64,iVBORw==' in page
    assert "energy (centroid virial)" in page
    assert "2 (quoted)" not in page
    assert "1 (quoted)" in page
    assert not re.search(r"\bnan\b", page, flags=re.I)
    assert not re.search(r'(src|href)="(https?:)?//', page)


def test_the_table_has_the_pressures_but_not_six_components(sound_run):
    view = run_view.read(sound_run)
    report = jsontext.plain(results.report(view, results.read_trajectories(view)))
    found = report["simulators"]["sim0"]["observables"]
    row = {**found["energy_virial_eV"], "unit": "GPa", "mean": 1.0}
    found |= dict.fromkeys(("pressure_GPa", "pressure_primitive_GPa", "stress_xx_GPa", "stress_xy_GPa"), row)
    page = report_page.page(view, report, {})
    assert "pressure (centroid virial)" in page
    assert "pressure (primitive)" in page
    assert "stress" not in page


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"blocks": ()}, ["No numbers to quote yet", "No production yet"]),
        ({"trainer": False, "adapt": 5, "blocks": ()}, ["No numbers to quote yet", "No trainer has started"]),
        ({"work_shift": 0.5}, ["Do not quote these numbers", "standard errors from 1"]),
        ({"converged": False}, ["Approximate", "without convergence"]),
        ({"complete": False}, ["No numbers to quote yet", "still running"]),
    ],
)
def test_verdict_and_reasons_stand_at_the_top(make_run, choices, said):
    page = page_of(make_run(**choices))
    assert all(text in page for text in said)
    assert page.index(said[0]) < page.index("Averages")


def test_names_cannot_inject_markup(make_run, tmp_path):
    odd = tmp_path / "a<script>b"
    make_run().rename(odd)
    page = page_of(odd)
    assert "<script>" not in page
    assert "a&lt;script&gt;b" in page


def test_a_ladder_has_a_table_of_its_rungs(make_run, sound_run):
    text = page_of(make_run(walkers=3, ladder_K=(300.0, 330.0, 365.0)))
    assert "Ladder of temperatures" in text
    assert "300.0 (quoted)" in text
    assert "<td>365.0</td>" in text
    assert "Ladder of temperatures" not in page_of(sound_run)
