"""Questions of texts and of examples in, those that ask the same in other words out, by the cosine of their vectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ragmed.matching.words import words_of
from ragmed.records import Example

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_BLOCK = 1024  # rows of cosines at a time: 8,000 examples beside them take 32 MB
_ROUNDING = 1e-6  # float32 sums of equal vectors may end a hair below 1


class QuestionEmbedder(Protocol):
    def embed_queries(self, texts: Sequence[str], /) -> npt.NDArray[np.float32]:
        """One vector of length 1 a text."""


@dataclass(frozen=True, slots=True)
class Paraphrase:
    """`text`: the id of a text that asks what an example asks. `score`: the cosine; `question`: the example's."""

    text: str
    task: str
    example: str
    score: float
    question: str


def paraphrases(
    texts_by_question: Mapping[str, Sequence[str]],
    examples_by_task: Mapping[str, Sequence[Example]],
    *,
    embedder: QuestionEmbedder,
    similarity: float,
) -> Iterator[Paraphrase]:
    """Every text whose question has a cosine of `similarity` or more with an example's; a text and example once.

    `texts_by_question`: question -> ids of the texts that ask it. A question without words has no sense to compare.
    """
    import numpy as np

    questions = [question for question in texts_by_question if words_of(question)]
    examples = [
        (task, example) for task, examples in examples_by_task.items() for example in examples if words_of(example.text)
    ]
    if not questions or not examples:
        return
    known = embedder.embed_queries([example.text for _, example in examples])
    vectors = embedder.embed_queries(questions)
    seen: set[tuple[str, str, str]] = set()
    for first in range(0, len(questions), _BLOCK):
        cosines = vectors[first : first + _BLOCK] @ known.T
        for row, column in np.argwhere(cosines >= similarity - _ROUNDING).tolist():
            task, example = examples[column]
            for text in texts_by_question[questions[first + row]]:
                if (text, task, example.id) not in seen:
                    seen.add((text, task, example.id))
                    yield Paraphrase(text, task, example.id, float(cosines[row, column]), example.text)
