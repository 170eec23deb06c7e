from __future__ import annotations

import pytest
from answers import answer, compared

from ragmed.comparison.compare import ComparisonSettings
from ragmed.comparison.rows import UnderPolicy
from ragmed.comparison.settings import every_failure
from ragmed.errors import UnknownNameError
from ragmed.records import Answer
from ragmed.scores import score_samples

STATUSES = {"none": "unparsed", "sorry": "refused", "nothing": "error"}
TEXTS = {"none": "None of the passages says so.", "sorry": "I am sorry, I cannot answer.", "nothing": None}


def samples(arms, golds, *, group=None):
    """Letters that were answered, or a word for what was not."""
    return {
        (arm, "medmcqa"): [
            answer(
                f"e{i:03d}", arm, "medmcqa", value=text, gold=gold, status=STATUSES.get(text, "answered"),
                completion=TEXTS.get(text, text), options=("a", "b", "c", "d"), group=group(i) if group else "",
            )
            for i, (text, gold) in enumerate(zip(answers, golds, strict=True))
        ]
        for arm, answers in arms.items()
    }  # fmt: skip


GOLDS = ["A", "A", "A", "B", "B", "C"]
# rag: 1 of 5, since one did not come back; 1 of 2 answered; by MIRAGE's reader 4 of 5
ARMS = {
    "general": ["A", "B", "B", "B", "C", "C"],  # 3 of 6
    "rag": [
        "none",
        "none",
        "sorry",
        "B",
        "nothing",
        "B",
    ],
}


def by(policy, **more):
    return compared(samples(ARMS, GOLDS), ComparisonSettings(baseline="general", policy=policy, **more))


@pytest.mark.parametrize(
    ("policy", "value", "n", "difference"), [("wrong", 1 / 5, 5, -2 / 5), ("drop", 1 / 2, 2, -1 / 2)]
)
def test_a_policy_in_one_word(policy, value, n, difference):
    results = by(policy)
    row = results.scores[1]
    assert (row.arm, row.value, row.n) == ("rag", pytest.approx(value), n)
    assert results.contrasts[0].difference == pytest.approx(difference)
    assert results.policy == dict.fromkeys(("unparsed", "refused", "truncated"), policy)
    assert row.status == {"answered": 2, "unparsed": 2, "refused": 1, "truncated": 0, "error": 1}


@pytest.mark.parametrize("policy", ["wrong", "drop"])
def test_all_policies_stand_side_by_side_whichever_is_chosen(policy):
    results = by(policy)
    rag = results.policies[1]
    assert (rag.arm, rag.task, rag.metric, rag.n) == ("rag", "medmcqa", "accuracy", {"wrong": 5, "drop": 2})
    assert rag.values == {"wrong": pytest.approx(1 / 5), "drop": 0.5}
    (row,) = results.policy_contrasts
    assert {name: one.difference for name, one in row.by_policy.items()} == pytest.approx(
        {"wrong": -2 / 5, "drop": -1 / 2}
    )
    dropped = row.by_policy["drop"]
    assert (dropped.fixed, dropped.broke, dropped.n, dropped.p) == (0, 1, 2, 1.0)
    assert row.depends is False
    (ranking,) = results.policy_rankings
    assert ranking.orders == {"wrong": ("general", "rag"), "drop": ("general", "rag")}
    assert ranking.depends is False
    whole = results.contrasts[0]
    chosen = UnderPolicy(whole.difference, whole.ci, whole.p, fixed=whole.fixed, broke=whole.broke, n=whole.n)
    assert row.by_policy[policy] == chosen


def test_arms_may_change_places_with_the_policy():
    arms = {"general": ["A", "B", "B", "A"], "rag": ["A", "none", "none", "none"]}  # 2 of 4; 1 of 4, 1 of 1 answered
    results = compared(samples(arms, ["A"] * 4), ComparisonSettings(baseline="general"))
    (ranking,) = results.policy_rankings
    assert ranking.orders == {"wrong": ("general", "rag"), "drop": ("rag", "general")}
    assert ranking.depends is True


def test_what_mirages_reader_makes_of_answers_is_compared_like_any_other():
    found = {}
    for key, answers in samples(ARMS, GOLDS).items():
        asked = [one.sample for one in answers]
        found[key] = list(map(Answer, asked, score_samples(asked, "mirage", ["accuracy"])))
    results = compared(found, ComparisonSettings(baseline="general"))
    row = results.scores[1]
    assert (row.value, row.status["answered"], row.status["error"]) == (pytest.approx(4 / 5), 5, 1)
    contrast = results.contrasts[0]
    assert (contrast.difference, contrast.fixed, contrast.broke) == (pytest.approx(1 / 5), 2, 1)


def test_nothing_depends_where_all_is_answered():
    arms = {"general": ["A", "B", "B", "B", "C", "C"], "rag": ["A", "A", "B", "B", "C", "C"]}
    results = compared(samples(arms, GOLDS), ComparisonSettings(baseline="general"))
    assert results.policy_contrasts[0].depends is results.policy_rankings[0].depends is False


def test_significance_may_depend_where_the_sign_does_not():
    golds = ["A"] * 40
    arms = {"general": ["B"] * 12 + ["A"] * 28, "rag": ["A"] * 12 + ["A"] * 22 + ["none"] * 6}
    row = compared(samples(arms, golds), ComparisonSettings(baseline="general")).policy_contrasts[0]
    differences = [one.difference > 0 for one in row.by_policy.values()]
    assert differences == [True, True]
    assert row.by_policy["wrong"].p > 0.05 > row.by_policy["drop"].p
    assert row.depends is True


def test_groups_are_drawn_again_under_every_policy():
    settings = ComparisonSettings(baseline="general", resamples=200)
    given = samples({"general": ARMS["general"] * 8, "rag": ARMS["rag"] * 8}, GOLDS * 8, group=lambda i: str(i // 2))
    results = compared(given, settings)
    assert results.contrasts[0].test == "sign-flip-permutation"
    tested = results.policy_contrasts[0].by_policy
    assert tested["wrong"].p == results.contrasts[0].p
    assert all(one.ci[0] < one.ci[1] for one in tested.values())


def test_what_is_no_policy_is_refused():
    with pytest.raises(UnknownNameError, match="rule 'dropp'"):
        ComparisonSettings(baseline="general", policy="dropp")
    with pytest.raises(UnknownNameError, match="rule 'mirage' in the policy for 'refused'"):
        ComparisonSettings(baseline="general", policy={"refused": "mirage"})
    with pytest.raises(UnknownNameError, match="status 'error'"):
        ComparisonSettings(baseline="general", policy={"error": "wrong"})
    with pytest.raises(UnknownNameError, match="correction 'bonferroni'"):
        ComparisonSettings(baseline="general", correction="bonferroni")
    with pytest.raises(UnknownNameError, match="interval 'wald'"):
        ComparisonSettings(baseline="general", proportions="wald")
    assert every_failure({}) == every_failure("wrong")


def test_shares_may_have_the_exact_interval():
    row = by("wrong", proportions="clopper-pearson").scores[0]
    assert row.interval == "clopper-pearson"
    assert row.ci == pytest.approx([0.118117, 0.881883], abs=1e-6)  # 3 of 6, by R's binom.test
