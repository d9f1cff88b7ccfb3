#!/usr/bin/env bash
# Remakes everything in this folder from the texts named in README.md:
#   checkpoints/make.sh DATA WORK
# DATA holds corpus/ and tasks/; WORK keeps intermediate results, so that a stopped run goes on where it was.
# Model, prompts, map and scores are written to WORK/checkpoints; nothing here is overwritten.
set -euo pipefail
data=$(realpath "$1")
work=$(realpath -m "$2")
cd "$(dirname "$0")/.."
out=$work/checkpoints
model=$out/models/mini-t5
corpus=$data/corpus
tasks=$data/tasks
mkdir -p "$out/models"

[ -d "$model" ] || python -m explorer pretrain --out "$model" --work "$work/mini-t5" --tokens 20000000 \
    --corpus "$corpus/film-reviews-1.txt.xz:1.5" --corpus "$corpus/film-reviews-2.txt.xz:1.5" \
    --corpus "$corpus/wikipedia-articles.txt.xz" --corpus "$corpus/wikipedia-new-articles.txt.xz" \
    --corpus "$corpus/gutenberg-prose.txt.xz:0.7" \
    --supervised "$corpus/film-ratings.tsv.xz" --probe-train "$tasks/mr/train.tsv" --probe-dev "$tasks/mr/dev.tsv"

for pair in sentiment:mr subjectivity:subj question-type:trec; do
    task=${pair%:*} folder=$tasks/${pair#*:}
    python -m explorer train --model "$model" --task "$task" --data "$folder/train.tsv" --dev "$folder/dev.tsv" \
        --init random --init sampled-vocab --init class-label --seeds 0,1,2 --length 20 \
        --lr LR --steps STEPS --out "$out/prompts"
done
