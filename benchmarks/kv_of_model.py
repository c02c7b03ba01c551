"""Computes the KV cache of a real text on a real model, and what the model makes of another one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Prediction:
    """What a model says of the tokens that a text goes on with."""

    log_probabilities: torch.Tensor
    """``[tokens, vocabulary]``."""

    def kl_from(self, reference: Prediction) -> float:
        """The divergence from ``reference``, in nats, mean over the tokens."""
        of, to = reference.log_probabilities, self.log_probabilities
        return float((of.exp() * (of - to)).sum(-1).mean())

    def agreement_with(self, reference: Prediction) -> float:
        """The share of tokens with the same likeliest next one."""
        best = (each.log_probabilities.argmax(-1) for each in (reference, self))
        first, second = best
        return float((first == second).float().mean())


class KvOfModel:
    """A model of transformers, in fp32, whose KV cache is read and replaced.

    Args:
        folder: of the model.
    """

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModelForCausalLM

        self._model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self._model.eval()

    @torch.no_grad()
    def planes(self, token_ids: Sequence[int], dtype: torch.dtype) -> list[torch.Tensor]:
        """The KV of a text: ``[tokens, heads, dim]`` of ``dtype`` each, keys before values, by layer."""
        from transformers import DynamicCache

        cache = DynamicCache(config=self._model.config)
        self._model(torch.tensor([list(token_ids)]), past_key_values=cache, logits_to_keep=1)
        return [
            half[0].transpose(0, 1).to(dtype).contiguous()
            for layer in cache.layers
            for half in (layer.keys, layer.values)
        ]

    @torch.no_grad()
    def continuation(
        self, planes: Sequence[torch.Tensor], last: int, token_ids: Sequence[int]
    ) -> Prediction:
        """What the model says of ``token_ids``, of which each is given once it was guessed.

        Args:
            planes: the KV of the text before, as of :meth:`planes`; that of its last token is left
                out, which is computed again.
            last: the text's last token.
            token_ids: what the text goes on with.
        """
        from transformers import DynamicCache

        cache = DynamicCache(config=self._model.config)
        for layer in range(len(planes) // 2):
            halves = (planes[2 * layer + i][:-1].float().transpose(0, 1)[None] for i in (0, 1))
            cache.update(*halves, layer)
        asked = torch.tensor([[last, *token_ids[:-1]]])
        logits = self._model(asked, past_key_values=cache).logits[0]
        return Prediction(torch.log_softmax(logits, -1))
