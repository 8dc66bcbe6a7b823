"""The page: balanced, honest about an early end, safe against odd names."""

import json
from html.parser import HTMLParser

import pytest

from renkei.canvas import Figure
from renkei.training import page as training_page


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


@pytest.fixture
def found(trained):
    return json.loads((trained / "train.json").read_text())


def test_the_page_of_a_training(found):
    page = training_page.page("mine", found, [Figure("learning", "Learning curve", "A caption", b"\x89PNG", wide=True)])
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert "Trained: 600 steps; kept is the model of step" in page
    assert "108 training, 12 validation, 30 test frames" in page
    assert 'src="data:image/png;base64,iVBORw=="' in page
    assert f"{found['errors']['test']['force_rmse_eV_per_A']:.4f}" in page
    assert '<section class="verdict exact"' in page


def test_a_stress_has_a_tile_where_labels_have_one(found):
    found["errors"]["test"] |= {"stress_rmse_eV_per_A3": 0.01}
    page = training_page.page("mine", found, [])
    assert "stress RMSE, test, GPa" in page
    assert "1.602" in page
    del found["errors"]["test"]["stress_rmse_eV_per_A3"]
    assert "stress RMSE, test, GPa" not in training_page.page("mine", found, [])


def test_an_early_end_and_warnings_stand_at_the_top(found):
    found |= {"reason": "SIGINT", "warnings": ["<b>a.xyz</b>: odd"], "validations": []}
    page = training_page.page("a<script>", found, [])
    assert "Ended early (SIGINT)" in page
    assert "there were no validation frames" in page
    assert "&lt;b&gt;a.xyz&lt;/b&gt;: odd" in page
    assert "<script>" not in page
    assert '<section class="verdict approximate"' in page
