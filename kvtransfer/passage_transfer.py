"""Reuses passages of prompts wherever they stand, for callers who compute prompts themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.arguments import checked_blocks, checked_skip, checked_tokens
from kvtransfer.passages.availability import available, chunk_keys_of
from kvtransfer.passages.finder import Finder
from kvtransfer.passages.gaps import blend
from kvtransfer.passages.moves import placements
from kvtransfer.passages.recompute import First
from kvtransfer.passages.space import Space
from kvtransfer.transfer import KVTransfer
from kvtransfer.transfer_parts import TransferParts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kvtransfer.chunks.paged import PagedCaches
    from kvtransfer.config import TransferConfig
    from kvtransfer.handle import Transfer
    from kvtransfer.kernels import Rotation
    from kvtransfer.passages.gaps import Blend
    from kvtransfer.passages.recompute import Recompute

_FIRST = First()


class PassageTransfer(KVTransfer):
    """A :class:`KVTransfer` that finds saved passages at any position of a prompt, and moves them.

    A passage that is reused behind other tokens than it was computed behind is **approximate**, and
    so is all that is computed behind it: don't ``save`` such blocks, for an exact load would find
    them. Only the models are served whose keys depend on their position by a rotation alone.
    """

    @classmethod
    def open(  # type: ignore[override] # a constructor of its own
        cls,
        config: TransferConfig,
        caches: PagedCaches,
        *,
        model_name: str,
        facts: Mapping[str, object],
        rotation: Rotation,
    ) -> PassageTransfer:
        """Open as :meth:`KVTransfer.open` does.

        Args:
            config: see there.
            caches: see there; of 32 or 16 bit floats.
            model_name: see there.
            facts: see there.
            rotation: how the model rotates its keys, the same in all layers. Its table is only read,
                lies on the device of the caches and must stay as it is until ``close``.

        Raises:
            ConfigError: see there.
            ValueError: the caches' numbers can't be rotated, or ``rotation`` isn't theirs.
        """
        return cls(
            TransferParts.open(
                config, caches, model_name=model_name, facts=facts, rotation=rotation
            )
        )

    def __init__(self, parts: TransferParts) -> None:
        super().__init__(parts)
        self._finder = Finder(parts.tiling.chunk_tokens)
        self._space_of_keys = Space.of(parts.space)

    def save(self, token_ids: Sequence[int], block_ids: Sequence[int]) -> Transfer:
        """See :meth:`KVTransfer.save`; passages of what is saved are found from now on."""
        keys = self._keys(token_ids)
        transfer = self._save(keys, block_ids)
        self._finder.learn(self._space_of_keys, token_ids, keys)
        return transfer

    def learn_passages(self, token_ids: Sequence[int]) -> None:
        """Note a sequence that another process has saved, so that passages of it are found.

        What this object saves is noted by itself. A note claims nothing: ``lookup_passages`` finds
        what can be loaded.

        Args:
            token_ids: as they were saved, from the first token on.

        Raises:
            ValueError: ``token_ids`` is no sequence of integers in ``[0, 2**31)``.
        """
        self._finder.learn(self._space_of_keys, token_ids, self._keys(token_ids))

    def lookup_passages(
        self,
        token_ids: Sequence[int],
        *,
        skip_tokens: int = 0,
        recompute: Recompute = _FIRST,
        segments: Sequence[Sequence[int]] | None = None,
    ) -> Blend:
        """Find the passages of a prompt that ``load_passages`` could bring, wherever they were saved.

        Waits for the store's answer, at most ``lookup_timeout_ms``; a late answer counts as a miss.

        Args:
            token_ids: the whole prompt, integers in ``[0, 2**31)``.
            skip_tokens: leading tokens whose KV is there already, such as what ``load`` has brought.
            recompute: how many tokens at the begin of each passage are left to be computed, so that
                they see what is before them: 16, or another ``First`` or ``Share`` of
                ``kvtransfer.passages.recompute``. None of an exact prefix.
            segments: ``[[first, end], ...]``, the passages of the prompt, if they are known: each is
                reused as one or not at all. None: passages are found by comparing tokens.

        Returns:
            ``copies`` that can be loaded and, between them, ``gaps`` for the caller to compute
            afterwards, each with all that is before it in place. What is behind the last copy is
            computed as always; the last token never is a copy.

        Raises:
            ValueError: an argument is not as above; the message names it and its values.
        """
        self._check_open()
        ids = checked_tokens(token_ids)
        skip = checked_skip(skip_tokens, len(ids), 1)
        runs = self._finder.runs(self._space_of_keys, ids, skip, segments)
        runs = available(runs, self._obtainable(chunk_keys_of(runs)))
        return blend(runs, recompute, start=skip, prompt_tokens=len(ids))

    def load_passages(self, found: Blend, block_ids: Sequence[int]) -> Transfer:
        """Fill tokens of blocks with the copies of ``found``; their keys are rotated on the way.

        Args:
            found: what ``lookup_passages`` has returned.
            block_ids: the blocks of the prompt, in order, from its first token on, at least as many
                as ``found.end`` takes. Other tokens of them are left as they are.

        Returns:
            A transfer of the copies. All have arrived where it returns ``found.copied_tokens``;
            otherwise some of their tokens are undefined, and all behind ``found.start`` have to be
            computed.

        Raises:
            ValueError: ``block_ids`` are not as above.
        """
        self._check_open()
        self._finder.note_use(found)
        block_tokens = self._tiling.block_tokens
        ids = checked_blocks(block_ids, -(-found.end // block_tokens), self._blocks)
        loads = self._planner.load(placements(found.copies, ids, block_tokens))
        self._run(loads=tuple(loads))
        return self._transfer({load.job: sum(move.tokens for move in load.moves) for load in loads})

    def _obtainable(self, keys: list[str]) -> set[str]:
        """Return which of ``keys`` host memory or the store holds, as many as there is room for."""
        self._take_reports(0.0)
        beyond = [key for key in keys if key not in self._planner.index]
        stored = self._lookup.wait(beyond) if self._lookup is not None and beyond else frozenset()
        there = [key for key in keys if key in self._planner.index or key in stored]
        return set(there[: self._planner.loadable(there, stored)])
