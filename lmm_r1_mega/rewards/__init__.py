"""Rule rewards: what a response is worth, read from the response alone and judged in processes that can be killed."""
