"""What is told of an error, whose text holds whole requests and replies."""

from __future__ import annotations

import pytest
from obstore.exceptions import GenericError

from kvtransfer.client_programs.objects.causes import BucketError, cause_of, translated

REFUSED = "Server returned non-2xx status code: "


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"a - {REFUSED}404 Not Found: <Error><Code>NoSuchBucket</Code></Error>",
         "NoSuchBucket: there is no such bucket; create it, or mend the URL"),
        (f"a - {REFUSED}400 Bad: <Code>Odd</Code><Message>It&#39;s so</Message>", "Odd: It's so"),
        (f"a - {REFUSED}400 Bad: <Code>Odd</Code>", "Odd: no reason was given"),
        (f"a - {REFUSED}507 Insufficient Storage: ", "507 Insufficient Storage: it is full"),
        (f"a - {REFUSED}418 Teapot: <<<", "418 Teapot: no reason was given"),
        ('a - HTTP error\n\nDebug { message: "Connection refused" }', "Connection refused"),
        ("a - HTTP error\n\nDebug { source: TimedOut }", "it didn't answer in time"),
        (f"performing PUT http://h/latest/api/token - {REFUSED}403 Forbidden: ",
         "no credentials are in the environment, and the machine gives none"),
        ("Generic: Error performing GET http://h/b in 1ms - HTTP error: odd", "HTTP error: odd"),
        ("Missing\nmore", "Missing"),
        (f"a - token {'t0ken' * 10} odd", "token *** odd"),
        (f"{REFUSED}400 Bad: <Code>X</Code><Message>not {'t0ken' * 10}</Message>", "X: not ***"),
    ],
)  # fmt: skip
def test_the_cause_is_said_in_a_sentence(text, told):
    assert cause_of(GenericError(text)) == told


def test_a_foreign_error_becomes_one_of_the_bucket():
    with pytest.raises(BucketError, match=r"^there$") as raised, translated():
        raise FileNotFoundError("there")
    assert raised.value.__suppress_context__
