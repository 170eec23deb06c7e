"""docs/evidence.md: its commands are run, and each of its numbers must be among what they print, in its own row."""

import html
import re
from itertools import takewhile
from pathlib import Path

import pytest
from click.testing import CliRunner
from ragmed.cli.main import cli

from ragmed.workspace import Workspace

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
DATA = Workspace.find(ROOT).data
RELEASED = ROOT / "configs" / "released"
STUDIES = RELEASED.parent / "studies"
PAGE = (ROOT / "docs" / "evidence.md").read_text(encoding="utf-8")

TUNINGS = {
    "Llama-3-70B-Instruct → OpenBioLLM-70B": ("openbiollm-70b", "llama-3-70b"),
    "Llama-3-8B → OpenBioLLM-8B": ("openbiollm-8b", "llama-3-8b"),
    "Llama-3-8B → JSL-MedLlama-3-8B": ("jsl-medllama-8b", "llama-3-8b"),
    "Mistral-7B-Instruct-v0.2 → BioMistral-7B": ("biomistral-7b", "mistral-7b-v0.2"),
    "Mistral-7B → QLoRA on MedQA's own training questions": ("mistral-7b-qlora", "mistral-7b"),
    "GPT-3.5, closed book → MedRAG with 32 passages": ("gpt-35-turbo-16k/rag_32", "gpt-35-turbo-16k/cot"),
}
READ = {name.rsplit(" → ")[-1]: arms for name, arms in list(TUNINGS.items())[:4]}
READINGS = (("authors", "wrong"), ("authors", "drop"), ("ours", "wrong"), ("authors, else ours", "wrong"))
CLINFO = {
    "TLDR, BERTScore": ("bertscore", "clinfo TLDR"),
    "TLDR, source article excluded, BERTScore": ("bertscore", "clinfo TLDR source-excluded"),
    "TLDR, source article excluded, ROUGE-L": ("rouge-L", "clinfo TLDR source-excluded"),
    "synthesis, source article excluded, BERTScore": ("bertscore", "clinfo synthesis source-excluded"),
}
COMPARED = {
    "without a letter: wrong (`ragmed compare mirage`)": "mirage",
    "without a letter: left out (`--policy drop`)": "mirage drop",
    'without a letter: "A", as MIRAGE has it (`--reader mirage`)': "mirage as read",
}


def flat(text: str) -> str:
    return " ".join(text.replace("\N{MINUS SIGN}", "-").split())


@pytest.fixture(scope="module")
def said(tmp_path_factory) -> dict[str, str]:
    """Name -> what a command of the page prints, on one line."""
    for folder in ("released", "mirage"):
        if not (DATA / folder).exists():
            pytest.skip(f"others' published answers are not at hand ({folder}/ under RAGMED_DATA)")
    root = tmp_path_factory.mktemp("evidence")

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(cli, ["--root", str(root), *arguments], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return flat(done.output)

    mirage = DATA / "mirage"
    imports = sorted(RELEASED.glob("*.yaml"))
    printed = {path.stem: run("import", str(path)) for path in imports}
    run(
        "import", "mirage", "--benchmark", str(mirage / "benchmark.json"), "--predictions",
        str(mirage / "prediction-gpt-35-turbo-16k.tar.xz"), "--output", str(root / "runs" / "mirage"),
    )  # fmt: skip
    printed["mirage"] = run("compare", "mirage")
    printed["mirage drop"] = run("compare", "mirage", "--policy", "drop")
    printed["mirage as read"] = run("compare", "mirage", "--reader", "mirage")
    for what in ("tuning", "retrieval"):
        for policy in ("wrong", "drop"):
            printed[f"pool {what} {policy}"] = run("pool", str(STUDIES / f"{what}.yaml"), "--policy", policy)
    run("report", "afrimed-qa")
    page = (root / "runs" / "afrimed-qa" / "report" / "index.html").read_text(encoding="utf-8")
    rows = re.findall(r"<tr>.*?</tr>", page[page.index('id="readings"') :], re.DOTALL)
    printed["readings"] = "\n".join(flat(html.unescape(re.sub(r"<[^>]+>", " ", row))) for row in rows)
    return printed


def table(after: str) -> list[list[str]]:
    """The cells of the rows of the first table that begins with, or behind, some words of the page."""
    lines = PAGE[PAGE.rindex("\n", 0, PAGE.index(after)) :].splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("|"))
    rows = list(takewhile(bool, lines[begin:]))
    return [[cell.strip().strip("*") for cell in row.strip("| ").split(" | ")] for row in rows[2:]]


