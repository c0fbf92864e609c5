"""Messages about the content of a file name the field, what was expected and what was found, in plain words."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from genies.main_job.study_file import StudyFile
from genies.model_faults import faults_of

WHOLE = {"base_models": ["a"], "variants": [{"dir": "mms"}], "shifts": "x.json"}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"base_models": "a"}, 'base_models: expected a list, got "a"'),
        ({"shifts": {"source": "a"}}, 'shifts: expected text or a list, got {"source": "a"}'),
        ({"seeds": ["x"]}, 'seeds.0: expected a whole number, got "x"'),
        ({"variants": [3]}, "variants.0: expected an object, got 3"),
        ({"variants": [{}]}, "variants.0.dir: is missing"),
        (
            {"variants": [{"dir": "mms", "kwargs": {}}]},
            "variants.0.kwargs: unknown; known: dir, name, train_kwargs, eval_kwargs",
        ),
        (
            {"seedz": [1], "seed_reference": "perhaps"},
            'seed_reference: expected true or false, got "perhaps"; seedz: unknown; known: base_models, variants, '
            "shifts, seeds, baseline, reference, seed_reference",
        ),
    ],
)
def test_a_fault_names_its_field_what_was_expected_and_what_was_found(changed: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        StudyFile.model_validate({**WHOLE, **changed})
    assert faults_of(caught.value, StudyFile) == said
