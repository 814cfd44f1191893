"""Whether a response says the gold answer: `extract` finds the answer, `notation` parses it, `equality` compares it."""
