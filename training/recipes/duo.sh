#!/usr/bin/env bash
# From the corpora to the published artifact, as it ships: training/recipes/duo.sh OPENLA ASVSPOOF2019_LA OUT
# Under three hours on 2 cores; what is already there is gone on with, so it may be interrupted. Needs apt-get, for the
# packages that hold recordings of people and synthesisers: as root, or with what is in OUT/packages.
set -euo pipefail
if [ $# -ne 3 ]; then echo "usage: $0 OPENLA ASVSPOOF2019_LA OUT" >&2; exit 2; fi
openla=$1 asvspoof=$2 out=$3
recipe=$(dirname "$0")/duo.json
python=${PYTHON:-.venv/bin/python}
bonafide() { "$python" -m training "$@"; }
open_speech() { "$python" -m training.recipes.open_speech "$@"; }

# People and synthesisers of Debian's and PyPI's packages, beside the two corpora: sources that neither has.
if [ ! -d "$out/open_speech" ]; then
    [ -f "$out/people/index.csv" ] || open_speech human "$out/people" --work "$out/packages"
    "$python" -m training.recipes.voices "$out/voices" --environments "$out/environments" --originals "$openla"
    open_speech layout "$out/people" "$out"/voices/* "$out/new-open_speech"
    mv "$out/new-open_speech" "$out/open_speech"
fi

# Copies of the bonafide clips by vocoders: thirteen that need no training, and four networks that learn from the clips.
classical=world,world_pitch,world_formants,world_statistical,griffin_lim,griffin_lim_mel,phase,blur,lpc,lpc_codec
classical+=,sinusoidal,transform_codec,upsampling
neural=neural_istft,neural_istft_gan,neural_upsampling,neural_upsampling_gan
bonafide synthesise --corpus "$openla" --corpus "$asvspoof" --copies 4 --methods "$classical" --out "$out/copies"
bonafide synthesise --corpus "$openla" --corpus "$asvspoof" --copies 2 --methods "$neural" --out "$out/neural_copies"
mkdir -p "$out/open_copies"
cp -r "$out/neural_copies/vocoders" "$out/open_copies/"
bonafide synthesise --corpus "$out/open_speech" --copies 1 --out "$out/open_copies"

# A third of the attacks, sources and speakers is held out of one run, to calibrate on; the other learns from all.
copies=()
for made in copies neural_copies open_copies; do copies+=(--copies "$out/$made"); done
[ -d "$out/folds" ] || bonafide folds --corpus "$openla" --corpus "$out/open_speech" "${copies[@]}" --folds 3 --out "$out/folds"

learn() { # a fold: three rounds, in each of which the rates fall anew; packages' speech comes in the last
    local from=$out/folds/$1 run=$out/runs/$1
    local on=(--corpus "$asvspoof" --config "$recipe")
    for made in "$(basename "$openla")" copies neural_copies; do on+=(--corpus "$from/$made"); done
    bonafide train "${on[@]}" --out "$run-first"
    bonafide train "${on[@]}" --set fit.epochs=12 --set fit.learning_rate=1.2e-3 --start "$run-first" --out "$run-second"
    for made in open_speech open_copies; do on+=(--corpus "$from/$made"); done
    bonafide train "${on[@]}" --set fit.epochs=4 --set fit.learning_rate=8e-4 --start "$run-second" --out "$run"
}
export TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=2
learn 1 &
learn all
wait %1

bonafide publish --run "$out/runs/all" --held-out "$out/runs/1" --store "$out/store"
