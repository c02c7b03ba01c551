def test_a_page_is_written(run, filled, tmp_path):
    path = tmp_path / "report.html"
    ran = run("report", filled.url, "--output", path, "--instance", "127.0.0.1:1")
    assert ran.status == 0
    html = path.read_text()
    assert "org/model" in html
    assert "No answer: 127.0.0.1:1" in html
    assert len(filled.listed()) == 12


def test_a_page_that_can_not_be_written(run, filled, tmp_path):
    ran = run("report", filled.url, "--output", tmp_path / "nowhere" / "report.html")
    assert ran.status == 2
    assert "name another file" in ran.err
