"""The initialization strategies of prompt tuning (Lester et al. 2021, §2.2)."""

from collections.abc import Sequence

import numpy as np

from explorer.choices import INITIALIZATIONS, RandomRange
from explorer.errors import DataError, PromptError
from explorer.prompt import RowSource
from explorer.vocabulary import Vocabulary

RANDOM_RANGES: dict[RandomRange, tuple[float, float]] = {"symmetric": (-0.5, 0.5), "released": (0.0, 0.5)}
"""`symmetric` as the paper prints it; `released` as its configuration draws: fresh rows then have cosine
0.75
"""
COMMON_PIECES = 5000
"""sampled-vocab draws from this many of the most common pieces; our tokenizers number pieces by frequency"""
SENTENCE = "sentence"
"""the initialization of prompts that are to read as a sentence: its pieces, in order"""


def initialize(
    strategy: str,
    vocabulary: Vocabulary,
    length: int,
    labels: Sequence[str],
    seed: int,
    random_range: RandomRange = "symmetric",
    template: str | None = None,
) -> tuple[np.ndarray, tuple[RowSource, ...]]:
    """Initial vectors and what each came from: ([P, H] float32, P sources). The same for the same strategy
    and seed.

    `random`: uniform in [−0.5, 0.5] per coordinate, or in [0, 0.5) with random_range `released`.
    `sampled-vocab`: rows of the 5,000 most common pieces, without replacement. `class-label`: token c is the
    mean embedding of label c's pieces, the rest as sampled-vocab; where labels are more than tokens the last
    labels are left out, as in the paper's own code. template: what labels stand behind; None: what suits the
    model. Raises PromptError for an unknown strategy or range, or a length below one.
    """
    if strategy not in INITIALIZATIONS:
        raise PromptError(
            f"unknown initialization {strategy!r}; expected one of {', '.join(INITIALIZATIONS)}"
        )
    if random_range not in RANDOM_RANGES:
        raise PromptError(
            f"unknown random range {random_range!r}; expected one of {', '.join(RANDOM_RANGES)}"
        )
    if length < 1:
        raise PromptError(f"a prompt of {length} tokens; expected at least one")
    generator = np.random.default_rng([seed, INITIALIZATIONS.index(strategy)])
    if strategy == "random":
        vectors = generator.uniform(*RANDOM_RANGES[random_range], (length, vocabulary.dimension)).astype(
            np.float32
        )
        return vectors, (RowSource(),) * length
    named = list(labels)[:length] if strategy == "class-label" else []
    common = vocabulary.searchable_ids[:COMMON_PIECES]
    if len(common) < length - len(named):
        raise PromptError(
            f"{length} prompt tokens, but {vocabulary.name} has {len(common)} pieces to draw from; "
            "ask for a shorter prompt"
        )
    ids = generator.choice(common, length - len(named), replace=False)
    vectors = np.concatenate(
        [
            vocabulary.label_vectors(named, template) if named else vocabulary.embedding[:0],
            vocabulary.embedding[ids],
        ]
    )
    rows = (
        *(RowSource(label=label) for label in named),
        *(RowSource(piece=vocabulary.pieces[i]) for i in ids),
    )
    return vectors.astype(np.float32), rows


def sentence_rows(
    sentence: str, vocabulary: Vocabulary, length: int
) -> tuple[np.ndarray, tuple[RowSource, ...]]:
    """The rows of a sentence's pieces, from the start again where it is shorter than the prompt: ([P, H]
    float32, P sources).

    Raises DataError for a sentence without a piece, with an unknown one, or with more pieces than prompt
    tokens.
    """
    ids = vocabulary.encode(sentence)
    if not ids or not vocabulary.searchable[ids].all():
        raise DataError(
            f"the sentence {sentence!r} has no piece or one that {vocabulary.name} does not know; "
            "expected words of its vocabulary"
        )
    if len(ids) > length:
        raise DataError(
            f"the sentence has {len(ids)} pieces, the prompt {length} tokens; shorten the sentence or "
            "ask for a longer prompt"
        )
    rows = np.resize(ids, length)
    return vocabulary.embedding[rows].astype(np.float32), tuple(
        RowSource(piece=vocabulary.pieces[i]) for i in rows
    )
