"""Does the decoder reading see what is there? `python -m research.decoder_control [MODEL]` prints two
controls.

Words: prompts made of half of the words of one kind, in random order. How high does the decoder place the
*other* half, beside what it does with prompts of random words? Tasks: how likely it begins with the labels of
a bundled prompt's own task, beside the labels of other tasks.
"""

import sys

import numpy as np
import pandas as pd

from explorer.evaluation.decoder_reading import evidence
from explorer.evaluation.label_mass import ALL, LabelMass
from explorer.evaluation.neutral_texts import ALONE, GAP, NEUTRAL, where
from explorer.models.encoder_decoder import FrozenT5
from explorer.models.loading import DEFAULT_MODEL
from explorer.session import open_session
from explorer.system.files import PROMPTS
from explorer.vocabulary import Vocabulary
from research.tables import markdown

KINDS = {
    "colors": "red blue green yellow black white brown",
    "months": "January February March April June July August September October November December",
    "body": "heart hand head eye face foot arm leg skin blood",
    "music": "music song album band guitar singer piano rock concert",
    "numbers": "two three four five six seven eight nine ten",
    "countries": "France Germany Italy Spain England Russia China Japan India",
    "family": "mother father brother sister son daughter wife husband",
    "war": "war army soldiers battle troops military enemy attack",
}
LENGTH, LISTED, COMMON = 8, 10, 5000
"""tokens of a prompt; pieces of a reading; rows that random words are drawn from, the most common ones"""


def words_control(model: FrozenT5, vocabulary: Vocabulary, random: int = 20, seed: int = 0) -> pd.DataFrame:
    """One row per reading (alone, in a gap, before neutral texts): read, percentile, percentile_random,
    excess, listed, listed_random.

    percentile: of the left-out words by evidence among the searchable rows, mean over words and kinds, 0…100;
    percentile_random: of the same words with prompts of random words; excess: how much larger their gain is
    than with those, in nats; listed: how many of the words of its kind (in the prompt or not) are among the
    10 pieces of a reading; listed_random: the same of prompts of random words.
    """
    generator, table = np.random.default_rng(seed), vocabulary.embedding
    kinds = [
        np.array([ids[0] for word in words.split() if len(ids := vocabulary.encode(word)) == 1])
        for words in KINDS.values()
    ]
    parts = [np.array_split(generator.permutation(kind), 2) for kind in kinds]
    common = vocabulary.searchable_ids[:COMMON]
    prompts = [table[np.resize(inside, LENGTH)] for inside, _ in parts] + [
        table[generator.choice(common, LENGTH)] for _ in range(random)
    ]
    rows = []
    for group in ([ALONE], [GAP], list(NEUTRAL)):
        bare = model.first_pieces([None], group)[0]
        found = model.first_pieces(prompts, group)
        gain, shown = (found - bare).mean(axis=1), evidence(found, bare).mean(axis=1)
        shown[:, ~vocabulary.searchable] = -np.inf
        ranks = np.argsort(np.argsort(shown[:, vocabulary.searchable_ids], axis=1), axis=1) / len(
            vocabulary.searchable_ids
        )
        place = np.searchsorted(vocabulary.searchable_ids, np.arange(len(vocabulary)))
        top = np.argsort(-shown, axis=1)[:, :LISTED]
        each = []
        for n, (kind, (_, left_out)) in enumerate(zip(kinds, parts, strict=True)):
            chance = slice(len(kinds), None)
            here, there = ranks[n, place[left_out]].mean(), ranks[chance, place[left_out]].mean()
            excess = gain[n, left_out].mean() - gain[chance, left_out].mean()
            each.append(
                (
                    100 * here,
                    100 * there,
                    excess,
                    np.isin(top[n], kind).sum(),
                    np.isin(top[chance], kind).sum(axis=1).mean(),
                )
            )
        name = where(group[0]) if len(group) == 1 else f"before {len(group)} texts"
        rows.append((name, *np.mean(each, axis=0)))
    return pd.DataFrame(
        rows, columns=["read", "percentile", "percentile_random", "excess", "listed", "listed_random"]
    )


def label_mass() -> LabelMass:
    """How likely the decoder begins with labels, of the bundled prompts of the usual length."""
    named = [
        path.relative_to(PROMPTS).as_posix()
        for path in sorted(PROMPTS.glob("*/*-[012]"))
        if "length" not in path.name
    ]
    return open_session(*named).label_mass()


def tables() -> dict[str, str]:
    """Label mass before neutral texts, means over these and over the prompts of a task, as Markdown."""
    frame = label_mass().to_frame()
    before = frame[~frame["text"].isin((ALONE, GAP)) & (frame["task"] != ALL)]
    means = before.groupby("task", sort=False)[["prompts", "own", "others", "without_prompt"]].mean()
    rows = [
        [task, round(row.prompts), *(f"{share:.3f}" for share in (row.own, row.others, row.without_prompt))]
        for task, row in means.iterrows()
    ]
    return {
        "label mass": markdown(
            ["task", "prompts", "own labels", "labels of other tasks", "no prompt, own labels"], rows
        )
    }


def main() -> None:
    """Print both controls."""
    pd.set_option("display.width", 200, "display.max_columns", 20)
    name = sys.argv[1] if len(sys.argv) > 1 else DEFAULT_MODEL
    vocabulary, model = Vocabulary.load(name), FrozenT5.load(name)
    print(words_control(model, vocabulary).round(3).to_string(index=False))
    if name == DEFAULT_MODEL:
        found = label_mass()
        print(found.to_frame().round(4).to_string(index=False))
        print(found.conclusion)


if __name__ == "__main__":
    main()
