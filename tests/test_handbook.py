"""Checks on the invented hospital handbook (two editions) and the tasks set on it."""

import json
import math
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from ragmed.tasks import find_task
from ragmed.workspace import Workspace

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "ragmed" / "tasks" / "data"
TASKS = ("handbook-questions", "handbook-questions-2031", "handbook-changed", "handbook-changed-2031")
EDITIONS = {
    "handbook": ("2032-03-01", 2),
    "handbook-2031": ("2031-03-01", 1),
}
NOTICE = "Fictional page of an invented hospital, written for software testing. Not medical advice."
WORDS = {
    w: i
    for i, w in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
        " fifteen sixteen seventeen eighteen".split()
    )
}
WORDS.update({"fifteenth": 15, "sixteenth": 16, "seventeenth": 17, "eighteenth": 18})


def read_pages(edition):
    folder = ROOT / "corpora" / edition / "pages"
    pages = {}
    for path in sorted(folder.rglob("*.md")):
        _, front, body = path.read_text(encoding="utf-8").split("---\n", 2)
        name = path.relative_to(folder).with_suffix("").as_posix()
        pages[name] = (yaml.safe_load(front), body)
    return pages


def read_tasks(name):
    lines = (DATA / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


PAGES = {edition: read_pages(edition) for edition in EDITIONS}
QUESTIONS = read_tasks("handbook-questions.jsonl")
CHANGED = read_tasks("handbook-changed.jsonl")
UNANSWERABLE = read_tasks("handbook-unanswerable.jsonl")
NOTES = read_tasks("handbook-notes.jsonl")
TEST = [q for q in QUESTIONS if q["split"] == "test"]
DEV = [q for q in QUESTIONS if q["split"] == "dev"]


def normal(text):
    return " ".join(text.casefold().split())


def in_binomial_range(hits, n, p):
    """Whether `hits` of `n` lies inside the central 95 % of a binomial distribution."""

    def below(k):
        return sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1))

    low = next(k for k in range(n + 1) if below(k) > 0.025)
    high = next(k for k in range(n + 1) if below(k) >= 0.975)
    return low <= hits <= high


def values(options):
    """The four numbers of an option set that differs in one number only, otherwise None."""
    found, forms = [], set()
    for text in options.values():
        match = re.search(r"\d+:\d+|\d+(?:\.\d+)?", text)
        if match:
            hour, _, minute = match.group().partition(":")
            found.append(float(hour) + float(minute or 0) / 60)
            forms.add(re.sub(r"\d+(?::\d+|\.\d+)?", "#", text))
        else:
            word = next((w for w in text.split() if w in WORDS), None)
            if word is None:
                return None
            found.append(WORDS[word])
            forms.add(text.replace(word, "#"))
    return found if len(forms) == 1 and len(set(found)) == 4 else None


def test_counts():
    assert len(PAGES["handbook"]) >= 130, f"only {len(PAGES['handbook'])} pages"
    for name, tasks, test, dev in (
        ("questions", QUESTIONS, 120, 60),
        ("changed", CHANGED, 32, 0),
        ("unanswerable", UNANSWERABLE, 40, 4),
        ("notes", NOTES, 40, 4),
    ):
        splits = Counter(task["split"] for task in tasks)
        assert (splits["test"], splits["dev"]) == (test, dev), f"{name}: {dict(splits)}"


def test_ids_and_questions_are_unique():
    tasks = QUESTIONS + CHANGED + UNANSWERABLE + NOTES
    for key, count in Counter(task["id"] for task in tasks).items():
        assert count == 1, f"id used {count} times: {key}"
    seen = {}
    for task in QUESTIONS + CHANGED + UNANSWERABLE:
        text = normal(task["question"])
        assert text not in seen, f"{task['id']} asks the same as {seen[text]}"
        seen[text] = task["id"]


@pytest.mark.parametrize("edition", EDITIONS)
def test_pages(edition):
    date, number = EDITIONS[edition]
    titles = {}
    for name, (front, body) in PAGES[edition].items():
        assert front["notice"] == NOTICE, f"{edition}/{name}: notice"
        assert str(front["date"]) == date, f"{edition}/{name}: date {front['date']}"
        assert front["edition"] == number, f"{edition}/{name}: edition {front['edition']}"
        assert body.startswith(f"# {front['title']}\n"), f"{edition}/{name}: heading is not the title"
        assert len(body.split()) >= 60, f"{edition}/{name}: only {len(body.split())} words"
        assert front["title"] not in titles, f"{edition}/{name}: title of {titles[front['title']]}"
        titles[front["title"]] = name


def test_documents_exist_in_both_editions():
    assert set(PAGES["handbook"]) == set(PAGES["handbook-2031"]), set(PAGES["handbook"]) ^ set(PAGES["handbook-2031"])
    for task in QUESTIONS + CHANGED + UNANSWERABLE + NOTES:
        assert task["documents"], f"{task['id']}: no documents"
        for name in task["documents"]:
            assert name in PAGES["handbook"], f"{task['id']}: no page {name}"


def test_questions_are_well_formed():
    for q in QUESTIONS + CHANGED:
        assert list(q["options"]) == ["A", "B", "C", "D"], f"{q['id']}: options"
        assert len({normal(o) for o in q["options"].values()}) == 4, f"{q['id']}: repeated option"
        assert q["answer"] in q["options"], f"{q['id']}: answer"
        assert q.get("answer_2031", "A") in q["options"], f"{q['id']}: answer_2031"
        assert q.get("answer_2031") != q["answer"], f"{q['id']}: answer_2031 is the answer"


