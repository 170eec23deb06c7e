"""Sixty sentences labelled by hand: is what they name denied? Rules were written by FIRST alone: HELD, which is what
other texts may expect, was measured when they stood. Precision and recall of "denied" are printed (pytest -s)."""

from __future__ import annotations

import pytest

from ragmed.metrics.concepts import is_denied

FIRST = """
+ No [fever] today.
+ Patient denies [chest pain] and shortness of breath.
+ Denies chest pain, nausea, vomiting or [diaphoresis].
+ CT without evidence of [pulmonary embolism].
+ There is no evidence of [fracture] on the films.
+ She is no longer having [headaches].
+ Lungs clear, no [wheezes].
+ [Pneumonia] was ruled out by X-ray.
+ The patient never had [seizures].
+ Negative for [malaria].
+ He has not had any [syncope] since.
+ Neither [rash] nor joint swelling was seen.
+ Without [cyanosis] or clubbing.
+ [Edema] is absent.
+ Cultures did not grow [staphylococcus].
- Not only [fever] but also rigors.
- No chest pain but [dyspnoea] on exertion.
- There is no doubt that this is [measles].
- We cannot rule out [endocarditis].
- [Cough] has not improved.
- No change in the [pleural effusion].
- [Fever] without cough.
- She does not deny [alcohol use].
- Not without [pain] on movement.
- No fever. [Cough] for three days.
- The [mass] has not been biopsied.
- [Asthma] is not well controlled.
- No significant increase in the [nodule].
- [Diabetes], no complications.
- Denies fever, but reports [chills].
"""
HELD = """
+ No known [drug allergies].
+ He denied any [palpitations].
+ Free of [metastasis] at one year.
+ [Deep vein thrombosis] has been excluded.
+ No signs of [infection] around the wound.
+ The biopsy was negative for [malignancy].
+ She does not have [diabetes].
+ No history of [stroke], seizure or head injury.
+ He is not on [warfarin].
+ Absence of [reflexes] in both legs.
+ Patient no longer complains of [dizziness].
+ [Hernia]: none.
+ Failed to reveal [haemorrhage].
+ Fever, chills and [night sweats] were denied.
+ X-ray showed no acute [infiltrate].
- No improvement in her [cough].
- No fever although [tachycardia] persists.
- It is not necessarily [cancer].
- [Pain] not relieved by morphine.
- Gram negative [bacteraemia].
- No longer afebrile: [fever] of 39.
- [Appendicitis] cannot be excluded.
- The [ulcer] is not healing.
- Not only [nausea], she vomited twice.
- No rash; [pruritus] persists.
- He has no fever except for [hypothermia] at night.
- No reason to doubt the [lupus].
- [Hypertension] without heart failure.
- She denied abdominal pain and presented with [haematuria].
- There was no delay in treating the [sepsis].
"""


def labelled(text: str) -> list[tuple[str, int, int, bool]]:
    rows = []
    for line in text.strip().splitlines():
        sign, _, marked = line.partition(" ")
        start, end = marked.index("["), marked.index("]") - 1
        rows.append((marked.replace("[", "").replace("]", ""), start, end, sign == "+"))
    return rows


def measured(text: str) -> tuple[float, float, list[str]]:
    """Precision and recall of "denied", and the sentences that are judged wrongly."""
    rows = labelled(text)
    told = [is_denied(sentence, start, end) for sentence, start, end, _ in rows]
    right = sum(denied and found for (*_, denied), found in zip(rows, told, strict=True))
    wrong = [sentence for (sentence, *_, denied), found in zip(rows, told, strict=True) if found != denied]
    return right / sum(told), right / sum(denied for *_, denied in rows), wrong


def test_each_half_holds_thirty_sentences_half_of_them_denials() -> None:
    for half in (FIRST, HELD):
        denied = [row[3] for row in labelled(half)]
        assert (len(denied), sum(denied)) == (30, 15)


@pytest.mark.parametrize(("half", "precision", "recall"), [("FIRST", 1.0, 1.0), ("HELD", 0.75, 0.8)])
def test_denials_are_found(half: str, precision: float, recall: float) -> None:
    found = measured(globals()[half])
    print(f"{half}: precision {found[0]:.3f}, recall {found[1]:.3f}")
    assert found[:2] == (precision, recall), found[2]