def task(text: str, name: str) -> str:
    """What is printed of one task."""
    return re.split(r" mirage/\w+ accuracy score ", text.split(f" {name} accuracy score ", 1)[1])[0]


def contrast(arm: str, baseline: str, points: str, p: str, pairs: str, verdict: str) -> str:
    fixed, broke = pairs.split(" / ") if pairs != "-" else ("-", "-")
    return f"{arm} - {baseline} {points} {p} {fixed} {broke} {verdict}"


def test_five_tunings_and_retrieval_on_medqa(said):
    rows = {row[0]: row[1:] for row in table("## What five tunings did to MedQA")}
    assert rows.keys() == TUNINGS.keys()
    for name, (accuracy, points, pairs, p, verdict) in rows.items():
        arm, baseline = TUNINGS[name]
        run = "mirage" if "GPT" in name else "mistral-medqa-qlora" if "QLoRA" in name else "afrimed-qa"
        shown = task(said[run], "mirage/medqa")
        assert contrast(arm, baseline, points, p, pairs, verdict) in shown, name
        for one, share in zip((baseline, arm), accuracy.split(" → "), strict=True):
            assert f" {one} {float(share) / 100:.3f} [" in f" {shown}", (name, one)
    assert "2 of 2 printed figures are what the rows come to" in said["mistral-medqa-qlora"]


def test_the_two_by_two(said):
    text = said["trec-hm-llama3"]
    rows = table("## A published 2×2")
    assert [row[0] for row in rows] == ["tuning", "retrieval", "interaction", "tuning against retrieval"]
    first = text.split("2x2 (untuned: llama3, llama3 1;", 1)[1].split("2x2 (untuned", 1)[0]
    for effect, points in rows:
        assert f"{effect.replace(' ', '-')} {points} 1.000 cannot tell" in first, effect
    for arm, right in zip(("llama3", "medllama3", "llama3 1", "medllama3 1"), (122, 124, 123, 126), strict=True):
        assert f" {arm} {right / 149:.3f} [" in text
    assert "122, 124, 123 and 126 of 149 are right" in PAGE
    losses = [float(one) for one in re.findall(r" - [\w. -]+? ([+-][\d.]+) \[[^]]+\] [<\d.]+ \d+ \d+ ", text)]
    assert (len(losses), min(losses)) == (31, -13.6)
    assert "the largest of 31 contrasts" in flat(PAGE)


def test_what_the_reader_decides(said):
    rows = {row[0]: row[1:] for row in table("On MedQA, points and fixed / broke")}
    assert rows.keys() == READ.keys()
    for name, cells in rows.items():
        arm, baseline = READ[name]
        for (reading, policy), cell in zip(READINGS, cells, strict=True):
            points, pairs, verdict = cell.split(", ")
            fixed, broke = pairs.split(" / ")
            counts = rf"[\d,]+ {re.escape(points)} {fixed} {broke} \S+ {verdict}"
            assert re.search(f"mirage/medqa {arm} {baseline} {reading} {policy} {counts}", said["readings"]), (
                name,
                reading,
                policy,
            )


