#!/usr/bin/env bash
# From the corpora to a published artifact, as it ships: training/recipes/ship.sh OPENLA ASVSPOOF2019_LA OUT [NAME]...
# NAME: duo, which is the default, or lite, which begins with duo's run. Two to three hours on 2 cores; what is already there
# is gone on with, so it may be interrupted.
set -euo pipefail
if [ $# -lt 3 ]; then echo "usage: $0 OPENLA ASVSPOOF2019_LA OUT [duo|lite]..." >&2; exit 2; fi
openla=$1 asvspoof=$2 out=$3
shift 3
[ $# -gt 0 ] || set -- duo
for name; do case $name in duo | lite) ;; *) echo "no recipe of $name" >&2; exit 2 ;; esac; done
recipes=$(dirname "$0")
python=${PYTHON:-.venv/bin/python}
bonafide() { "$python" -m training "$@"; }

# Copies of the bonafide clips by vocoders: thirteen that need no training, and four networks that learn from the clips.
classical=world,world_pitch,world_formants,world_statistical,griffin_lim,griffin_lim_mel,phase,blur,lpc,lpc_codec
classical+=,sinusoidal,transform_codec,upsampling
neural=neural_istft,neural_istft_gan,neural_upsampling,neural_upsampling_gan
bonafide synthesise --corpus "$openla" --corpus "$asvspoof" --copies 4 --methods "$classical" --out "$out/copies"
bonafide synthesise --corpus "$openla" --corpus "$asvspoof" --copies 2 --methods "$neural" --out "$out/neural_copies"

# A third of the attacks and speakers is held out of two runs, to calibrate on: of the one with their sources, of the other
# without, as callers are of sources that training knows or does not. A third run learns from all.
copies=(--copies "$out/copies" --copies "$out/neural_copies")
[ -d "$out/folds" ] || bonafide folds --corpus "$openla" "${copies[@]}" --folds 3 --out "$out/folds"
[ -d "$out/speakers" ] || bonafide folds --corpus "$openla" "${copies[@]}" --folds 3 --no-sources --out "$out/speakers"

train() { # what it learns from, recipe, the run's name, further arguments
    local from=$out/$1
    bonafide train --corpus "$from/$(basename "$openla")" --corpus "$asvspoof" --corpus "$from/copies" \
        --corpus "$from/neural_copies" --config "$recipes/$2.json" --out "$out/runs/$1/$3" "${@:4}"
}
duo() { # three rounds, each with rates that fall anew
    local runs=$out/runs/$1
    train "$1" duo duo-first
    train "$1" duo duo-second --set fit.epochs=12 --set fit.learning_rate=1.2e-3 --start "$runs/duo-first"
    train "$1" duo duo --set fit.epochs=26 --set fit.seed=1 --start "$runs/duo-second"
}
lite() { train "$1" lite lite --start "$out/runs/$1/duo" --teacher "$out/runs/$1/duo"; } # its branch on linear bands

export TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=2
for name; do
    "$name" folds/1 & sources=$!
    "$name" speakers/1 & speakers=$!
    "$name" folds/all
    wait "$sources"
    wait "$speakers"
    bonafide publish --run "$out/runs/folds/all/$name" --held-out "$out/runs/folds/1/$name" \
        --held-out "$out/runs/speakers/1/$name" --store "$out/store"
done
