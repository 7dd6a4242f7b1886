#!/usr/bin/env bash
# From the corpora to a published artifact, as it ships: training/recipes/ship.sh OPENLA ASVSPOOF2019_LA OUT [NAME]...
# NAME: grain, which is the default, duo, or lite, which begins with duo's runs. One to two hours on 2 cores; what is already
# there is gone on with, so it may be interrupted.
set -euo pipefail
if [ $# -lt 3 ]; then echo "usage: $0 OPENLA ASVSPOOF2019_LA OUT [grain|duo|lite]..." >&2; exit 2; fi
openla=$1 asvspoof=$2 out=$3
shift 3
[ $# -gt 0 ] || set -- grain
for name; do case $name in grain | duo | lite) ;; *) echo "no recipe of $name" >&2; exit 2 ;; esac; done
recipes=$(dirname "$0")
python=${PYTHON:-.venv/bin/python}
bonafide() { "$python" -m training "$@"; }

# Copies of the bonafide clips by vocoders: thirteen that need no training, and four networks that learn from the clips.
classical=world,world_pitch,world_formants,world_statistical,griffin_lim,griffin_lim_mel,phase,blur,lpc,lpc_codec
classical+=,sinusoidal,transform_codec,upsampling
neural=neural_istft,neural_istft_gan,neural_upsampling,neural_upsampling_gan
bonafide synthesise --corpus "$openla" --corpus "$asvspoof" --copies 4 --methods "$classical" --out "$out/copies"
bonafide synthesise --corpus "$openla" --corpus "$asvspoof" --copies 2 --methods "$neural" --out "$out/neural_copies"

# Two thirds of the attacks are held out of a run each, to calibrate on: one with whole sources of speech, which is what a new
# telephone line is, one with new speakers of sources that are known. Another run learns from all.
thirds=(sources/1 speakers/2)
deal() { # where to, further arguments
    [ -d "$out/$1" ] || bonafide folds --corpus "$openla" --copies "$out/copies" --copies "$out/neural_copies" --folds 3 \
        --out "$out/$1" "${@:2}"
}
deal sources
deal speakers --no-sources

train() { # clips, recipe, the run's name, further arguments
    local from=$out/$1
    bonafide train --corpus "$from/$(basename "$openla")" --corpus "$asvspoof" --corpus "$from/copies" \
        --corpus "$from/neural_copies" --config "$recipes/$2.json" --out "$from/runs/$3" "${@:4}"
}
grain() { train "$1" grain grain; }
duo() { # two rounds, the second with rates that fall anew
    train "$1" duo duo-first
    train "$1" duo duo --set fit.epochs=12 --set fit.learning_rate=1.2e-3 --start "$out/$1/runs/duo-first"
}
lite() { # its branch on linear bands, with fewer frames
    duo "$1"
    train "$1" lite lite --start "$out/$1/runs/duo" --teacher "$out/$1/runs/duo"
}

export TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=2
for name; do
    held_out=() runs=()
    for clips in sources/all "${thirds[@]}"; do
        "$name" "$clips" &
        runs+=($!)
        [ "$clips" = sources/all ] || held_out+=(--held-out "$out/$clips/runs/$name")
    done
    for one in "${runs[@]}"; do wait "$one"; done
    bonafide publish --run "$out/sources/all/runs/$name" "${held_out[@]}" --store "$out/store"
done
