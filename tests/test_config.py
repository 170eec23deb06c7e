import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from click.testing import CliRunner
from ragmed.cli.main import cli

from ragmed.checked import parse
from ragmed.errors import DamagedError, DataError, RagmedError, UnknownNameError, UsageError
from ragmed.experiments.config import Experiment, config_schema, load_experiment, make_experiment
from ragmed.yaml_files import NotYAML, parse_yaml

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
    assert comparison.policy == dict.fromkeys(("unparsed", "refused", "truncated"), "drop")
    assert comparison.proportions == "clopper-pearson"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("sede",), 1, "unknown key 'sede' in config 'toy.yaml'; did you mean 'seed'"),
        (("tasks", "medqu"), {}, "unknown task 'medqu' in config 'toy.yaml', tasks.medqu; did you mean 'medqa'"),
        (("tasks", "handbook-questions", "limt"), 1, "unknown key 'limt'.*did you mean 'limit'"),
        (
            ("tasks", "handbook-questions", "limit"),
            "all",
            r"tasks\.handbook-questions\.limit: a whole number was expected, found 'all'$",
        ),
        (("tasks", "handbook-questions", "limit"), True, "limit: a whole number was expected, found true"),
        (("tasks", "handbook-questions", "scoring"), "letter", "unknown scoring 'letter'.*did you mean 'letters'"),
        (("arms", "general", "model"), "smal", "unknown model 'smal'.*did you mean 'small'"),
        (("arms", "general+rag", "context"), "retrieve", "unknown context.*did you mean 'retrieved'"),
        (("arms", "general+rag", "k"), 0, "needs k"),
        (("arms", "general", "k"), 3, "mean nothing"),
        (("arms", "general", "passage_order"), "reversed", "mean nothing"),
        (("arms", "general+rag", "passage_order"), "revers", "unknown passage_order.*did you mean 'reversed'"),
        (("arms", "../x"), {"model": "small"}, "cannot name a folder"),
        (("tasks", "mine"), {"task": "handbook-question"}, "unknown task 'handbook-question'.*did you mean"),
        (("tasks", "mine"), {"task": "medqa", "file": "q.csv"}, "'file' and 'task' both name what is asked"),
        (("tasks", "medqa"), {"task": "mmlu"}, "'medqa' is a task that comes with ragmed; give 'mmlu' another name"),
        (("tasks", "mine"), {"task": "handbook-questions"}, "one task, asked in two ways; give both the same limit"),
        (("tasks", "handbook-questions", "options"), "reverse", "unknown options.*did you mean 'reversed'"),
        (("comparison", "baseline"), "genral", "unknown arm 'genral'.*did you mean 'general'"),
        (("comparison", "alpha"), 5, "config 'toy.yaml': alpha is 5.0; give a number between 0 and 1"),
        (
            ("comparison", "alpha"),
            "5e-2",
            r"comparison\.alpha: a number was expected, found '5e-2'; write it as 5\.0e-2",
        ),
        (("comparison", "correction"), False, "text was expected, found false; put it in quotes, since YAML takes"),
        (("comparison", "prices"), {"curency": "EUR"}, "unknown key 'curency'.*comparison.prices; did you mean 'curr"),
        (("search",), {"arm": "general+rag"}, r"config 'toy.yaml', search: 'task' is missing"),
        (
            ("models", "small"),
            {"name": "scripted:echo", "retries": -1},
            r"models\.small\.retries: it is -1; it must be",
        ),
        (("arms", "general"), {}, r"config 'toy.yaml', arms\.general: 'model' is missing"),
        (("arms", "general"), None, r"arms\.general: a mapping was expected, found nothing"),
        (("arms", "general"), {"name": "x", "model": "small"}, "the name of 'general' is its key; take 'name' out"),
        (("models",), {}, "'models' must be a mapping"),
        (("window",), 0, "at least 1"),
        (("context_tokens",), -5, "at least 0"),
        (("arms", 1), {"model": "small"}, "config 'toy.yaml', arms: the key 1 is not text; put it in quotes"),
        (("arms", None), {"model": "small"}, "config 'toy.yaml', arms: the key nothing is not text; put it in quotes"),
        (("comparison", "policy"), {1: "wrong"}, "comparison.policy: the key 1 is not text"),
        (("comparison", "policy"), "exclude", "unknown rule 'exclude'"),
        (("comparison", "correction"), "bonferroni", "unknown correction 'bonferroni'"),
        (
            ("comparison", "contrasts"),
            [["general"]],
            r"comparison\.contrasts\.0: a list of 2 was expected, found a list of 1",
        ),
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
        (b"name: [", "line 1 is not YAML: while parsing a flow node; expected the node content, but found"),
        (
            b"seed: 1\nname: a\nseed: 2\n",
            "line 3 is not YAML: the key 'seed' stands twice in one mapping \\(lines 1 and 3\\); keep one of them$",
        ),
        (
            b"window: 4\nseed: " + b"9" * 5000,
            "line 2 is not YAML: a date, a number or a tagged value in it is malformed",
        ),
        (b'seed: "\\UFFFFFFFF"', "is not YAML: a date, a number or a tagged value in it is malformed"),
        (b"arms:\n  a: {model: x}\n  a: {model: y}\n", "line 3 is not YAML: the key 'a' stands twice"),
        (b"name: 2032-13-45\n", "a date, a number or a tagged value"),
        (b"- a\n- b\n", "a mapping of keys was expected, found a list of 2"),
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


