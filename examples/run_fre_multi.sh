#!/usr/bin/env bash
# FRE-Multi, the comparison to FRE-Text: the same training on images and text. docs/recipes.md says what it needs.
#
#     [MODEL=folder] [DATA=rows.jsonl] [RUN=folder] examples/run_fre_multi.sh [--dry-run] [--section.field VALUE ...]
set -euo pipefail
# shellcheck source=examples/recipe.sh
source "$(dirname "$0")/recipe.sh"

recipe fre_multi "${MODEL:-models/Qwen2.5-VL-3B-Instruct}" "${DATA:-data/vermulti.jsonl}" "${RUN:-runs/fre_multi}" "$@"
