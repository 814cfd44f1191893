#!/usr/bin/env bash
# MGT-Geo, stage 2: geometry with PPO, from what run_fre_text.sh exported. docs/recipes.md says what it needs.
#
#     [MODEL=folder] [DATA=rows.jsonl] [RUN=folder] examples/run_mgt_geo.sh [--dry-run] [--section.field VALUE ...]
set -euo pipefail
# shellcheck source=examples/recipe.sh
source "$(dirname "$0")/recipe.sh"

recipe mgt_geo "${MODEL:-runs/fre_text/hf}" "${DATA:-data/vermulti_geo.jsonl}" "${RUN:-runs/mgt_geo}" "$@"