def test_what_is_anchored_may_be_used_again_and_overridden() -> None:
    text = "a: &x {k: 1, model: m}\nb: {<<: *x, k: 2}\nc: *x\n"
    assert parse_yaml(text, aliases=True) == {
        "a": {"k": 1, "model": "m"}, "b": {"k": 2, "model": "m"}, "c": {"k": 1, "model": "m"}
    }  # fmt: skip
    with pytest.raises(NotYAML, match="aliases"):
        parse_yaml(text)


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


def test_a_config_goes_to_plain_values_and_back() -> None:
    experiment = make_experiment(raw() | {"search": {"arm": "general+rag", "task": "medqa", "k": [1, 2]},
                                          "tasks": {"medqa": None}}, default_name="toy", where="config")  # fmt: skip
    kept = json.loads(json.dumps(experiment.resolved()))
    assert parse(Experiment, kept, "run.json", error=DamagedError) == experiment
    kept["search"]["tak"] = kept["search"].pop("task")
    with pytest.raises(DamagedError, match=r"unknown key 'tak' in run\.json, search; did you mean 'task'"):
        parse(Experiment, kept, "run.json", error=DamagedError)


def test_the_schema_that_is_shipped_is_the_one_that_is_printed(tmp_path: Path) -> None:
    shipped = (ROOT / "configs" / "schema.json").read_text(encoding="utf-8")
    runner = CliRunner()
    assert runner.invoke(cli, ["config", "schema"]).output == shipped
    runner.invoke(cli, ["config", "schema", "--output", str(tmp_path / "schema.json")], catch_exceptions=False)
    assert (tmp_path / "schema.json").read_text(encoding="utf-8") == shipped


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.stem)
def test_the_configs_that_are_shipped_are_valid(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# yaml-language-server: $schema=schema.json\n")
    jsonschema.validate(yaml.safe_load(path.read_text(encoding="utf-8")), config_schema())
    try:
        assert load_experiment(path).name == path.stem
    except RagmedError as error:  # the message is worth more than a traceback
        pytest.fail(str(error))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("sede",), 1),
        (("window",), 0),
        (("tasks", "handbook-questions", "limit"), "all"),
        (("tasks", "handbook-questions", "scoring"), "letter"),
        (("arms", "general", "name"), "general"),
        (("arms", "general"), {}),
        (("models", "small"), {"name": "scripted:echo", "dtype": "float3"}),
        (("comparison", "contrasts"), [["general"]]),
    ],
)
def test_an_editor_sees_a_wrong_entry_by_the_schema(path: tuple[str, ...], value: object) -> None:
    config = raw()
    jsonschema.validate(config, config_schema())
    place: dict[str, object] = config
    for key in path[:-1]:
        place = place[key]  # type: ignore[assignment]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(config, config_schema())


def test_a_config_that_is_not_there_is_answered_with_near_ones(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "quickstart.yaml").write_text("x: 1\n")
    for name in ("quickstart.yml", "configs/quikstart.yaml", "quickstart"):
        with pytest.raises(UsageError, match=r"does not exist; did you mean '.*configs/quickstart\.yaml'\?"):
            load_experiment(tmp_path / name)
    with pytest.raises(DataError, match="does not exist"):
        load_experiment(tmp_path / "other.yaml")
