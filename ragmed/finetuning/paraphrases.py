"""Training texts and a model in, the same texts and the model's wordings of them out; each answer is kept in a file.

`paraphrases.jsonl`: a first line that says which model wrote, then a line an answer, appended and flushed:

    {"model": "path:models/m", "fingerprint": {"weights": "..."}, "max_tokens": 256}
    {"source": SHA256, "text": "passages:handbook:wards/flint", "words": "...", "finish": "stop", "error": ""}

`source` is the hash of what the model was asked: what stands there is not asked again. An answer that failed, was cut
or refused, is empty, or only repeats what was given, is recorded and counted, and never trained on.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ragmed.chunking import Chunking, chunk
from ragmed.errors import DamagedError, MismatchError, ModelError
from ragmed.files import BadLine, canonical_json, exclusive, fsync_folder, read_jsonl, sha256_json, whole_text
from ragmed.finetuning.recipe import AdapterRecipe, Paraphrases
from ragmed.finetuning.texts import TextSet, TrainingText, count_texts, text_id
from ragmed.models import Model, ModelSettings, load_model
from ragmed.prompts import harmless
from ragmed.protection import refuse_leaks
from ragmed.records import Completion, Document, Message
from ragmed.workspace import Workspace

FILE = "paraphrases.jsonl"
WINDOW = 64  # answers that a kill costs at most

REWRITE = (
    "You write reference texts in other words. Keep every fact, number, unit and name, add none, and write nothing but "
    "the new text."
)
TEXT_STYLES = (
    "Write this text in other words:",
    "Write this text as a colleague would explain it:",
    "Write this text in short sentences:",
    "Write this text with its facts in another order:",
)
QUESTION_STYLES = (
    "Ask this question in other words:",
    "Ask this question as a patient would:",
    "Ask this question as briefly as can be:",
    "Ask this question as a doctor would:",
)


@dataclass(frozen=True, slots=True)
class _Order:
    """A wording that is wanted: what the model is asked for it, and the text that it becomes a wording of."""

    text: TrainingText
    wording: str
    given: str
    title: str
    messages: tuple[Message, ...]

    @property
    def source(self) -> str:
        return sha256_json([[message.role, message.content] for message in self.messages])


@dataclass(slots=True)
class _Record:
    """The file, and what it holds already: hash of what was asked -> what was answered."""

    path: Path
    header: Mapping[str, Any] = field(default_factory=dict)
    answers: dict[str, Mapping[str, Any]] = field(default_factory=dict)


def paraphrased(textset: TextSet, recipe: AdapterRecipe, *, workspace: Workspace, folder: Path) -> TextSet:
    """
        paraphrased(textset, recipe, workspace=workspace, folder=Path("adapters/mine")).counts
        # {'passages': 288, 'by_model': 144, 'texts': 288, 'paraphrases_failed': 0, 'paraphrases_repeated': 0}

    Unchanged where the recipe names no model. `per_text` wordings of every text in the corpus's words: of a passage
    its pieces of up to `max_tokens` tokens, of a pair (also as raft) its question, whose answer stays. ProtectionError
    where texts that are not open would leave this machine; MismatchError where another model wrote the file;
    DamagedError where it cannot be read; ModelError where every answer failed; BusyError where another process asks.
    """
    settings = recipe.paraphrases
    if not settings.model:
        return textset
    refuse_leaks(textset.access, [ModelSettings(settings.model)], os.environ)
    orders = [order for item in textset.texts if not item.wording for order in _orders(item, settings)]
    private = textset.access != "open"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700 if private else 0o755)
    with exclusive(folder / f".{FILE}.lock", f"'{folder / FILE}'"):
        record = _read(folder / FILE)
        _require_same(record, settings)
        missing = {item.source: item for item in orders if item.source not in record.answers}
        if missing:
            model = load_model(settings.model, workspace=workspace, seed=recipe.seed)
            _ask(list(missing.values()), model, record, settings, private=private)
    return _with_wordings(textset, orders, record)


def _orders(text: TrainingText, settings: Paraphrases) -> Iterator[_Order]:
    for turn in range(1, settings.per_text + 1):
        if text.way == "passages":
            for number, (title, piece) in enumerate(_pieces(text, settings.max_tokens)):
                prompt = _prompt(TEXT_STYLES, turn, "\n".join(part for part in (title, piece) if part))
                yield _Order(text, f"m{turn}.{number}", piece, title, prompt)
        else:
            yield _Order(text, f"m{turn}", text.question, "", _prompt(QUESTION_STYLES, turn, text.question))


def _prompt(styles: Sequence[str], turn: int, words: str) -> tuple[Message, ...]:
    round_, style = divmod(turn - 1, len(styles))
    # a model that decodes greedily writes another text only where it is asked otherwise
    asked = styles[style] if not round_ else f"{styles[style][:-1]} (version {round_ + 1}):"
    return Message("system", REWRITE), Message("user", f"{asked}\n\n{harmless(words)}")


def _pieces(text: TrainingText, max_tokens: int) -> list[tuple[str, str]]:
    """Heading and text of pieces that can be rewritten within `max_tokens`: five words take some eight tokens."""
    limit = max(16, max_tokens * 5 // 8)
    cut = chunk(
        [Document(text.document, "", text.text)],
        chunking=Chunking(overlap_sentences=0),
        count_tokens=lambda texts: [len(passage.split()) for passage in texts],
        limit=limit,
    )
    title = text.text.strip().partition("\n")[0].lstrip("# ").strip()
    return [(title if number else "", passage.text) for number, passage in enumerate(cut)]


def _ask(orders: Sequence[_Order], model: Model, record: _Record, settings: Paraphrases, *, private: bool) -> None:
    """Asks window by window; each window is on disk before the next is asked."""
    header = {"model": settings.model, "fingerprint": model.fingerprint(), "max_tokens": settings.max_tokens}
    if record.header and record.header["fingerprint"] != header["fingerprint"]:
        raise MismatchError(_another(record.path, f"'{settings.model}' with other weights or settings"))
    if not record.header:
        _append(record.path, [header], private=private)
        record.header = header
    with tqdm(total=len(orders), desc="paraphrases", disable=None) as bar:
        for first in range(0, len(orders), WINDOW):
            some = orders[first : first + WINDOW]
            done = model.generate([order.messages for order in some], max_tokens=settings.max_tokens)
            lines = [_line(order, completion) for order, completion in zip(some, done, strict=True)]
            _append(record.path, lines, private=private)
            record.answers.update({str(line["source"]): line for line in lines})
            bar.update(len(some))


def _line(order: _Order, completion: Completion) -> dict[str, Any]:
    return {
        "source": order.source,
        "text": order.text.id,
        "words": completion.text.strip(),
        "finish": completion.finish,
        "error": completion.error,
    }


def _with_wordings(textset: TextSet, orders: Sequence[_Order], record: _Record) -> TextSet:
    made: list[TrainingText] = []
    outcome: Counter[str] = Counter()
    wordings: dict[str, set[str]] = {}
    errors: Counter[str] = Counter()
    for order in orders:
        answer = record.answers[order.source]
        known = wordings.setdefault(order.text.id, set())
        words = " ".join(answer["words"].casefold().split())
        if answer["finish"] != "stop" or not words:
            outcome["failed"] += 1
            errors[answer["error"] or f"an answer that ended in '{answer['finish']}', or was empty"] += 1
        elif words == " ".join(order.given.casefold().split()) or words in known:
            outcome["repeated"] += 1
        else:
            made.append(_worded(order, answer["words"]))
        known.add(words)
    if orders and outcome["failed"] == len(orders):
        raise ModelError(
            f"'{record.header['model']}' wrote no wording of {len(orders)} asked for; most often: "
            f"{errors.most_common(1)[0][0]}; take '{record.path}' away to ask again, or name another model"
        )
    texts = (*textset.texts, *made)
    counts = {"paraphrases_failed": outcome["failed"], "paraphrases_repeated": outcome["repeated"]}
    return replace(textset, texts=texts, counts={**textset.counts, **count_texts(texts), **counts})


def _worded(order: _Order, words: str) -> TrainingText:
    text, name = order.text, text_id(order.text.way, order.text.document, order.wording)
    clean = harmless(words)
    if text.way == "passages":
        titled = f"{order.title}\n\n{clean}" if order.title else clean
        return replace(text, id=name, text=titled, wording="model")
    # the question ends the last user turn, after whatever passages come before it
    asked = text.messages[-2]
    before = asked.content.removesuffix(harmless(text.question))
    messages = (*text.messages[:-2], Message("user", before + clean), text.messages[-1])
    return replace(text, id=name, messages=messages, question=words, wording="model")


def _read(path: Path) -> _Record:
    """What the file holds; a last line that a kill tore is cut off."""
    if not path.is_file() or not _whole(path):
        return _Record(path)
    header: dict[str, Any] = {}
    answers: dict[str, Mapping[str, Any]] = {}
    for item in read_jsonl(path, "paraphrases"):
        number, line = (item.number, {}) if isinstance(item, BadLine) else item
        if not header and {"model", "fingerprint", "max_tokens"} <= line.keys():
            header = line
        elif header and {"source", "words", "finish", "error"} <= line.keys():
            answers[line["source"]] = line
        else:
            raise DamagedError(f"'{path}', line {number}: it is no answer of a model; take the file away to ask again")
    return _Record(path, header, answers)


def _whole(path: Path) -> int:
    """Cuts the file after its last whole line, and returns how many bytes are left."""
    data = path.read_bytes()
    end = data.rfind(b"\n") + 1
    if end < len(data):
        os.truncate(path, end)
    return end


def _require_same(record: _Record, settings: Paraphrases) -> None:
    for key, value in (("model", settings.model), ("max_tokens", settings.max_tokens)):
        if record.header and record.header[key] != value:
            raise MismatchError(_another(record.path, f"{key} {record.header[key]}, the recipe has {value}"))


def _another(path: Path, what: str) -> str:
    return f"'{path}' was written with {what}; take the file away to have the texts written again"


def _append(path: Path, lines: Sequence[Mapping[str, Any]], *, private: bool) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600 if private else 0o644)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(whole_text("".join(canonical_json(line) + "\n" for line in lines)).encode("utf-8"))
        stream.flush()
        os.fsync(stream.fileno())
    fsync_folder(path.parent)
