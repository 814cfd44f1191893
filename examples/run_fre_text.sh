#!/usr/bin/env bash
# FRE-Text, stage 1: reasoning on text, from the instruct model. docs/recipes.md says what it needs.
#
#     [MODEL=folder] [DATA=rows.jsonl] [RUN=folder] examples/run_fre_text.sh [--dry-run] [--section.field VALUE ...]
set -euo pipefail
# shellcheck source=examples/recipe.sh
source "$(dirname "$0")/recipe.sh"

recipe fre_text "${MODEL:-models/Qwen2.5-VL-3B-Instruct}" "${DATA:-data/deepscaler.jsonl}" "${RUN:-runs/fre_text}" "$@"
