#!/usr/bin/env bash
# From the corpora to the published artifacts, as they ship: training/recipes/duo.sh OPENLA ASVSPOOF2019_LA OUT
# Two and a half hours on 2 cores; what is already there is gone on with, so it may be interrupted.
set -euo pipefail
if [ $# -ne 3 ]; then echo "usage: $0 OPENLA ASVSPOOF2019_LA OUT" >&2; exit 2; fi
openla=$1 asvspoof=$2 out=$3
recipe=$(dirname "$0")/duo.json
python=${PYTHON:-.venv/bin/python}
bonafide() { "$python" -m training "$@"; }

# Copies of the bonafide clips by vocoders: thirteen that need no training, and four networks that learn from the clips.
classical=world,world_pitch,world_formants,world_statistical,griffin_lim,griffin_lim_mel,phase,blur,lpc,lpc_codec
classical+=,sinusoidal,transform_codec,upsampling
neural=neural_istft,neural_istft_gan,neural_upsampling,neural_upsampling_gan
bonafide synthesise --corpus "$openla" --corpus "$asvspoof" --copies 4 --methods "$classical" --out "$out/copies"
bonafide synthesise --corpus "$openla" --corpus "$asvspoof" --copies 2 --methods "$neural" --out "$out/neural_copies"

# A third of the attacks, sources and speakers is held out of one run, to calibrate on; the other run learns from all.
copies=(--copies "$out/copies" --copies "$out/neural_copies")
[ -d "$out/folds" ] || bonafide folds --corpus "$openla" "${copies[@]}" --folds 3 --out "$out/folds"

learn() { # a fold: two rounds, the second with rates that fall anew
    local from=$out/folds/$1 run=$out/runs/$1
    local on=(--corpus "$from/$(basename "$openla")" --corpus "$asvspoof" --config "$recipe")
    on+=(--corpus "$from/copies" --corpus "$from/neural_copies")
    bonafide train "${on[@]}" --out "$run-first"
    bonafide train "${on[@]}" --set fit.epochs=12 --set fit.learning_rate=1.2e-3 --start "$run-first" --out "$run"
    # Four tenths of the cost: the branch on linear bands alone goes on with fewer frames, more rates and levels, taught by both.
    bonafide train "${on[@]}" --config "$(dirname "$recipe")/lite.json" --start "$run" --teacher "$run" --out "$run-lite"
}
export TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=2
learn 1 &
learn all
wait %1

bonafide publish --run "$out/runs/all" --held-out "$out/runs/1" --store "$out/store"
bonafide publish --run "$out/runs/all-lite" --held-out "$out/runs/1-lite" --store "$out/store"
