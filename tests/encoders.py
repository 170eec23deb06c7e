"""Tiny encoders with random weights, written to folders as publishers keep them, and an index of a few texts that they
search: what tests of retrieval load.

They show that weights are loaded, asked and kept right; of how well a method finds, they show nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ragmed.index.build import build_index
from ragmed.index.recipe import IndexRecipe
from ragmed.index.store import Index
from ragmed.workspace import Workspace

WORDS = (
    "asthma attack salbutamol relieves wrist broken needs cast fever paracetamol lowers cough heart failure diuretic "
    "insulin glucose diabetes stroke alteplase sepsis fluids what treats a an the is for of in adults children"
).split()


def save_tokenizer(folder: Path, *, longest: int = 64) -> Any:
    """A BERT tokenizer that knows WORDS, letters and digits."""
    from transformers import BertTokenizerFast

    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)] + list("0123456789.,?!:#-")
    pieces = [*letters, *(f"##{letter}" for letter in letters)]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces, *(word for word in WORDS if len(word) > 1)]
    tokenizer = BertTokenizerFast(
        vocab={word: number for number, word in enumerate(vocabulary)}, model_max_length=longest
    )
    tokenizer.save_pretrained(folder)
    return tokenizer


def save_bert(folder: Path, *, seed: int, kind: str = "BertModel", longest: int = 64, **shape: Any) -> Any:
    """A BERT of one layer and 16 dimensions with its tokenizer, and no word of sentence-transformers."""
    import torch
    import transformers

    size = len(save_tokenizer(folder, longest=longest))
    config = transformers.BertConfig(
        vocab_size=size, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=longest, initializer_range=0.5, **{"hidden_size": 16, **shape},
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = getattr(transformers, kind)(config)
    model.eval().save_pretrained(folder)
    return model


def save_cross_encoder(folder: Path, pairs: Sequence[tuple[str, str, float]] = (), *, steps: int = 40) -> Path:
    """A cross-encoder, trained from random weights for a few steps on `pairs` (query, passage, 1 where it answers)."""
    import torch

    model = save_bert(folder, seed=1, kind="BertForSequenceClassification", num_labels=1)
    if not pairs:
        return folder
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    read = tokenizer([one for one, _, _ in pairs], [two for _, two, _ in pairs], padding=True, return_tensors="pt")
    wanted = torch.tensor([label for _, _, label in pairs])
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(steps):
        optimiser.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(**read).logits[:, 0], wanted)
        loss.backward()
        optimiser.step()
    model.save_pretrained(folder)
    return folder


def save_late_interaction(folder: Path) -> Path:
    """A late-interaction model as sentence-transformers saves one: BERT, a projection of each token to 8 numbers, the
    mask of tokens that count (punctuation of passages does not), vectors of length one; queries filled up to 12 tokens.
    """
    import torch
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Dense, Normalize, Transformer
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    save_bert(folder / "bert", seed=5)
    expansion = {"strategy": "fixed", "attend": False, "length": 12}
    tokens = Transformer(str(folder / "bert"), query_expansion=expansion)
    with torch.random.fork_rng():
        torch.manual_seed(6)
        project = Dense(
            16, 8, bias=False, activation_function=torch.nn.Identity(), module_input_name="token_embeddings",
            module_output_name="token_embeddings",
        )  # fmt: skip
    rest = [MultiVectorMask(skiplist_words=list(".,?!")), Normalize(module_input_name="token_embeddings")]
    model = MultiVectorEncoder(modules=[tokens, project, *rest], device="cpu")
    model.save(str(folder / "late"))
    return folder / "late"


def index_of(root: Path, texts: Sequence[str], *, access: str = "open") -> Index:
    """The index `notes` of a workspace, over the texts as documents d0, d1 …, with vectors that nobody needs."""
    corpus = root / "corpora" / "notes"
    corpus.mkdir(parents=True)
    lines = [json.dumps({"id": f"d{number}", "text": text}) + "\n" for number, text in enumerate(texts)]
    (corpus / "notes.jsonl").write_text("".join(lines))
    (corpus / "recipe.yaml").write_text(f"title: Notes\nreader: jsonl\npaths: [notes.jsonl]\naccess: {access}\n")
    recipe = IndexRecipe("notes", ("notes",), "hashing:16")
    build_index(recipe, workspace=Workspace(root), output=root / "indexes" / "notes")
    return Index.open(root / "indexes" / "notes")
