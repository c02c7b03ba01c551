import pytest

from kvtransfer.operate.quantities import age_text, bytes_text, duration_s


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (5 << 30, "5 GiB"),
        (1010 << 20, "1010 MiB"),
        (1012.7 * 2**20, "1012 MiB"),
        (3 << 50, "3072 TiB"),
    ],
)
def test_bytes(nbytes, text):
    assert bytes_text(nbytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0 s"), (3, "3 s"), (119, "119 s"), (120, "2 m"), (7200, "2 h"), (9 * 86400, "9 d")],
)
def test_ages(seconds, text):
    assert age_text(seconds) == text


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("1.5h", 5400), ("7d", 604800), ("2w", 1209600), ("3m", 180)]
)
def test_durations(text, seconds):
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "7", "d", "-7d", "7 d", "7y", "1e3s"])
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match="is no duration; write a number and"):
        duration_s(text)
