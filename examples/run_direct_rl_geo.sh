#!/usr/bin/env bash
# Direct-RL-Geo, the comparison to the two stages: geometry with PPO, from the instruct model. docs/recipes.md says what it needs.
#
#     [MODEL=folder] [DATA=rows.jsonl] [RUN=folder] examples/run_direct_rl_geo.sh [--dry-run] [--section.field VALUE ...]
set -euo pipefail
# shellcheck source=examples/recipe.sh
source "$(dirname "$0")/recipe.sh"

recipe direct_rl_geo "${MODEL:-models/Qwen2.5-VL-3B-Instruct}" "${DATA:-data/mathv360k_geometry.jsonl}" "${RUN:-runs/direct_rl_geo}" "$@"
