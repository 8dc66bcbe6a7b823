"""resume is run on a folder that is there."""

from renkei.verbs import resume


def test_resume_hands_its_options_to_run(tmp_path, monkeypatch):
    (tmp_path / "run.yaml").write_text("")
    given = []
    monkeypatch.setattr("renkei.verbs.run.run", lambda *words, **named: given.append((words, named)))
    resume.resume(tmp_path, 3, "10min", 5, ["seed=1"], True)
    assert given == [((tmp_path, None, 3, "10min", 5, ["seed=1"], None), {"quiet": True})]
