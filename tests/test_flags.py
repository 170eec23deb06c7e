"""`ragmed eval` without a file: the flags make the very experiment that a config would."""

import json
from pathlib import Path

import pytest
import yaml
from test_cli import call, out

from ragmed.errors import RagmedError, UsageError
from ragmed.experiments.config import load_experiment, make_experiment, save_config
from ragmed.experiments.flags import Flags, config_from_flags
from ragmed.workspace import Workspace

HERE = Workspace(Path("/nowhere"))


def config(**given: object) -> dict:  # type: ignore[type-arg]
    values = {"model": "scripted:first-option", "tasks": ("mmlu",), **given}
    return config_from_flags(Flags(**values), workspace=HERE)  # type: ignore[arg-type]


def test_a_model_alone_is_one_closed_book_arm() -> None:
    assert config() == {
        "name": "first-option-mmlu",
        "seed": 0,
        "models": {"model": "scripted:first-option"},
        "tasks": {"mmlu": {"scoring": "letters"}},
        "arms": {"general": {"model": "model"}},
    }


def test_an_index_makes_a_second_arm_and_the_contrast() -> None:
    made = config(index="wards", k=3, num_fewshot=2, limit=10, seed="7,1234,1234,1234", system_instruction="Be brief.")
    assert made["arms"]["general+rag"] == {"model": "model", "context": "retrieved", "k": 3}
    assert made["comparison"] == {"baseline": "general"}
    assert made["tasks"] == {"mmlu": {"scoring": "letters", "shots": 2, "limit": 10, "system_instruction": "Be brief."}}
    name = "first-option-mmlu-wards-k3-shots-2-seed-7-system-213c22ed-limit-10"
    assert (made["seed"], made["index"], made["name"]) == (7, "wards", name)


@pytest.mark.parametrize(
    ("model", "args", "entry"),
    [
        ("hf", "pretrained=org/small,dtype=bfloat16,revision=abc", {"name": "hf:org/small@abc", "dtype": "bfloat16"}),
        ("hf", "pretrained=a/b,peft=c,load_in_4bit=True", {"name": "hf:a/b+adapter:c", "quantization": "4bit"}),
        ("hf", "pretrained=/tmp", "path:/tmp"),
        ("vllm", "pretrained=org/small,max_length=4096", {"name": "vllm:org/small", "context_tokens": 4096}),
        (
            "local-chat-completions",
            "model=m,base_url=http://127.0.0.1:1/v1/chat/completions,num_concurrent=4,timeout=9.5",
            {"name": "endpoint:http://127.0.0.1:1/v1#m", "concurrency": 4, "timeout": 9.5},
        ),
        ("chat:anthropic:some", "", "chat:anthropic:some"),
    ],
)
def test_what_harness_users_type_names_a_model(model: str, args: str, entry: object) -> None:
    raw = config(model=model, model_args=args)
    assert raw["models"]["model"] == entry
    make_experiment(raw, default_name="x", where="the flags")


