from benchmarks.measure_code import function_lines

SOURCE = '''"""A module."""


def outer(
    first,
):
    """What it does,

    in two parts."""
    # A comment.
    value = """text
    of two lines"""

    def inner():
        return value

    return inner
'''


def test_blank_lines_comments_and_docstrings_are_no_lines_of_a_function():
    assert function_lines(SOURCE) == [8, 2]
