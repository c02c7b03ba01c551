import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "examples" / "quickstart.py"


def test_the_quickstart_restores_what_it_saved():
    done = subprocess.run([sys.executable, EXAMPLE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "restored 512 tokens" in done.stdout
    assert done.stdout.endswith("the blocks are equal, bit by bit\n")


def test_the_quickstart_is_short():
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) <= 45
