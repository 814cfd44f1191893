"""Ages of samples by hand."""

import pytest
import torch

from lmm_r1_mega.driver.rollouts import staleness
from lmm_r1_mega.schema import Completion, Prompt, Sample, Score, Scored


def of_version(*versions):
    prompt = Prompt("p", "s", "q", (1,), (1,), None, "3")
    return [
        Scored(Sample(prompt, Completion((1,), torch.tensor([5]), torch.zeros(1), "", "stop", version)), Score(1.0, {}))
        for version in versions
    ]


def test_the_age_of_a_sample_is_the_updates_since_its_weights():
    assert staleness(of_version(3, 3, 4, 4, 4), 4, at_most=1) == {"staleness/mean": 2 / 5, "staleness/max": 1.0}


@pytest.mark.parametrize(("version", "at_most"), [(3, 0), (2, 1), (5, 1)])
def test_a_sample_that_is_too_old_or_not_born_yet_stops_the_run(version, at_most):
    with pytest.raises(RuntimeError, match=f"step 5 has samples that are {4 - version} to {4 - version} updates old"):
        staleness(of_version(version), 4, at_most=at_most)
