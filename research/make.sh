#!/usr/bin/env bash
# Makes the model, its map, the prompts and the study in checkpoints/ from the texts named in checkpoints/README.md:
#   research/make.sh DATA WORK
# DATA holds corpus/ and tasks/; WORK keeps intermediate results, so that a stopped run resumes.
# What exists is left as it is: move checkpoints/models/mini-t5 and checkpoints/prompts away to make them again.
set -euo pipefail
data=$(realpath "$1")
work=$(realpath -m "$2")
cd "$(dirname "$0")/.."
corpus=$data/corpus
tasks=$data/tasks
mkdir -p checkpoints/models

[ -d checkpoints/models/mini-t5 ] || python -m research.pretraining --out checkpoints/models/mini-t5 --work "$work/mini-t5" --tokens 17000000 \
    --corpus "$corpus/film-reviews-1.txt.xz:1.5" --corpus "$corpus/film-reviews-2.txt.xz:1.5" \
    --corpus "$corpus/wikipedia-articles.txt.xz" --corpus "$corpus/wikipedia-new-articles.txt.xz" \
    --corpus "$corpus/gutenberg-prose.txt.xz:0.7" \
    --supervised "$corpus/film-ratings.tsv.xz" --probe "$tasks/mr"

[ -f checkpoints/models/mini-t5/map.npz ] || python -c "
from explorer.analysis.map.fit import fit_map
from explorer.analysis.map.store import MAP_FILE, save_map
from explorer.vocabulary import Vocabulary
vocabulary = Vocabulary.load('mini-t5')
save_map(fit_map(vocabulary, progress=print), vocabulary.path / MAP_FILE)"

train() {  # train TASK FOLDER OUT STEPS EVERY OPTIONS…
    python -m explorer train --model mini-t5 --task "$1" --data "$tasks/$2/train.tsv" --dev "$tasks/$2/dev.tsv" --dev-examples 500 \
        --schedule linear --out "$3" --steps "$4" --evaluate-every "$5" "${@:6}"
}
prompts=checkpoints/prompts
train subjectivity subj $prompts 700 50
train sentiment mr $prompts 300 25
train question-type trec $prompts 3000 100
train sentiment mr $prompts 300 50 --length 1,5
train sentiment mr $prompts 300 50 --length 100 --saved-points 4
train sentiment mr $prompts 300 25 --seeds 0 --lr 0.03 --pull 0.001 \
    --read-as "mix the flour with water and salt, then bake the bread in the oven for an hour"
train sentiment mr "$work/models" 400 25 --tune model

python -m research.study "$data" "$work/models"
python -m research.plots
python -m research.tables
