# shellcheck shell=bash
# What the recipe scripts share; they source it.
#
#     recipe CONFIG MODEL DATA RUN [--dry-run] [--section.field VALUE ...]
#
# Trains with examples/configs/CONFIG.yaml, or goes on with the run that the folder RUN holds. DATA may be several files with blanks
# between them. Inside slurm/train.sbatch the run joins the job's Ray cluster. With --dry-run the plan is printed: neither data nor
# weights need be there, and without a model's folder the plan is for the published configuration that CONFIG names.
recipe() {
    local examples config="$1" model="$2" run="$4" words files
    examples="$(dirname "${BASH_SOURCE[0]}")"
    read -ra files <<<"$3"
    shift 4
    if [[ " $* " != *" --dry-run "* && -e "$run/run.json" ]]; then
        words=(resume "$run" "$@")
    else
        words=(train "$examples/configs/$config.yaml" --data.train "${files[@]}" --run.folder "$run" "$@")
        [[ " $* " == *" --dry-run "* && ! -e "$model/config.json" ]] || words+=(--model.path "$model")
    fi
    [[ -z "${RAY_ADDRESS:-}" ]] || words+=(--cluster.address auto)
    exec lmm-r1-mega "${words[@]}"
}
