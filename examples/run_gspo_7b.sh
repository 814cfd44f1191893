#!/usr/bin/env bash
# GSPO on images and text at 7 B. docs/recipes.md says what it needs.
#
#     [MODEL=folder] [DATA=rows.jsonl] [RUN=folder] examples/run_gspo_7b.sh [--dry-run] [--section.field VALUE ...]
set -euo pipefail
# shellcheck source=examples/recipe.sh
source "$(dirname "$0")/recipe.sh"

recipe gspo_7b "${MODEL:-models/Qwen2.5-VL-7B-Instruct}" "${DATA:-data/vermulti.jsonl}" "${RUN:-runs/gspo_7b}" "$@"
