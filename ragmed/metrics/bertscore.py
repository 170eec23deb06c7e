"""BERTScore (Zhang et al. 2020, arXiv 1904.09675): how well the words of two texts match by their vectors in context.

Every token of the answer is matched with the most similar one of the reference (precision), and the other way round
(recall), by the cosine of their vectors in a declared layer; marks that open and close a text may be matched and are
not counted themselves. No weighting by rarity, no rescaling: numbers are those of the package bert-score with the
same model and layer (`idf=False, rescale_with_baseline=False`) for texts that the model reads at once. Longer ones,
which that package cuts, are read in windows that overlap, each token's vector from the window in which it stands
nearest the middle.

What it cannot tell: it hardly moves for a negation or another number ("no fever" and "fever" are near); read it beside
concept_f1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragmed.errors import DataError, MissingDependencyError, UsageError
from ragmed.metrics import Batch, Metric, MetricFacts
from ragmed.metrics.gold import accepted
from ragmed.metrics.settings import MetricSettings, model_folder

BATCH = 16
OVERLAP = 64  # tokens that two windows have in common
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Vectors:
    """Of one text: `all_` [tokens, size] of length 1, opening and closing marks included; `counted` [tokens], bool."""

    all_: Floats
    counted: NDArray[np.bool_]


class TokenVectors:
    """A model's layer, as a function of texts."""

    def __init__(self, folder: Path, layer: int) -> None:
        """DataError for a folder that cannot be read as an encoder, UsageError for a layer that it does not have."""
        try:
            import torch
            from transformers import AutoConfig, AutoModel, AutoTokenizer
        except ImportError as error:
            raise MissingDependencyError("bertscore needs torch and transformers: pip install ragmed") from error
        try:
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
            # as bert-score does: without it the first word of a text is another token than the same word elsewhere
            first = {"add_prefix_space": True} if config.model_type in ("roberta", "longformer") else {}
            self._tokenizer = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, **first
            )
            self._model = AutoModel.from_pretrained(
                folder, use_safetensors=True, dtype=torch.float32, local_files_only=True, trust_remote_code=False
            ).eval()
        except (
            Exception
        ) as error:  # the files are a stranger's, and the libraries that read them fail in their own ways
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise DataError(f"metric 'bertscore': '{folder}' cannot be read as an encoder: {reason}") from error
        layers = int(config.num_hidden_layers)
        if not 1 <= layer <= layers:
            raise UsageError(f"metric 'bertscore': layer {layer}, and the model has layers 1 to {layers}")
        if torch.cuda.is_available():
            self._model = self._model.to("cuda")
        self._layer = layer
        self._reads = _tokens_read(config, self._tokenizer)

    def of(self, texts: Sequence[str]) -> list[Vectors]:
        """The vectors of each text, in order; texts of a length together, so that little is computed of padding."""
        if not texts:
            return []
        room = self._reads - self._tokenizer.num_special_tokens_to_add()
        overlap = min(OVERLAP, room // 2)
        encoded = self._tokenizer(
            [text.strip() for text in texts], truncation=True, max_length=self._reads, stride=overlap,
            return_overflowing_tokens=True, return_special_tokens_mask=True,
        )  # fmt: skip
        places = encoded["overflow_to_sample_mapping"]
        before = Counter[int]()
        windows: dict[int, dict[int, Vectors]] = {place: {} for place in range(len(texts))}
        starts = []
        for place in places:
            starts.append(before[place] * (room - overlap))
            before[place] += 1
        order = sorted(range(len(places)), key=lambda i: len(encoded["input_ids"][i]))
        for begin in range(0, len(order), BATCH):
            some = order[begin : begin + BATCH]
            for i, vectors in zip(some, self._read(encoded, some), strict=True):
                windows[places[i]][starts[i]] = vectors
        return [_joined(windows[place]) for place in range(len(texts))]

    def _read(self, encoded: Mapping[str, Any], some: Sequence[int]) -> list[Vectors]:
        import torch

        names = [name for name in self._tokenizer.model_input_names if name in encoded]
        given = [{name: encoded[name][i] for name in names} for i in some]
        padded = self._tokenizer.pad(given, return_tensors="pt").to(self._model.device)
        with torch.inference_mode():
            layer = self._model(**padded, output_hidden_states=True).hidden_states[self._layer].float()
        layer = torch.nn.functional.normalize(layer, dim=-1).cpu().numpy()
        return [
            Vectors(
                layer[row, : len(encoded["input_ids"][i])], np.array(encoded["special_tokens_mask"][i], dtype=bool) == 0
            )
            for row, i in enumerate(some)
        ]


def _tokens_read(config: Any, tokenizer: Any) -> int:
    positions = int(getattr(config, "max_position_embeddings", 0) or 512)
    if config.model_type in ("roberta", "xlm-roberta", "longformer", "camembert"):  # which count from after the padding
        positions -= int(config.pad_token_id) + 1
    return min(positions, int(tokenizer.model_max_length))


def _joined(windows: dict[int, Vectors]) -> Vectors:
    """One text's vectors out of its windows': each token's from where it stands nearest the middle."""
    starts = sorted(windows)
    if len(starts) == 1:
        return windows[starts[0]]
    room = int(windows[starts[0]].counted.sum())  # all but the last are full
    rows: list[Floats] = []
    for i, start in enumerate(starts):
        own = windows[start].all_[windows[start].counted]
        low = (starts[i - 1] + room - start) // 2 if i else 0  # half of what it has in common with the one before
        high = (room + starts[i + 1] - start) // 2 if i < len(starts) - 1 else len(own)
        rows.append(own[low:high])
    first, last = windows[starts[0]], windows[starts[-1]]
    marks = [first.all_[:1][~first.counted[:1]], last.all_[-1:][~last.counted[-1:]]]
    vectors = np.concatenate([marks[0], *rows, marks[1]])
    counted = np.ones(len(vectors), dtype=bool)
    counted[: len(marks[0])], counted[len(vectors) - len(marks[1]) :] = False, False
    return Vectors(vectors, counted)


def f1(answer: Vectors, reference: Vectors) -> float:
    """Of precision and recall; 0 where one of the texts has no token of its own, or they have nothing in common."""
    if not answer.counted.any() or not reference.counted.any():
        return 0.0
    similar = answer.all_ @ reference.all_.T
    precision = float(similar.max(axis=1)[answer.counted].mean())
    recall = float(similar.max(axis=0)[reference.counted].mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def pair_scorer(
    settings: MetricSettings, root: Path, metric: str
) -> Callable[[Sequence[tuple[str, str]]], list[float]]:
    """
        pair_scorer(MetricSettings(model="path:models/minilm", layer=6), Path("."), "bertscore")([("a fever", "fever")])

    A function of pairs of answer and reference, one F1 for each; every text is read once. Raises what `TokenVectors`
    raises.
    """
    model = TokenVectors(model_folder(settings.model, root, metric), settings.layer)

    def score(pairs: Sequence[tuple[str, str]]) -> list[float]:
        texts = list(dict.fromkeys(text for pair in pairs for text in pair))
        vectors = dict(zip(texts, model.of(texts), strict=True))
        return [f1(vectors[answer], vectors[reference]) for answer, reference in pairs]

    return score


def make_bertscore(settings: MetricSettings, root: Path) -> Metric:
    """
        make_bertscore(MetricSettings(model="path:models/minilm", layer=6), Path(".")).score([(example, "an answer")])

    A graded metric, of several accepted answers against the nearest. Raises what `pair_scorer` raises.
    """
    scorer = pair_scorer(settings, root, "bertscore")

    def score(batch: Batch) -> list[float]:
        pairs = [(str(value), [text for text in accepted(example.gold) if text]) for example, value in batch]
        found = iter(scorer([(answer, reference) for answer, references in pairs for reference in references]))
        return [max((next(found) for _ in references), default=0.0) for _, references in pairs]

    return Metric(MetricFacts("bertscore"), score)
