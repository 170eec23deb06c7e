"""Numbers of thousands of digits, which Python does not read: wherever a text says a number, they are bad input."""

import math

import pytest

from ragmed.embedding import load_embedder
from ragmed.errors import DataError, RagmedError
from ragmed.index.devices import choose_devices
from ragmed.metrics import corrections
from ragmed.tasks import medisumcode
from ragmed.yaml_files import NotYAML, parse_yaml

LONG = "9" * 5000


def test_they_name_no_embedder_and_no_device():
    with pytest.raises(RagmedError, match="hashing"):
        load_embedder(f"hashing:{LONG}")
    with pytest.raises(RagmedError, match="cuda"):
        choose_devices(f"cuda:{LONG}")


def test_they_are_no_admission():
    with pytest.raises(DataError, match=r"line 2: hadm_id '9{20}' is no whole number"):
        medisumcode._whole(LONG, "line 2", "hadm_id")


@pytest.mark.parametrize("given", [math.inf, -math.inf, math.nan, 1e300, None])
def test_what_is_no_number_of_a_sentence_is_none(given):
    assert corrections._whole(given) == ""
    assert corrections._whole(3.0) == "3"


def test_a_malformed_value_of_yaml_is_told_with_its_line():
    with pytest.raises(NotYAML, match="malformed") as told:
        parse_yaml(f"name: a\nseed: {LONG}\n")
    assert told.value.line == 2