@pytest.mark.parametrize(("edition", "key"), [("handbook", "answer"), ("handbook-2031", "answer_2031")])
def test_answer_stands_on_its_page(edition, key):
    missing = []
    for q in QUESTIONS:
        text = normal(" ".join(PAGES[edition][name][1] for name in q["documents"]))
        answer = normal(q["options"][q.get(key, q["answer"])])
        if not re.search(rf"(?<![\w.]){re.escape(answer)}(?!\w)", text):
            missing.append(q["id"])
    assert len(missing) <= 0.1 * len(QUESTIONS), f"answer not on the page: {missing}"


def test_editions_differ_where_meant_to():
    old, new = PAGES["handbook-2031"], PAGES["handbook"]
    changed = {name for name in new if new[name][1] != old[name][1]}
    meant = {name for q in QUESTIONS if "answer_2031" in q for name in q["documents"]}
    assert changed == meant, f"differ by mistake, or fail to: {sorted(changed ^ meant)}"
    assert 12 <= len(changed) <= 18, f"{len(changed)} pages differ"
    for q in CHANGED:
        assert meant.issuperset(q["documents"]), f"{q['id']}: its page does not differ"
    for q in QUESTIONS:
        if "answer_2031" not in q:
            assert not changed & set(q["documents"]), f"{q['id']}: page differs, answer_2031 missing"


def test_what_changed_stands_in_the_edition_that_says_so():
    for q in CHANGED:
        (name,) = q["documents"]
        for edition, key in (("handbook", "answer"), ("handbook-2031", "answer_2031")):
            assert normal(q["options"][q[key]]) in normal(PAGES[edition][name][1]), f"{q['id']}, {edition}"
    for key in ("answer", "answer_2031"):
        assert Counter(q[key] for q in CHANGED) == dict.fromkeys("ABCD", 8)


def test_each_edition_is_asked_for_its_own_answers():
    loaded = {name: find_task(name).load(Workspace.find(ROOT)) for name in TASKS}
    new, old, changed, was = (loaded[name].examples for name in TASKS)
    assert [len(examples) for examples in (new, old, changed, was)] == [120, 120, 48, 48]
    assert sum(a.gold != b.gold for a, b in zip(new, old, strict=True)) == 16
    assert all(a.gold != b.gold and a.options == b.options for a, b in zip(changed, was, strict=True))
    assert max(Counter(example.group for example in changed).values()) == 3
    assert all(len(split.shots) == 60 for split in loaded.values())
    golds = [{e.id: e.options[e.gold] for e in examples}["hq-006"] for examples in (new, old, changed, was)]
    assert golds == ["35 ml/min", "40 ml/min", "35 ml/min", "40 ml/min"]


def test_letters_are_balanced():
    letters = Counter(q["answer"] for q in TEST)
    for letter in "ABCD":
        assert 28 <= letters[letter] <= 32, f"{letter}: {letters[letter]}"
    assert Counter(q["answer"] for q in DEV) == dict.fromkeys("ABCD", 15)


@pytest.mark.parametrize("asked", [TEST, DEV], ids=["test", "dev"])
@pytest.mark.parametrize("choose", [max, min], ids=["longest", "shortest"])
def test_option_length_is_no_clue(choose, asked):
    hits = 0.0
    for q in asked:
        lengths = {letter: len(text) for letter, text in q["options"].items()}
        ties = [letter for letter in lengths if lengths[letter] == choose(lengths.values())]
        hits += (q["answer"] in ties) / len(ties)
    assert in_binomial_range(round(hits), len(asked), 0.25), f"{hits:.1f} of {len(asked)}"


@pytest.mark.parametrize(
    ("ranks", "p"), [((3,), 0.25), ((0,), 0.25), ((1, 2), 0.5)], ids=["largest", "smallest", "middle"]
)
@pytest.mark.parametrize("asked", [TEST, DEV], ids=["test", "dev"])
def test_option_size_is_no_clue(ranks, p, asked):
    n, hits = 0, []
    for q in asked:
        numbers = values(q["options"])
        if numbers:
            n += 1
            rank = sorted(numbers).index(numbers["ABCD".index(q["answer"])])
            hits += [q["id"]] * (rank in ranks)
    assert n >= 40, f"only {n} numeric option sets"
    assert in_binomial_range(len(hits), n, p), f"{len(hits)} of {n}: {hits}"


def test_every_chapter_has_questions_to_choose_settings_on():
    assert {q["group"] for q in DEV} == {q["group"] for q in TEST}
    for q in QUESTIONS:
        assert {name.split("/")[0] for name in q["documents"]} == {q["group"]}, q["id"]


def test_notes_are_of_the_asked_length():
    for note in NOTES:
        words, summary = len(note["note"].split()), len(note["summary"].split())
        assert 70 <= words <= 130, f"{note['id']}: note of {words} words"
        assert 20 <= summary <= 40, f"{note['id']}: summary of {summary} words"


def test_unanswerable_questions_say_why():
    for task in UNANSWERABLE:
        assert task["why"], task["id"]
        assert task["question"].endswith("?"), task["id"]
