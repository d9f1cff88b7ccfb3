#!/usr/bin/env bash
# Makes the models, their maps, the prompts, the study and the kept answers in checkpoints/ from the texts named in checkpoints/README.md:
#   research/make.sh DATA WORK
# DATA holds corpus/ and tasks/; WORK keeps intermediate results, so that a stopped run resumes.
# What exists is left as it is: move a model or checkpoints/prompts away to make it again. From the shipped models and prompts, all that is left
# to do takes about half an hour on two cores, most of it tuning whole models.
set -euo pipefail
data=$(realpath "$1")
work=$(realpath -m "$2")
cd "$(dirname "$0")/.."
corpus=$data/corpus
tasks=$data/tasks
models=checkpoints/models
prompts=checkpoints/prompts
mkdir -p $models "$work"

pretrain() {  # pretrain NAME TOKENS OPTIONS…
    [ -d "$models/$1" ] || python -m research.pretraining --out "$models/$1" --work "$work/$1" --tokens "$2" "${@:3}" \
        --corpus "$corpus/film-reviews-1.txt.xz:1.5" --corpus "$corpus/film-reviews-2.txt.xz:1.5" \
        --corpus "$corpus/wikipedia-articles.txt.xz" --corpus "$corpus/wikipedia-new-articles.txt.xz" \
        --corpus "$corpus/gutenberg-prose.txt.xz:0.7" \
        --supervised "$corpus/film-ratings.tsv.xz" --probe "$tasks/mr" --trial "$tasks/subj"
}
pretrain mini-t5 22000000
pretrain micro-t5 12000000 --vocabulary $models/mini-t5/spiece.model --dimension 128 --heads 4 --feed-forward 320 --encoder-layers 3 --decoder-layers 2
pretrain nano-t5 12000000 --vocabulary $models/mini-t5/spiece.model --dimension 64 --heads 4 --feed-forward 160 --encoder-layers 2 --decoder-layers 2

python -m research.maps
python -m research.sweep "$data" "$work"  # rates and steps below are its best

train() {  # train MODEL TASK FOLDER OUT STEPS EVERY OPTIONS…
    python -m explorer train --model "$1" --task "$2" --data "$tasks/$3/train.tsv" --dev "$tasks/$3/dev.tsv" --dev-examples 500 \
        --schedule linear --out "$4" --steps "$5" --evaluate-every "$6" "${@:7}"
}
train mini-t5 subjectivity subj $prompts 400 25
train mini-t5 sentiment mr $prompts 300 25
train mini-t5 question-type trec $prompts 1500 50
train mini-t5 subjectivity subj $prompts 400 25 --init class-label --length 1,5
train mini-t5 subjectivity subj $prompts 400 25 --init class-label --length 100 --saved-points 4
train mini-t5 sentiment mr $prompts 300 25 --seeds 0 --lr 0.03 --pull 0.001 \
    --read-as "mix the flour with water and salt, then bake the bread in the oven for an hour"
for model in micro-t5 nano-t5; do
    train $model subjectivity subj $prompts/$model 400 25 --init class-label
    train $model sentiment mr $prompts/$model 300 25 --init class-label
    train $model question-type trec $prompts/$model 1500 50 --init class-label
done
for model in nano-t5 micro-t5 mini-t5; do
    train $model subjectivity subj "$work/models/$model" 400 25 --tune model
    train $model sentiment mr "$work/models/$model" 400 25 --tune model
    train $model question-type trec "$work/models/$model" 600 50 --tune model
done

# Prompts of a real language model, where SMOLLM2 names the folder of SmolLM2-135M-Instruct (about an hour on two cores).
smollm2() {  # smollm2 TASK FOLDER TEMPLATE STEPS OPTIONS…
    python -m explorer train --model "$SMOLLM2" --base-name HuggingFaceTB/SmolLM2-135M-Instruct --task "$1" \
        --data "$tasks/$2/train.tsv" --dev "$tasks/$2/dev.tsv" --dev-examples 200 --template "$3" --schedule linear --batch-size 16 --lr 0.01 \
        --seeds 0 --steps "$4" --evaluate-every 25 --out checkpoints/prompts-smollm2
}
if [ -n "${SMOLLM2:-}" ]; then
    smollm2 sentiment sst2 '{text}\nSentiment:' 200
    smollm2 subjectivity subj '{text}\nKind:' 200
    smollm2 question-type trec '{text}\nQuestion type:' 300
    python -m research.decoders "$SMOLLM2" "$data"
fi

python -m research.study "$data" "$work/models"
python -m research.kept_answers
python -m research.plots
python -m research.tables
