#!/usr/bin/env bash
# MGT-PerceReason, stage 2: perception and reasoning, from what run_fre_text.sh exported. docs/recipes.md says what it needs.
#
#     [MODEL=folder] [DATA=rows.jsonl] [RUN=folder] examples/run_mgt_percereason.sh [--dry-run] [--section.field VALUE ...]
set -euo pipefail
# shellcheck source=examples/recipe.sh
source "$(dirname "$0")/recipe.sh"

recipe mgt_percereason "${MODEL:-runs/fre_text/hf}" "${DATA:-data/vermulti.jsonl}" "${RUN:-runs/mgt_percereason}" "$@"
