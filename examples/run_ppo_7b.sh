#!/usr/bin/env bash
# PPO with a critic on geometry at 7 B, on 2 machines of 8 GPUs. docs/recipes.md says what it needs.
#
#     [MODEL=folder] [DATA=rows.jsonl] [RUN=folder] examples/run_ppo_7b.sh [--dry-run] [--section.field VALUE ...]
set -euo pipefail
# shellcheck source=examples/recipe.sh
source "$(dirname "$0")/recipe.sh"

recipe ppo_7b "${MODEL:-models/Qwen2.5-VL-7B-Instruct}" "${DATA:-data/vermulti_geo.jsonl}" "${RUN:-runs/ppo_7b}" "$@"
