from __future__ import annotations

import pytest

from ragmed.comparison.compare import ComparisonSettings, compare
from ragmed.comparison.settings import every_failure
from ragmed.errors import UnknownNameError, UsageError
from ragmed.records import Sample

# Written answers, the status that ragmed gives them, and MIRAGE's reading of them.
SAID = {
    "A": ('{"answer_choice": "A"}', "answered"),
    "B": ('{"answer_choice": "B. 40 mg"}', "answered"),
    "C": ("Option C", "answered"),
    "none": ("None of the passages says so.", "unparsed"),  # MIRAGE: A
    "sorry": ("I am sorry, I cannot answer.", "refused"),  # MIRAGE: A
    "nothing": (None, "error"),  # MIRAGE: wrong
}


def samples(arms, golds, *, task="medmcqa", group=None):
    return {
        (arm, task): [
            Sample(
                example=f"e{i:03d}", arm=arm, task=task, status=SAID[said][1], gold=gold, completion=SAID[said][0],
                extracted=said if SAID[said][1] == "answered" else None, options=("a", "b", "c", "d"),
                scores={"accuracy": float(said == gold)} if SAID[said][1] == "answered" else {},
                group=group(i) if group else "",
            )
            for i, (said, gold) in enumerate(zip(answers, golds, strict=True))
        ]
        for arm, answers in arms.items()
    }  # fmt: skip


GOLDS = ["A", "A", "A", "B", "B", "C"]
ARMS = {
    "general": ["A", "B", "B", "B", "C", "C"],  # 3 of 6
    "rag": ["none", "none", "sorry", "B", "nothing", "B"],  # 1 of 6; 1 of 2 answered; MIRAGE 4 of 6
}


def compared(policy, **more):
    settings = ComparisonSettings(baseline="general", policy=policy, **more)
    return compare(samples(ARMS, GOLDS), run="r", settings=settings)


@pytest.mark.parametrize(
    ("policy", "value", "n", "difference"),
    [("wrong", 1 / 6, 6, -2 / 6), ("drop", 1 / 2, 2, -1 / 2), ("mirage", 4 / 6, 6, 1 / 6)],
)
def test_a_policy_in_one_word(policy, value, n, difference):
    results = compared(policy)
    row = results["scores"][1]
    assert (row["arm"], row["value"], row["n"]) == ("rag", pytest.approx(value), n)
    assert results["contrasts"][0]["difference"] == pytest.approx(difference)
    assert results["policy"] == dict.fromkeys(("unparsed", "refused", "truncated", "error"), policy)
    assert row["status"] == {"answered": 2, "unparsed": 2, "refused": 1, "truncated": 0, "error": 1}


@pytest.mark.parametrize("policy", ["wrong", "drop", "mirage"])
def test_all_policies_stand_side_by_side_whichever_is_chosen(policy):
    results = compared(policy)
    assert results["policies"][1] == {
        "arm": "rag", "task": "medmcqa", "metric": "accuracy",
        "values": {"wrong": pytest.approx(1 / 6), "drop": 0.5, "mirage": pytest.approx(4 / 6)},
        "n": {"wrong": 6, "drop": 2, "mirage": 6},
    }  # fmt: skip
    (row,) = results["policy_contrasts"]
    assert {name: one["difference"] for name, one in row["by_policy"].items()} == pytest.approx(
        {"wrong": -2 / 6, "drop": -1 / 2, "mirage": 1 / 6}
    )
    mirage = row["by_policy"]["mirage"]
    assert (mirage["fixed"], mirage["broke"], mirage["n"], mirage["p"]) == (2, 1, 6, 1.0)
    assert row["depends"] is True
    (ranking,) = results["policy_rankings"]
    assert ranking["orders"] == {"wrong": ["general", "rag"], "drop": ["general", "rag"], "mirage": ["rag", "general"]}
    assert ranking["depends"] is True
    chosen = {key: results["contrasts"][0][key] for key in ("difference", "ci", "p", "fixed", "broke", "n")}
    assert row["by_policy"][policy] == chosen


