"""What is planted is found and what is only alike is not: words, titles, answers, gold documents, dates."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ragmed.audit.dates import newer
from ragmed.audit.findings import Finding, Findings
from ragmed.audit.sources import SourceText
from ragmed.audit.words import WordAudit, dois
from ragmed.records import ContextDocument, Example

QUESTION = "Which beta-blocker should a patient with severe asthma never be given by mouth on this ward?"
MIDDLE = "severe"  # the ninth of seventeen words
VIGNETTE = (
    "A 34-year-old woman comes to the office because of three months of fatigue, hair loss and cold hands. She gained "
    "six kilograms although she eats little. Her pulse is 52, her skin is dry and her reflexes return slowly. "
)
LEAD = "Which of the following is the most likely diagnosis in this patient?"
FILLER = "Nothing of it stands here, and much is written of other matters. " * 5


def source_text(text: str, title: str = "", *, document: str = "c:d", cited: str = "") -> SourceText:
    return SourceText(document, f"{document}#0", (("title", title),) if title else (), text, cited)


def found(
    examples: list[Example], *texts: SourceText, length: int = 8, share: float = 0.5, gold: tuple[str, ...] = ()
) -> list[tuple[str, str, float, bool]]:
    """(example, kind, score, counts) of all findings in some texts."""
    findings = Findings()
    documents = {("t", one.id): gold for one in examples}
    WordAudit({"t": examples}, length=length, share=share).scan(texts, "index i", findings, gold=documents)
    return [(e, f.kind, round(f.score, 2), f.counts) for e, several in findings.of("t") for f in several]


def what(examples: list[Example], *texts: SourceText) -> list[str]:
    findings = Findings()
    WordAudit({"t": examples}, length=8, share=0.5).scan(texts, "index i", findings)
    return [f.what for _, several in findings.of("t") for f in several]


def asked(question: str = QUESTION, **options: str) -> Example:
    return Example("q1", question, options=options, gold="A")


def test_a_question_is_found_where_its_own_material_was_copied() -> None:
    note = (ContextDocument(VIGNETTE),)
    examples = [Example("q1", "What does she have?", note), Example("q2", "What is to be done?")]
    assert found(examples, source_text(f"Case of the week. {VIGNETTE}{FILLER}")) == [("q1", "ngram", 0.89, True)]


@pytest.mark.parametrize(
    "written",
    [
        QUESTION,
        QUESTION.upper(),
        QUESTION.replace(" ", "\n").replace("-", "\u2011").replace("?", " ..."),
        QUESTION.replace("with", "ｗｉｔｈ").replace("never", "𝐧𝐞𝐯𝐞𝐫").replace("asthma", "ásthmä"),
        QUESTION.replace("a", "\u0430").replace("e", "\u0435").replace("o", "\u043e").replace("c", "\u0441"),
        QUESTION.replace("asthma", "as\u00adth\u200bma"),
        QUESTION.replace("severe", "<b>severe</b>").replace(" ", "&nbsp;"),
    ],
    ids=["verbatim", "case", "punctuation", "compatible", "homoglyphs", "unseen", "markup"],
)
def test_a_copy_is_found_however_it_is_written(written: str) -> None:
    assert found([asked()], source_text(FILLER + written + FILLER)) == [("q1", "ngram", 1.0, True)]
    assert found([asked()], source_text(written, document="c:e")) == [
        ("q1", "identity", 1.0, True),
        ("q1", "ngram", 1.0, True),
    ]
    assert found([asked(written)], source_text(FILLER + QUESTION + FILLER)) == [("q1", "ngram", 1.0, True)]


def test_one_exchanged_word_hides_a_short_question_and_no_long_one() -> None:
    # 17 words hold 10 runs of 8; the ninth stands in 8 of them, the fourth in 4
    assert found([asked()], source_text(QUESTION.replace(MIDDLE, "bad"))) == []
    assert found([asked()], source_text(QUESTION.replace("should", "must"))) == [("q1", "ngram", 0.6, True)]
    assert found([asked()], source_text(QUESTION.replace("should", "must")), share=0.7) == []
    # 54 words hold 47 runs, of which an exchanged word takes 8
    long = asked(VIGNETTE + LEAD)
    assert found([long], source_text(FILLER + (VIGNETTE + LEAD).replace("hair", "weight"))) == [
        ("q1", "ngram", 0.83, True)
    ]


def test_thirteen_words_ask_for_more_than_eight() -> None:
    part = source_text(" ".join(QUESTION.split()[:13]) + ".")
    assert found([asked()], part) == [("q1", "ngram", 0.7, True)]
    assert found([asked()], part, length=13) == []  # 14 words, for beta-blocker is two: 2 of 5 runs
    assert found([asked()], part, length=13, share=0.4) == [("q1", "ngram", 0.4, True)]


def test_the_form_of_the_questions_of_a_task_identifies_none() -> None:
    form = "What is the number that a nurse on night duty dials to reach the pharmacist of {} ward?"
    wards = ["Elm", "Oak", "Ash", "Fir", "Yew", "Bay"]
    examples = [Example(ward, form.format(ward)) for ward in wards]
    assert found(examples, source_text(form.format("Larch"))) == []
    assert found(examples, source_text(form.format("Elm"))) == [
        ("Elm", "identity", 1.0, True),
        ("Elm", "ngram", 1.0, True),
    ]
    # four questions are too few to tell a form from a text: all are found, by 10 of 11 runs
    assert [one[0] for one in found(examples[:4], source_text(form.format("Elm")))][:2] == ["Elm", "Elm"]
    shared = [Example(str(n), VIGNETTE + LEAD if not n else f"{LEAD} It is number {n}.") for n in range(6)]
    assert found(shared, source_text(f"{FILLER} {LEAD}")) == []


def test_a_shared_last_sentence_is_no_copy_of_a_vignette() -> None:
    assert found([asked(VIGNETTE + LEAD)], source_text(f"{FILLER} {LEAD} {FILLER}")) == []


def test_the_answer_beside_the_question_is_said_and_alone_does_not_count() -> None:
    long = "Oral propranolol, because it narrows the airways of those who have asthma"
    example = asked(A=long, B="Aspirin")
    both = f"{QUESTION} {long}."
    assert what([example], source_text(FILLER + both)) == [
        'question and its answer: "which beta blocker should a patient with severe asthma never be given by mouth ..."',
        'its answer: "oral propranolol because it narrows the airways of those who have asthma"',
    ]
    assert found([example], source_text(FILLER + long)) == [("q1", "ngram", 1.0, False)]
    # a part below the threshold is shown beside the answer alone, and does not count
    part = " ".join(QUESTION.split()[:9])
    assert found([asked(A="Propranolol", B="Aspirin")], source_text(f"{part}: propranolol.")) == [
        ("q1", "ngram", 0.3, False)
    ]
    assert found([asked(A="Propranolol", B="Aspirin")], source_text(f"{part}: aspirin.")) == []
    assert found([asked(A="yes", B="no")], source_text(f"{part}: yes.")) == []


def test_a_title_that_is_the_question_counts_and_a_topic_does_not() -> None:
    title = "Do statins help in chronic heart failure?"
    example = asked(title.upper(), A="yes", B="no")
    assert found([example], source_text("They do not.", title)) == [
        ("q1", "identity", 1.0, True),
        ("q1", "ngram", 1.0, True),
    ]
    assert what([example], source_text("They do not.", title))[0] == f"the question is the title: {title}"
    assert found([asked("Vitamin K")], source_text(FILLER, "Vitamin K")) == [("q1", "identity", 1.0, False)]
    assert found([asked("What is asthma?")], source_text(FILLER, "What is asthma")) == [("q1", "identity", 1.0, True)]
    assert found([asked("Asthma")], source_text(FILLER, "Asthma")) == []


def test_a_stem_shorter_than_a_run_is_an_ordinary_phrase() -> None:
    stem = asked("The ectoderm gives rise to", A="the nervous system", B="bone")
    assert found([stem], source_text("The ectoderm gives rise to the nervous system.")) == [("q1", "ngram", 1.0, False)]
    assert found([stem], source_text("The ectoderm gives rise to skin.")) == []
    whole = asked("What does the ectoderm become?", A="the nervous system", B="bone")
    assert found([whole], source_text(f"What does the ectoderm become? {FILLER}")) == [("q1", "ngram", 1.0, True)]


def test_in_its_own_gold_document_only_the_whole_question_counts() -> None:
    made_from = source_text(" ".join(QUESTION.split()[:13]), document="pubmed:7")
    assert found([asked()], made_from) == [("q1", "ngram", 0.7, True)]
    assert found([asked()], made_from, gold=("pubmed:7",)) == [("q1", "ngram", 0.7, False)]
    assert found([asked()], source_text(FILLER + QUESTION, document="pubmed:7"), gold=("pubmed:7",))[0][3]


def test_no_run_of_words_goes_from_a_title_into_its_text() -> None:
    words = QUESTION.split()
    assert found([asked()], source_text(" ".join(words[7:]), " ".join(words[:7]))) == []


def test_a_doi_that_a_question_names_is_shown() -> None:
    example = asked("What does https://doi.org/10.1000/AB.12 conclude?")
    held = source_text(FILLER, cited="Ada 2031, doi:10.1000/ab.12.")
    assert found([example], held) == [("q1", "identity", 1.0, False)]
    assert what([example], held) == ["the document that it names: doi 10.1000/ab.12"]
    assert list(dois("10.1000/a). and 10.20/b, 10.1000/c<br>")) == ["10.1000/a", "10.1000/c"]


def test_texts_without_words_are_in_nothing() -> None:
    examples = [asked("?!"), Example("q2", "\u200b\u200b ..."), Example("q3", "a " * 3)]
    assert (
        found(examples, source_text(""), source_text("?!", "?!"), source_text("\u200b", "\u200b"), source_text("..."))
        == []
    )
    assert WordAudit({"t": examples}, length=8, share=0.5).unfindable == {"t": 3}
    assert WordAudit({"t": [asked()]}, length=8, share=0.5).unfindable == {}
    assert found([], source_text(QUESTION)) == []


def test_of_one_sort_the_strongest_stays() -> None:
    findings, one = Findings(), Finding("ngram", "w", "index i", "d", "p", 0.9, counts=False)
    for score, counts in ((0.9, False), (0.5, True), (0.7, True), (0.6, True)):
        findings.add("t", "q", "question", replace(one, score=score, counts=counts))
    findings.add("t", "q", "question", replace(one, source="index j", score=0.1))
    assert [(f.source, f.score) for _, several in findings.of("t") for f in several] == [
        ("index i", 0.7), ("index j", 0.1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("document", "question", "later"),
    [
        ("2031-05-02", "2031-05-01", True), ("2031-05-01", "2031-05-01", False), ("2031", "2031-05-01", False),
        ("2032", "2031-05-01", True), ("2031-06", "2031-05-20", True), ("1998 Mar", "1997", True),
        ("soon", "2031", False), ("2031", "", False), ("", "2031", False),
    ],
)  # fmt: skip
def test_newer_is_reported_only_where_it_is_certain(document: str, question: str, later: bool) -> None:
    assert newer(document, question) is later
