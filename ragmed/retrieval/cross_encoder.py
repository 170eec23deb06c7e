"""Pairs of query and passage in, a score each out: a cross-encoder, which reads both together.

Nothing is cut. A pair beyond what the model reads is read in pieces: of a passage the best piece counts (MaxP of Dai
and Callan 2019, "Deeper Text Understanding for IR with Contextual Neural Language Modeling", SIGIR, section 2), of a
query longer than half of what is read the mean over its pieces, as embedders average them.

Scores are the model's logits, before any sigmoid, which would make the best ones equal. On a CPU each pair is read by
itself, so that its score does not depend on the pairs beside it; on a GPU pairs are read in batches, whose padding
changes scores in the last bits.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from ragmed.embedding import cut_to_fit, torch_device
from ragmed.embedding.folders import limits_of, load_model, model_folder, model_identity
from ragmed.errors import DataError, ModelError
from ragmed.files import canonical_json, whole_text
from ragmed.machine import Stopwatch, count_as_spent
from ragmed.retrieval.score_cache import ScoreCache

GPU_BATCH = 32
KEPT = 1024
"""Pairs that are scored before their scores are kept: a kill costs no more."""
VERSION = 1
"""Raised whenever the same model may score the same pair otherwise."""


class CrossEncoder:
    """
        model = CrossEncoder("path:models/medcpt-cross-encoder", cache=ScoreCache())
        model.scores([("Is metformin safe?", "Metformin is a biguanide."), ("Is metformin safe?", "A wrist.")])

    `name`: `path:DIR` or `hf:ORG/NAME@REVISION`: a folder of sentence-transformers, or a transformer with one label
    (a folder as its publisher keeps it); safetensors alone, and code that comes with it is not run. Raises ModelError
    (it cannot be loaded, or gives more than one number a pair), UnknownNameError, UsageError.
    """

    def __init__(self, name: str, *, cache: ScoreCache, precision: str = "float32", device: str = "auto") -> None:
        self.name, self._cache = name, cache
        self.device = torch_device(device)
        folder, revision = model_folder("cross-encoder", name)
        self._model = load_model(name, folder, precision, self.device, kind="CrossEncoder", what="cross-encoder")
        if self._model.num_labels != 1:
            raise ModelError(
                f"cross-encoder '{name}' gives {self._model.num_labels} numbers a pair; one that ranks gives one"
            )
        limits = limits_of(self._model)
        if not limits:
            raise ModelError(f"cross-encoder '{name}' does not say how many tokens it reads; set max_seq_length")
        self.max_tokens = min(limits)
        self._prompt = self._model.prompts.get(self._model.default_prompt_name or "", "")
        self.identity: Mapping[str, Any] = {
            "version": VERSION,
            **model_identity(folder, revision, precision),
            "max_tokens": self.max_tokens,
        }

    def scores(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """One score a pair, in order, higher for nearer. Those that were scored before are not computed again, and
        count as what they took then.

        DataError where a score is no finite number.
        """
        keys = [self._key(query, text) for query, text in pairs]
        known = self._cache.known(keys)
        count_as_spent(self._cache.spent(known))
        fresh = {key: pair for key, pair in zip(keys, pairs, strict=True) if key not in known}
        new = list(fresh)
        for some in (new[first : first + KEPT] for first in range(0, len(new), KEPT)):
            watch = Stopwatch()
            made = dict(zip(some, self._read([fresh[key] for key in some]), strict=True))
            self._cache.add(made, watch.spent())
            known |= made
        return [known[key] for key in keys]

    def _key(self, query: str, text: str) -> bytes:
        # of the kind of device, too: scores differ in their last bits, and what they cost in more
        content = canonical_json([dict(self.identity), self.device.split(":")[0], whole_text(query), whole_text(text)])
        return hashlib.sha256(content.encode("utf-8")).digest()

    def _read(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Pairs that were never scored: each in as many readings as it takes, all of them at once."""
        readings: list[tuple[str, str]] = []
        parts: list[list[range]] = []  # of a pair: a range of readings for each piece of the query
        for query, text in pairs:
            parts.append([])
            for asked in self._pieces_of_query(query, text):
                texts, _ = cut_to_fit([text], self.max_tokens, lambda some, asked=asked: self._count(asked, some))  # type: ignore[misc]
                parts[-1].append(range(len(readings), len(readings) + len(texts)))
                readings += [(asked, one) for one in texts]
        found = self._predict(readings)
        # float32, as they are kept, so that a score is the same whether it was computed now or before
        means = [sum(max(found[i] for i in part) for part in several) / len(several) for several in parts]
        return [float(struct.unpack("<f", struct.pack("<f", mean))[0]) for mean in means]

    def _pieces_of_query(self, query: str, text: str) -> list[str]:
        if self._count(query, [text])[0] <= self.max_tokens:
            return [query]
        return cut_to_fit([query], self.max_tokens // 2, lambda some: [self._count(one, [""])[0] for one in some])[0]

    def _count(self, query: str, texts: Sequence[str]) -> list[int]:
        """Tokens of the query with each text, all marks included, uncut."""
        whole = {"text": {"truncation": False, "verbose": False}}
        counts = []
        for text in texts:
            read = self._model.preprocess([(query, text)], prompt=self._prompt or None, processing_kwargs=whole)
            counts.append(int(read["input_ids"].shape[-1]))
        return counts

    def _predict(self, readings: Sequence[tuple[str, str]]) -> list[float]:
        import numpy as np
        import torch

        scores = self._model.predict(
            list(readings),
            prompt=self._prompt or None,
            batch_size=1 if self.device == "cpu" else GPU_BATCH,
            activation_fn=torch.nn.Identity(),
            show_progress_bar=False,
        )
        if not np.isfinite(scores).all():
            raise DataError(f"cross-encoder '{self.name}' gave scores with NaN or infinity; try precision: float32")
        return [float(score) for score in scores]