def test_nothing_depends_where_all_is_answered():
    arms = {"general": ["A", "B", "B", "B", "C", "C"], "rag": ["A", "A", "B", "B", "C", "C"]}
    results = compare(samples(arms, GOLDS), run="r", settings=ComparisonSettings(baseline="general"))
    assert results["policy_contrasts"][0]["depends"] is results["policy_rankings"][0]["depends"] is False


def test_significance_may_depend_where_the_sign_does_not():
    golds = ["A"] * 40
    arms = {"general": ["B"] * 12 + ["A"] * 28, "rag": ["A"] * 12 + ["A"] * 22 + ["none"] * 6}
    row = compare(samples(arms, golds), run="r", settings=ComparisonSettings(baseline="general"))["policy_contrasts"][0]
    differences = [one["difference"] > 0 for one in row["by_policy"].values()]
    assert differences == [True, True, True]
    assert row["by_policy"]["wrong"]["p"] > 0.05 > row["by_policy"]["drop"]["p"]
    assert row["depends"] is True


def test_groups_are_drawn_again_under_every_policy():
    settings = ComparisonSettings(baseline="general", resamples=200)
    given = samples({"general": ARMS["general"] * 8, "rag": ARMS["rag"] * 8}, GOLDS * 8, group=lambda i: str(i // 2))
    results = compare(given, run="r", settings=settings)
    assert results["contrasts"][0]["test"] == "sign-flip-permutation"
    tested = results["policy_contrasts"][0]["by_policy"]
    assert tested["wrong"]["p"] == results["contrasts"][0]["p"]
    assert all(one["ci"][0] < one["ci"][1] for one in tested.values())


def test_mirages_reading_has_no_meaning_for_other_golds_and_other_metrics():
    bare = {"task": "notes", "status": "answered", "extracted": "x", "gold": "a text", "completion": "a text"}
    given = {
        (arm, "notes"): [Sample(example=f"e{i}", arm=arm, scores={"f1": 0.5 + i / 10}, **bare) for i in range(3)]
        for arm in ("general", "rag")
    }
    results = compare(given, run="r", settings=ComparisonSettings(baseline="general", policy="mirage"))
    assert results["policies"][0]["values"] == {"wrong": 0.6, "drop": 0.6, "mirage": None}
    assert results["policy_contrasts"][0]["by_policy"]["mirage"] is None
    assert results["policy_rankings"][0]["orders"]["mirage"] is None
    assert results["scores"][0]["value"] == pytest.approx(0.6)
    said = "notes: the policy mirage reads letters out of written answers, so it says nothing of f1"
    assert any(note.startswith(said) for note in results["notes"])


def test_nothing_is_read_where_options_were_scored_by_their_likelihood():
    given = {
        (arm, "medqa"): [Sample(f"e{i}", arm, "medqa", "answered", "A", "A", {"accuracy": s}) for i, s in enumerate(x)]
        for arm, x in (("general", [1.0, 0.0]), ("rag", [1.0, 1.0]))
    }
    results = compare(given, run="r", settings=ComparisonSettings(baseline="general", policy="mirage"))
    assert [row["value"] for row in results["scores"]] == [0.5, 1.0]
    assert results["policies"][0]["values"]["mirage"] is None


def test_what_is_no_policy_is_refused():
    with pytest.raises(UnknownNameError, match="rule 'dropp'"):
        ComparisonSettings(baseline="general", policy="dropp")
    with pytest.raises(UsageError, match="goes with no other"):
        ComparisonSettings(baseline="general", policy={"error": "mirage"})
    with pytest.raises(UnknownNameError, match="correction 'bonferroni'"):
        ComparisonSettings(baseline="general", correction="bonferroni")
    with pytest.raises(UnknownNameError, match="interval 'wald'"):
        ComparisonSettings(baseline="general", proportions="wald")
    assert every_failure({}) == every_failure("wrong")


def test_shares_may_have_the_exact_interval():
    row = compared("wrong", proportions="clopper-pearson")["scores"][0]
    assert row["interval"] == "clopper-pearson"
    assert row["ci"] == pytest.approx([0.118117, 0.881883], abs=1e-6)  # 3 of 6, by R's binom.test
