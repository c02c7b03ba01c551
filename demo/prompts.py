"""Makes prompts of a long text and a question, in the model's own chat format."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from jinja2 import Environment
from tokenizers import Tokenizer

from demo.texts import passages

if TYPE_CHECKING:
    from pathlib import Path

    from demo.texts import Text

FIRST_QUESTION = "Which words of this text matter most?"
SECOND_QUESTION = "What is this text about? Answer in one sentence."

_PLACE = "\ue000"  # a private character that is in no text: we cut the rendered template there


class Chat:
    """Encodes prompts with the tokenizer and chat template of the model in ``folder``.

    A prompt is a context and a question, both token ids. They are encoded apart, so that all
    prompts about a context begin with the very same ids.
    """

    def __init__(self, folder: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        names = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        template = Environment(autoescape=False).from_string(names["chat_template"])
        message = {"role": "user", "content": _PLACE}
        whole = template.render(messages=[message], add_generation_prompt=True)
        self._head, self._tail = whole.split(_PLACE)
        two = template.render(messages=[message, {**message, "role": "assistant"}, message])
        self._between = two.split(_PLACE)[2]
        end = self._tokenizer.token_to_id(names["eos_token"])
        self._end = [] if end is None else [end]

    def contexts(self, text: Text, tokens: int, count: int) -> list[list[int]]:
        """Return ``count`` contexts of ``tokens`` ids, with the template's head and different text each.

        Raises:
            ValueError: the text is too short.
        """
        head = self._encode(self._head)
        bodies = passages(self._tokenizer, text, tokens - len(head), count)
        return [head + body for body in bodies]

    def question(self, words: str) -> list[int]:
        """Return the ids that ask ``words`` about the context before them."""
        return self._encode(f"\n\n{words}{self._tail}")

    def next_question(self, words: str) -> list[int]:
        """Return the ids that ask ``words`` after an answer ``without_end``."""
        return self._encode(f"{self._between}{words}{self._tail}")

    def without_end(self, token_ids: list[int]) -> list[int]:
        """Return an answer without the token by which the model may have ended it."""
        ends = token_ids[-1:] == self._end
        return token_ids[:-1] if ends else token_ids

    def words(self, token_ids: list[int]) -> str:
        """Return an answer as text."""
        answer: str = self._tokenizer.decode(token_ids, skip_special_tokens=True)
        return answer.strip()

    def _encode(self, words: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(words, add_special_tokens=False).ids
        return ids