def test_answers_of_servers_are_generated_and_read() -> None:
    made = config(model="endpoint:http://h:1/v1#m", batch_size="16", gen_kwargs="temperature=0.5,max_gen_toks=64")
    assert made["tasks"] == {"mmlu": {"scoring": "generate", "max_tokens": 64}}
    assert made["models"]["model"] == {"name": "endpoint:http://h:1/v1#m", "concurrency": 16, "temperature": 0.5}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"model": "llama"}, "unknown model 'llama'"),
        ({"model": "hf"}, "needs --model_args pretrained=NAME"),
        ({"model": "local-completions", "model_args": "model=m"}, "base_url=URL"),
        ({"model": "hf", "model_args": "pretrained=a/b,trust_remote_code=True"}, "never run here"),
        ({"model": "hf:a/b", "model_args": "dtyp=x"}, "did you mean 'dtype'"),
        ({"model_args": "dtype=auto"}, "dtype means nothing for 'scripted:' models"),
        ({"model_args": "dtyp=x"}, "'scripted:' models take no --model_args"),
        ({"model": "hf:a/b", "model_args": "revision=abc"}, "write it into the name: -m hf:a/b@abc"),
        ({"model": "vllm:a/b", "model_args": "revision=abc"}, "write it into the name: -m vllm:a/b@abc"),
        ({"model": "hf:a/b", "model_args": "pretrained=c/d"}, "pretrained beside -m hf:.*leave it out"),
        ({"model": "path:x", "model_args": "peft=runs/tuned"}, r"-m path:x\+adapter:runs/tuned"),
        ({"model": "path:x", "model_args": "revision=abc"}, "'path:' models have none"),
        ({"model": "endpoint:http://h:1/v1#m", "model_args": "base_url=http://b"}, "base_url beside -m endpoint:"),
        ({"model": "endpoint:http://h:1/v1#m", "model_args": "model=n"}, "model beside -m endpoint:"),
        ({"model": "hf", "model_args": "pretrained=/tmp,revision=abc"}, "has no revisions"),
        ({"model": "hf", "model_args": "pretrained=a/b,base_url=http://b"}, "it takes pretrained, revision, peft"),
        ({"model": "hf", "model_args": "pretrained=a/b@c,revision=d"}, "names it already"),
        ({"model": "hf", "model_args": "pretrained=path:x"}, "write -m path:x"),
        ({"model": "hf", "model_args": "pretrained=a/b,load_in_4bit=maybe"}, "true or false, found 'maybe'"),
        ({"model": "hf", "model_args": "pretrained=a/b,load_in_4bit=True,load_in_8bit=True"}, "set it once"),
        ({"model": "hf:a/b", "model_args": "device=cpu", "device": "cuda"}, "set it once"),
        ({"model": "hf:a/b", "model_args": "parallelize=True"}, "device=map"),
        ({"model": "hf:a/b", "model_args": "add_bos_token=True"}, "chat template"),
        ({"model": "endpoint:http://h:1/v1#m", "model_args": "tokenized_requests=True"}, "never as tokens"),
        ({"model": "endpoint:http://h:1/v1#m", "model_args": "timeout=soon"}, "a number, found 'soon'"),
        ({"gen_kwargs": "temperature=hot"}, "temperature is a number, found 'hot'"),
        ({"gen_kwargs": "temperature=nan"}, "temperature is a number, found 'nan'"),
        ({"gen_kwargs": "max_gen_toks=1e3"}, "whole number, found '1e3'"),
        ({"gen_kwargs": '{"temperature": }'}, "begins as JSON"),
        ({"limit": float("nan")}, "fraction below 1"),
        ({"limit": float("inf")}, "fraction below 1"),
        ({"tasks": ("questions.xlsx",)}, r"save it as CSV \(UTF-8\)"),
        ({"tasks": (__file__,)}, r"end in \.jsonl, \.csv, \.tsv"),
        ({"model_args": "dtype"}, "key=value"),
        ({"model_args": "dtype=a,dtype=b"}, "twice"),
        ({"gen_kwargs": "beams=4"}, "unknown key 'beams'"),
        ({"tasks": ()}, "no task is named"),
        ({"tasks": ("medq",)}, "did you mean 'medqa'"),
        ({"k": 3}, "needs -i INDEX"),
        ({"limit": 2.5}, "fraction below 1"),
        ({"seed": "x"}, "--seed"),
        ({"batch_size": "many"}, "--batch_size"),
    ],
)
def test_wrong_flags_are_named(given: dict[str, object], words: str) -> None:
    with pytest.raises(RagmedError, match=words):
        config(**given)


def test_names_and_revisions_stay_text() -> None:
    for revision in ("0123456", "1e10", "true"):
        made = config(model="hf", model_args=f"pretrained=org/small,revision={revision}")
        assert made["models"]["model"] == f"hf:org/small@{revision}"
        assert made["name"] == f"small-{revision}-mmlu"


def test_the_keys_that_are_offered_fit_the_model() -> None:
    with pytest.raises(RagmedError) as refused:
        config(model="local-completions", model_args="model=m,base_url=http://h:1/v1,zzz=1")
    offered = str(refused.value).partition("known: ")[2].split(", ")
    assert offered == sorted(set(offered))
    assert {"base_url", "num_concurrent"} <= set(offered)
    assert not {"peft", "dtype", "load_in_4bit"} & set(offered)


def test_generation_settings_may_be_json() -> None:
    made = config(model="endpoint:http://h:1/v1#m", gen_kwargs='{"temperature": 0.5, "max_gen_toks": 64}')
    assert made["models"]["model"] == {"name": "endpoint:http://h:1/v1#m", "temperature": 0.5}
    assert made["tasks"] == {"mmlu": {"scoring": "generate", "max_tokens": 64}}
    assert made["name"] == "m-mmlu-t0.5-max-64"


