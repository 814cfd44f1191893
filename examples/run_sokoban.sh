#!/usr/bin/env bash
# Sokoban from images with PPO, from the instruct model. docs/recipes.md says what it needs.
#
#     [MODEL=folder] [DATA=rows.jsonl] [RUN=folder] examples/run_sokoban.sh [--dry-run] [--section.field VALUE ...]
set -euo pipefail
# shellcheck source=examples/recipe.sh
source "$(dirname "$0")/recipe.sh"

recipe sokoban "${MODEL:-models/Qwen2.5-VL-3B-Instruct}" "${DATA:-data/sokoban/levels.jsonl}" "${RUN:-runs/sokoban}" "$@"
