def test_each_size_is_a_row_and_nothing_stays(run, filled):
    ran = run("bench", filled.url, "--mib", 1, "--mib", 2, "--total-mib", 4, "--json")
    assert ran.status == 0
    assert [row["chunk_bytes"] >> 20 for row in ran.objects] == [1, 2]
    assert all(row["came_back"] == row["chunks"] == 8 for row in ran.objects)
    assert all(row["get_bytes_per_s"] > 0 for row in ran.objects)
    assert len(filled.listed()) == 12


def test_as_a_table(run, filled):
    lines = run("bench", filled.url, "--mib", 1, "--total-mib", 1).out.splitlines()
    assert lines[0].split() == ["chunk", "chunks", "put", "get", "came", "back"]
    assert lines[1].startswith("1 MiB")
