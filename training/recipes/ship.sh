#!/usr/bin/env bash
# From the corpora to a published artifact, as it ships: training/recipes/ship.sh OPENLA ASVSPOOF2019_LA SOUNDS OUT [NAME]...
# SOUNDS: what `python -m training.recipes.sounds` made of Debian's packages, both corpora. NAME: duo, which is the default,
# or lite, its branch on linear bands. Some two and a half hours on 2 cores with AMX, longer without; what is already there is gone on with, so it may be
# interrupted.
set -euo pipefail
if [ $# -lt 4 ]; then echo "usage: $0 OPENLA ASVSPOOF2019_LA SOUNDS OUT [duo|lite]..." >&2; exit 2; fi
openla=$1 asvspoof=$2 sounds=$3 out=$4
shift 4
[ $# -gt 0 ] || set -- duo
for name; do case $name in duo | lite) ;; *) echo "no recipe of $name" >&2; exit 2 ;; esac; done
for made in sounds other_sounds; do [ -d "$sounds/$made" ] || { echo "no $made in $sounds" >&2; exit 2; }; done
recipes=$(dirname "$0")
python=${PYTHON:-.venv/bin/python}
bonafide() { "$python" -m training "$@"; }

# Copies of the bonafide clips by vocoders: thirteen that need no training, and four networks that learn from the clips.
classical=world,world_pitch,world_formants,world_statistical,griffin_lim,griffin_lim_mel,phase,blur,lpc,lpc_codec
classical+=,sinusoidal,transform_codec,upsampling
neural=neural_istft,neural_istft_gan,neural_upsampling,neural_upsampling_gan
bonafide synthesise --corpus "$openla" --corpus "$asvspoof" --copies 4 --methods "$classical" --out "$out/copies"
bonafide synthesise --corpus "$openla" --corpus "$asvspoof" --copies 2 --methods "$neural" --out "$out/neural_copies"
# What a person spoke, joined anew of units of the clip, or filtered to another voice.
bonafide synthesise --corpus "$openla" --corpus "$asvspoof" --copies 2 --methods concatenation,filtering --out "$out/voices"
# And copies with nothing but lines at the rates of frames, for the branches that hear phases.
bonafide synthesise --corpus "$openla" --corpus "$asvspoof" --copies 2 --methods comb --out "$out/combs"

# A third of the attacks and speakers is held out of one run, to calibrate on; another learns from all.
[ -d "$out/speakers" ] || bonafide folds --corpus "$openla" --copies "$out/copies" --copies "$out/neural_copies" \
    --folds 3 --no-sources --out "$out/speakers"

learn() { # which third is held out of it, or all
    local from=$out/speakers/$1 to=$out/runs/$1
    local corpora=(--corpus "$from/$(basename "$openla")" --corpus "$asvspoof" --corpus "$from/copies"
        --corpus "$from/neural_copies" --corpus "$out/voices" --corpus "$sounds/sounds")
    bonafide train "${corpora[@]}" --config "$recipes/duo.json" --out "$to/bands"
    bonafide train "${corpora[@]}" --corpus "$out/combs" --config "$recipes/phases.json" --out "$to/phases"
    bonafide fuse --run "$to/bands" --run "$to/phases" --weight linear=0.6 --weight pulses=0.4 --weight lines=1.5 \
        --weight images=2 --name duo --out "$to/duo"
}
lite() {
    bonafide fuse --run "$out/runs/$1/bands" --without pulses --name lite --out "$out/runs/$1/lite"
}

export TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=2
learn 1 & held_out=$!
learn all
wait "$held_out"
for name; do
    [ "$name" = duo ] || { lite 1; lite all; }
    bonafide publish --run "$out/runs/all/$name" --held-out "$out/runs/1/$name" --store "$out/store" \
        --sounds "$sounds/other_sounds"
done
