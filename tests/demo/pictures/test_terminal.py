import sys

from rich.color import ColorType

from demo.pictures.terminal import screen_of


def seen(program, columns, folder):
    return screen_of([sys.executable, "-c", program], columns, folder, {"SAID": "this"})


def test_a_command_runs_in_a_terminal_of_that_width(tmp_path):
    program = "import os, sys; print(sys.stdout.isatty(), os.get_terminal_size().columns)"
    assert [line.plain for line in seen(program, 77, tmp_path)] == ["True 77"]


def test_it_has_its_folder_and_its_environment(tmp_path):
    program = "import os; print(os.getcwd() == os.environ['PWD'] or os.getcwd()); print(os.environ['SAID'])"
    lines = [line.plain for line in seen(program, 500, tmp_path)]
    assert lines == [str(tmp_path), "this"]


def test_what_was_written_over_is_not_seen(tmp_path):
    program = r"print('first\rlast '); print('gone', end='\x1b[2K\r'); print('second'); print()"
    assert [line.plain for line in seen(program, 20, tmp_path)] == ["last", "second"]


def test_a_long_line_is_wrapped_as_a_terminal_wraps_it(tmp_path):
    assert [line.plain for line in seen("print('x' * 12)", 10, tmp_path)] == ["x" * 10, "xx"]


def test_colours_stay(tmp_path):
    program = r"print('\x1b[31mred\x1b[0m plain \x1b[1;33mbold\x1b[0m \x1b[92mlight\x1b[0m \x1b[38;5;208mmany')"
    (line,) = seen(program, 60, tmp_path)
    spans = {line.plain[span.start : span.end].strip(): span.style for span in line.spans}
    assert spans["red"].color.name == "red"
    assert spans["bold"].color.name == "yellow"
    assert spans["bold"].bold
    assert spans["light"].color.name == "bright_green"
    assert spans["many"].color.type is ColorType.TRUECOLOR
    assert spans["plain"].color is None


def test_an_error_is_seen_too(tmp_path):
    lines = seen("import sys; sys.exit('it failed')", 40, tmp_path)
    assert [line.plain for line in lines] == ["it failed"]
