from pathlib import Path

import pytest

from ragmed.errors import DataError, RagmedError, UnknownNameError, UsageError
from ragmed.experiments.config import load_experiment, make_experiment

ROOT = Path(__file__).parent.parent


def raw() -> dict[str, object]:
    return {
        "models": {"small": "scripted:echo"},
        "index": "handbook",
        "tasks": {"handbook-questions": {"limit": 4, "scoring": "option-text"}, "handbook-notes": None},
        "arms": {
            "general": {"model": "small"},
            "general+rag": {"model": "small", "context": "retrieved", "k": 3},
            "options-only": {"model": "small", "context": "options-only"},
        },
        "comparison": {"margin": 0.03},
    }


def make(value: dict[str, object]) -> object:
    return make_experiment(value, default_name="toy", where="config 'toy.yaml'")


def test_defaults_are_filled_in() -> None:
    experiment = make_experiment(raw(), default_name="toy", where="config")
    assert experiment.name == "toy"
    assert experiment.arms["general+rag"].index == "handbook"
    assert experiment.arms["general"].index == ""
    assert experiment.comparison.baseline == "general"
    assert experiment.comparison.baseline_arms == ("options-only",)
    assert experiment.comparison.margin == 0.03
    assert experiment.resolved()["tasks"]["handbook-questions"]["limit"] == 4


def test_a_policy_may_be_one_word() -> None:
    value = raw() | {"comparison": {"policy": "drop", "proportions": "clopper-pearson"}}
    comparison = make_experiment(value, default_name="toy", where="config").comparison
    assert comparison.policy == dict.fromkeys(("unparsed", "refused", "truncated", "error"), "drop")
    assert comparison.proportions == "clopper-pearson"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("sede",), 1, "unknown key 'sede' in config 'toy.yaml'; did you mean 'seed'"),
        (("tasks", "medqu"), {}, "unknown task 'medqu' in config 'toy.yaml', tasks.medqu; did you mean 'medqa'"),
        (("tasks", "handbook-questions", "limt"), 1, "unknown key 'limt'.*did you mean 'limit'"),
        (("tasks", "handbook-questions", "limit"), "all", "limit: int was expected, found 'all'"),
        (("tasks", "handbook-questions", "limit"), True, "limit: int was expected, found True"),
        (("tasks", "handbook-questions", "scoring"), "letter", "unknown scoring 'letter'.*did you mean 'letters'"),
        (("arms", "general", "model"), "smal", "unknown model 'smal'.*did you mean 'small'"),
        (("arms", "general+rag", "context"), "retrieve", "unknown context.*did you mean 'retrieved'"),
        (("arms", "general+rag", "k"), 0, "needs k"),
        (("arms", "general", "k"), 3, "mean nothing"),
        (("arms", "general", "passage_order"), "reversed", "mean nothing"),
        (("arms", "general+rag", "passage_order"), "revers", "unknown passage_order.*did you mean 'reversed'"),
        (("arms", "../x"), {"model": "small"}, "cannot name a folder"),
        (("tasks", "mine"), {"task": "handbook-question"}, "unknown task 'handbook-question'.*did you mean"),
        (("tasks", "mine"), {"task": "medqa", "file": "q.csv"}, "'file' and 'task' both say what is asked"),
        (("tasks", "medqa"), {"task": "mmlu"}, "'medqa' is a task that comes with ragmed; give 'mmlu' another name"),
        (("tasks", "mine"), {"task": "handbook-questions"}, "one task, asked in two ways; give both the same limit"),
        (("tasks", "handbook-questions", "options"), "reverse", "unknown options.*did you mean 'reversed'"),
        (("comparison", "baseline"), "genral", "unknown arm 'genral'.*did you mean 'general'"),
        (("comparison", "alpha"), 5, "between 0 and 1"),
        (("models",), {}, "'models' must be a mapping"),
        (("window",), 0, "at least 1"),
        (("context_tokens",), -5, "at least 0"),
        (("arms", 1), {"model": "small"}, "the name 1 is no text"),
        (("arms", None), {"model": "small"}, "the name None is no text"),
        (("comparison", "policy"), {1: "wrong"}, "keys must be text"),
        (("comparison", "policy"), "exclude", "unknown rule 'exclude'"),
        (("comparison", "policy"), {"error": "mirage"}, "goes with no other"),
        (("comparison", "correction"), "bonferroni", "unknown correction 'bonferroni'"),
        (("comparison", "contrasts"), [["general"]], "each is a pair"),
        (("comparison", "baseline"), "options-only", "shows no question"),
        (("models", "small"), {"name": "scripted:echo", "dtype": "float3"}, "unknown dtype 'float3'"),
    ],
)
def test_a_wrong_entry_is_named(path: tuple[str, ...], value: object, message: str) -> None:
    config = raw()
    place: dict[str, object] = config
    for key in path[:-1]:
        place = place[key]  # type: ignore[assignment]
    place[path[-1]] = value
    with pytest.raises(UsageError, match=message):
        make(config)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"name: [", "line 1 is not YAML"),
        (b"- a\n- b\n", "a mapping of keys was expected, found list"),
        (b"name: \xff\n", "is not UTF-8"),
        (b"name: a\x00b\n", "NUL byte at offset 7"),
        (b"!!python/object/apply:os.system ['true']\n", "is not YAML"),
        (b"[" * 200_000, "not YAML"),
    ],
)
def test_a_file_that_is_no_config_is_named(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "toy.yaml"
    path.write_bytes(data)
    with pytest.raises(DataError, match=message) as caught:
        load_experiment(path)
    assert "toy.yaml" in str(caught.value)


def test_a_missing_file_and_a_directory_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        load_experiment(tmp_path / "none.yaml")
    with pytest.raises(DataError, match="is a directory"):
        load_experiment(tmp_path)


def test_a_part_of_an_experiment_can_be_asked_for() -> None:
    experiment = make_experiment(raw(), default_name="toy", where="config")
    part = experiment.only(arms=("general",), tasks=("handbook-questions",), limit=2)
    assert list(part.arms) == ["general"]
    assert part.tasks["handbook-questions"].limit == 2
    assert experiment.only(limit=9).tasks["handbook-questions"].limit == 4
    with pytest.raises(UnknownNameError, match="did you mean 'general'"):
        experiment.only(arms=("genera",))


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.stem)
def test_the_configs_that_are_shipped_are_valid(path: Path) -> None:
    try:
        assert load_experiment(path).name == path.stem
    except RagmedError as error:  # the message is worth more than a traceback
        pytest.fail(str(error))
