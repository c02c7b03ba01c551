"""Makes prompts whose passages were seen before, at other places of another prompt."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from tokenizers import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from demo.texts import Text

SYSTEM = (
    "<|im_start|>system\nYou are a helpful assistant who reads documents with care and answers "
    "briefly.<|im_end|>\n<|im_start|>user\nRead the documents and answer the question.\n\n"
)
EARLIER = "Question: which instruments and which experiments are described in them, what for, and how?\n\n"
QUESTION = "Question: what is said in them of light, of colours and of glass?\n\n"
END = "<|im_end|>\n<|im_start|>assistant\n"


@dataclass(frozen=True)
class Shape:
    """Two orders of passages, a letter each."""

    seen: str
    asked: str
    is_question_first: bool = False


SHAPES = {
    "reordered": Shape("abc", "cba"),
    "one-new": Shape("abcx", "cbna"),
    "question-first": Shape("abc", "cba", is_question_first=True),
}


@dataclass(frozen=True)
class Pair:
    """A prompt, and the one seen before that has its passages at other places.

    A context, a prompt without its end, is whole chunks, so that all that was seen is saved. In
    practice the conversation that goes on behind the passages fills the last chunk.
    """

    shape: str
    context_tokens: int
    """Tokens of the context, of each of the two."""
    seen_ids: list[int]
    asked_ids: list[int]


class Pairs:
    """Makes pairs of every shape, none with text that another has.

    Args:
        folder: the model's.
        text: what passages are cut from, one behind the other.
    """

    def __init__(self, folder: Path, text: Text) -> None:
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._title = text.title
        self._number = 0
        self.system_ids = self._encode(SYSTEM)
        """What every prompt begins with."""
        self._left = iter(self._encode(text.body))

    def pair(self, shape: str, context_tokens: int) -> Pair:
        """Return the next one.

        Raises:
            ValueError: the text is at its end.
        """
        orders = SHAPES[shape]
        self._number += 1
        question = self._encode(f"{self._number % 50:02}. {QUESTION}")
        earlier = self._encode(f"{self._number % 50 + 50}. {EARLIER}")
        earlier = earlier[: len(question)]  # passages stay as long as they are
        head_tokens = len(self.system_ids) + len(question) * orders.is_question_first
        texts = self._texts(orders, context_tokens - head_tokens)
        whole = [
            self._prompt(orders, asks, [texts[letter] for letter in order])
            for order, asks in ((orders.seen, earlier), (orders.asked, question))
        ]
        return Pair(shape, context_tokens, *whole)

    def short(self) -> list[int]:
        """Return a prompt that is too short to be saved, or to share anything."""
        return self._encode("Yes or no?" + END)

    def _prompt(self, shape: Shape, question: list[int], texts: Sequence[list[int]]) -> list[int]:
        body = [token for text in texts for token in text]
        end = self._encode(END)
        if shape.is_question_first:
            return self.system_ids + question + body + end
        return self.system_ids + body + self._encode("\n\n") + question + end

    def _texts(self, shape: Shape, tokens: int) -> dict[str, list[int]]:
        """A text for each letter; those of either order are ``tokens`` together."""
        each, more = divmod(tokens, len(shape.asked))
        letters = sorted({*shape.seen, *shape.asked})
        return {letter: self._cut(each + (place < more)) for place, letter in enumerate(letters)}

    def _cut(self, tokens: int) -> list[int]:
        cut = list(islice(self._left, tokens))
        if len(cut) < tokens:
            raise ValueError(f"{self._title} is too short; ask for fewer rounds or tokens")
        return cut

    def _encode(self, words: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(words, add_special_tokens=False).ids
        return ids
