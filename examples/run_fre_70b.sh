#!/usr/bin/env bash
# FRE on text at 72 B with PPO and a critic, on 8 machines of 8 GPUs. docs/recipes.md says what it needs.
#
#     [MODEL=folder] [DATA=rows.jsonl] [RUN=folder] examples/run_fre_70b.sh [--dry-run] [--section.field VALUE ...]
set -euo pipefail
# shellcheck source=examples/recipe.sh
source "$(dirname "$0")/recipe.sh"

recipe fre_70b "${MODEL:-models/Qwen2.5-VL-72B-Instruct}" "${DATA:-data/deepscaler.jsonl}" "${RUN:-runs/fre_70b}" "$@"