def test_medrags_gain_on_medmcqa_by_reading(said):
    rows = {row[0]: row[1:] for row in table("MedRAG's published gain on MedMCQA hangs")}
    assert rows.keys() == COMPARED.keys()
    for name, (points, pairs) in rows.items():
        fixed, broke = pairs.split(" / ")
        start = f"gpt-35-turbo-16k/rag_32 - gpt-35-turbo-16k/cot {points} "
        shown = task(said[COMPARED[name]], "mirage/medmcqa")
        assert re.search(rf"{re.escape(start)}\S+ {fixed} {broke} ", shown), name


def test_not_like_with_like(said):
    text = said["clinfo-ai"]
    rows = {row[0]: row[1:] for row in table("## Not like with like")}
    assert rows.keys() == CLINFO.keys()
    for name, (points, p, verdict) in rows.items():
        metric, arm = CLINFO[name]
        shown = text.split(f" {metric}, difference points ", 1)[1].split(", difference points ", 1)[0]
        assert contrast(arm, "gpt4", points, p, "-", verdict) in shown, name
    assert "clinfo TLDR and gpt4 differ in model and what is shown" in text
    assert '"clinfo TLDR and gpt4 differ in model and what is shown"' in PAGE
    notes = said["mediqa-chat-wanglab"].split(" rouge_1, difference points ", 1)[1].split(", difference points ", 1)[0]
    similar = re.findall(
        r"similar\S* ?\S* ?\S* - \S*(?:gpt-4 )?random\S* ?\d? ([+-][\d.]+) \[[^]]+\] (\S+) - - (\w+)", notes
    )
    assert len(similar) == 10
    assert {verdict for _, _, verdict in similar} == {"better"}
    assert (min(float(one) for one, _, _ in similar), max(float(one) for one, _, _ in similar)) == (3.8, 8.7)
    assert max(p for _, p, _ in similar) == "0.025"


@pytest.mark.parametrize("what", ["tuning", "retrieval"])
def test_all_of_it_together(said, what):
    text = said[f"pool {what} wrong"]
    *studies, (_, points, count) = table(f"`ragmed pool configs/studies/{what}.yaml` |")
    assert count == f"{len(studies)} studies"
    for name, difference, n in studies:
        assert f" {name} {difference} {n.replace(',', '')} " in text, name
    estimate, interval = points.split(" ", 1)
    assert f"Together {estimate} points {interval}," in text
    assert f"(random effects, {count})" in text
    further = re.search(r"A further study would lie in (\[[^]]+\])", text)
    assert further is not None
    assert further[1] in flat(PAGE)