def test_a_sweep_makes_a_run_each() -> None:
    names = {
        config(**given)["name"]
        for given in (
            {},
            {"num_fewshot": 2},
            {"scoring": "option-text"},
            {"seed": "7"},
            {"system_instruction": "Be brief."},
            {"index": "wards"},
            {"gen_kwargs": "max_gen_toks=9"},
        )
    }
    assert len(names) == 7
    assert {"first-option-mmlu-shots-2", "first-option-mmlu-option-text", "first-option-mmlu-seed-7"} <= names
    assert config(scoring="letters", seed="0")["name"] == "first-option-mmlu"
    long = [config(model=f"hf:a/{'m' * 130}", seed=seed)["name"] for seed in ("1", "2")]
    assert long[0] != long[1]
    assert [len(name) for name in long] == [120, 120]


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    files = [tmp_path / folder / "questions.csv" for folder in ("a", "b")]
    for file in files:
        file.parent.mkdir()
        file.write_text("question,A,B,answer\nWho?,x,y,A\n")
    with pytest.raises(UsageError, match="would both be the task 'questions'; rename one"):
        config(tasks=tuple(map(str, files)))
    assert list(config(tasks=(str(files[0]), str(files[0])))["tasks"]) == ["questions"]


def test_notes_say_what_changes_nothing() -> None:
    flags = Flags("scripted:echo", ("mmlu",), batch_size="8", gen_kwargs="do_sample=False")
    config_from_flags(flags, workspace=HERE)
    assert len(flags.notes) == 2
    flags = Flags(
        "endpoint:http://h:1/v1#m", ("mmlu",), model_args="tokenized_requests=False,num_concurrent=4",
        device="cuda:0", batch_size="8",
    )  # fmt: skip
    made = config_from_flags(flags, workspace=HERE)
    assert made["models"]["model"] == {"name": "endpoint:http://h:1/v1#m", "concurrency": 4}
    assert [note.split()[0] for note in flags.notes] == ["tokenized_requests=False", "--device", "--batch_size"]


def test_the_saved_config_does_the_same(small: Workspace) -> None:
    file = small.configs / "mine.yaml"
    words = ["eval", "-m", "scripted:first-option", "-t", "mmlu,pubmedqa", "-i", "wards", "-k", "2", "--num_fewshot=0"]
    text = out(small, *words, "--limit", "0.5", "--log_samples", "--save_config", str(file))
    assert "general+rag - general" in text
    folder = small.runs / "first-option-mmlu-pubmedqa-wards-k2-limit-0.5"
    results = json.loads((folder / "results.json").read_text())
    assert {(s["task"], s["n"]) for s in results["scores"]} == {("mmlu", 6), ("pubmedqa", 4)}
    before = {path: path.read_bytes() for path in folder.glob("samples/*/*.jsonl")}
    out(small, "eval", str(file), "--output", str(folder))  # refused if anything differed
    assert before == {path: path.read_bytes() for path in folder.glob("samples/*/*.jsonl")}
    assert load_experiment(file).tasks["mmlu"].limit == 6


def test_a_config_is_never_overwritten_and_reads_back(tmp_path: Path) -> None:
    raw = config(index="wards")
    save_config(raw, tmp_path / "a.yaml")
    assert yaml.safe_load((tmp_path / "a.yaml").read_text()) == raw
    save_config(raw, tmp_path / "a.yaml")  # the command that was stopped after it, given again
    with pytest.raises(RagmedError, match="exists already"):
        save_config({**raw, "seed": 9}, tmp_path / "a.yaml")


def test_flags_beside_a_config_are_refused(small: Workspace) -> None:
    file = str(small.configs / "toy.yaml")
    assert "--num-fewshot and a config" in call(small, "eval", file, "--num_fewshot", "2").output
    assert "name a config, or a model and tasks" in call(small, "eval").output
    assert "takes no name here" in call(small, "eval", "--apply_chat_template", "llama", "-m", "x").output
    for limit in ("nan", "inf"):
        assert "a number of examples" in call(small, "eval", file, "--limit", limit).output
    with pytest.raises(UsageError, match="number of examples"):
        load_experiment(Path(file)).only(limit=0.5)


def test_one_arm_alone_has_scores_and_no_contrasts(small: Workspace) -> None:
    text = out(small, "eval", "-m", "scripted:first-option", "-t", "mmlu", "--apply_chat_template", "--limit", "4")
    assert "general" in text
    results = json.loads(next(small.runs.glob("*/results.json")).read_text())
    assert results["contrasts"] == []
    assert results["scores"][0]["n"] == 4


def test_errors_are_asked_again_by_a_flag(small: Workspace) -> None:
    words = ["eval", "-m", "scripted:first-option", "-t", "mmlu", "--scoring", "generate"]
    out(small, *words)
    (file,) = small.runs.glob("*/samples/general/mmlu.jsonl")
    whole = file.read_text()
    file.write_text(whole.replace('"status": "answered", "extracted": "A"', '"status": "error", "extracted": null', 1))
    out(small, *words, "--retry-errors")
    again = [{**json.loads(line), "seconds": 0} for line in file.read_text().splitlines()]
    assert again == [{**json.loads(line), "seconds": 0} for line in whole.splitlines()]
