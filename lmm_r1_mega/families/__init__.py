"""One folder per model family, torch-free: what a family's `config.json` means, and the names of its weights on both sides."""