AFRIMED, TREC, NOTES = "afrimed-qa", "trec-hm-llama3", "mediqa-chat-wanglab"
SENTENCES = [
    ("1,273 test questions", AFRIMED, r"openbiollm-70b 0\.666 \[[^]]+\] 1273 unparsed 121 "),
    ("Holm's over the 22 contrasts of that run", AFRIMED, "Holm's over all 22 contrasts of this run"),
    ("retrieval on the same 1,273 questions", "mirage", r"/rag_32 0\.656 \[[^]]+\] 1273 "),
    ("All 25 accuracies that AfriMed-QA prints", AFRIMED, "25 of 25 printed figures are what the rows come to"),
    ("149 yes/no topics", TREC, r"2x2 \(untuned: llama3, llama3 1; tuned: medllama3, medllama3 1; n 149\)"),
    ("five points: 149 questions are too few", TREC, "n 149"),
    (
        "page of rank 4, -13.6 points [-22.2, -5.2]",
        TREC,
        r"gpt-3\.5-turbo expert 4 - gpt-3\.5-turbo expert -13\.6 \[-22",
    ),
    ("its adjusted p is 0.090", TREC, r"-13\.6 \[-22\.2, -5\.2\] 0\.090 "),
    ("41 of the 45 accuracies that the logs print", TREC, "41 of 45 printed figures are what the rows come to"),
    ("Of the 22 contrasts that AfriMed-QA's answers allow, 14 have the same verdict", AFRIMED, "14 of 22 verdicts are"),
    (
        "The authors read no letter in 121 answers of OpenBioLLM-70B",
        AFRIMED,
        r"openbiollm-70b 0\.666 .{14} 1273 unparsed 121 ",
    ),
    ("Our reader reads 99 of them", AFRIMED, "'openbiollm-70b': of 1,273 [^;]+; not read by the authors: 99"),
    ("(22 of 1,273 not read)", AFRIMED, r"'mistral-7b-v0\.2': of 1,273 outputs [^;]+not read by ours: 22;"),
    ("The same 4,183 pairs of answers", "mirage", r"/rag_32 0\.535 \[[^]]+\] 4183 "),
    ("from +3.8 points [+1.3, +6.9] to +8.7 [+5.7, +12.2]", NOTES, r"\+3\.8 \[\+1\.3, \+6\.9\] 0\.025 "),
    ("the largest adjusted p 0.025", NOTES, r"\+8\.7 \[\+5\.7, \+12\.2\] 0\.001 - - better"),
    (
        "GPT-4 is 11.5 points behind without an example (-11.5 [-15.5, -7.1])",
        NOTES,
        r"gpt-4 - led_large_pubmed -11\.5 \[",
    ),
    (
        "nothing can be told, -0.5 [-4.1, +3.4]",
        NOTES,
        r"3 - led_large_pubmed -0\.5 \[-4\.1, \+3\.4\] \S+ - - cannot tell",
    ),
    ("(p 0.155 and 0.583; I² 91 % and 77 %)", "pool retrieval wrong", r"p 0\.155 .*I2 91 %"),
    ("(p 0.155 and 0.583; I² 91 % and 77 %)", "pool tuning wrong", r"p 0\.583 .*I2 77 %"),
    ("it is +5.6 [-0.7, +11.9] for retrieval", "pool retrieval drop", r"Together \+5\.6 points \[-0\.7, \+11\.9\]"),
    ("and +2.7 [-7.3, +12.8] for tuning", "pool tuning drop", r"Together \+2\.7 points \[-7\.3, \+12\.8\]"),
    ("go from -2.0 to +0.9 [-1.0, +2.6]", "pool tuning drop", r"\(AfriMed-QA\) \+0\.9 \[-1\.0, \+2\.6\]"),
    ("-2.0 [-3.6, -0.3] is the mean of four tunings", "pool tuning wrong", r"\(AfriMed-QA\) -2\.0 \[-3\.6, -0\.3\]"),
    (
        "four tunings that go from -11.5 to +11.0",
        AFRIMED,
        r"openbiollm-70b - llama-3-70b -11\.5 .*8b - llama-3-8b \+11\.0 ",
    ),
    ("retrieval gives 16.7 points", "pool retrieval wrong", r"BioASQ \(MedRAG, GPT-3\.5\) \+16\.7 "),
    ("examination questions -0.1 to +2.7", "pool retrieval wrong", r"MMLU-Med [^+]+\+2\.7 .* MedMCQA \(\S+ \S+ -0\.1 "),
    ("Two MedMCQA studies share 46 questions", "pool retrieval wrong", "ask 46 questions in common"),
    ("with 149 questions and with 46 of 1,000", "finetune-vs-rag-medmcqa", r"qlora-rag-parity; n 46\)"),
]


@pytest.mark.parametrize(("sentence", "command", "printed"), SENTENCES)
def test_what_the_sentences_say(said, sentence, command, printed):
    assert sentence in flat(PAGE)
    assert re.search(printed, said[command])


def test_every_number_with_a_sign_and_every_interval_is_printed(said):
    """Prose too: whatever the page gives with a sign, an interval or as a p value stands in what a command prints."""
    text, page = flat(" ".join(said.values())), flat(PAGE)
    found = set(re.findall(r"(?<![\w.])[+-]\d+\.\d\b|\[[+-][\d.]+, [+-][\d.]+\]|(?<=adjusted p )[<\d.]+\d", page))
    assert len(found) > 60
    assert not sorted(one for one in found if one not in text)
