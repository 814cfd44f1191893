"""Whether a response says the gold answer: `extract` finds the answer, `parse` its kind, `equality` compares."""
