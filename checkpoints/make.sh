#!/usr/bin/env bash
# Makes the model, its map and the prompts of this folder from the texts named in README.md:
#   checkpoints/make.sh DATA WORK
# DATA holds corpus/ and tasks/; WORK keeps intermediate results, so that a stopped run goes on where it was.
# What exists is left as it is: move models/mini-t5 and prompts/ away to make them again.
set -euo pipefail
data=$(realpath "$1")
work=$(realpath -m "$2")
cd "$(dirname "$0")/.."
corpus=$data/corpus
tasks=$data/tasks
mkdir -p checkpoints/models

[ -d checkpoints/models/mini-t5 ] || python -m explorer pretrain --out checkpoints/models/mini-t5 --work "$work/mini-t5" --tokens 17000000 \
    --corpus "$corpus/film-reviews-1.txt.xz:1.5" --corpus "$corpus/film-reviews-2.txt.xz:1.5" \
    --corpus "$corpus/wikipedia-articles.txt.xz" --corpus "$corpus/wikipedia-new-articles.txt.xz" \
    --corpus "$corpus/gutenberg-prose.txt.xz:0.7" \
    --supervised "$corpus/film-ratings.tsv.xz" --probe-train "$tasks/mr/train.tsv" --probe-dev "$tasks/mr/dev.tsv"

[ -f checkpoints/models/mini-t5/map.npz ] || python -c "
from explorer.analysis.projection import MAP_FILE, fit_map
from explorer.vocabulary import Vocabulary
vocabulary = Vocabulary.load('mini-t5')
fit_map(vocabulary, progress=print).save(vocabulary.path / MAP_FILE)"

tune() {  # tune TASK FOLDER LENGTH INITS SEEDS RATE STEPS EVERY
    python -m explorer train --model mini-t5 --task "$1" --data "$tasks/$2/train.tsv" --dev "$tasks/$2/dev.tsv" --dev-examples 500 \
        --length "$3" --init "$4" --seeds "$5" --lr "$6" --steps "$7" --evaluate-every "$8" --out checkpoints/prompts
}
inits=random,sampled-vocab,class-label
tune sentiment mr 20 $inits 0,1,2 0.1 160 20
tune subjectivity subj 20 $inits 0,1,2 0.3 280 20
tune question-type trec 20 $inits 0,1,2 0.3 630 35
tune sentiment mr 100 class-label 0 0.1 100 10
python -m explorer train --model mini-t5 --task sentiment --data "$tasks/mr/train.tsv" --dev "$tasks/mr/dev.tsv" --dev-examples 500 \
    --read-as "mix the flour with water and salt, then bake the bread in the oven for an hour" --pull 0.001 --seeds 0 \
    --lr 0.03 --steps 160 --evaluate-every 20 --out checkpoints/prompts
