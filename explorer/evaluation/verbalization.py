"""A language model puts a prompt's tokens into words: each stands in a sentence that asks for its meaning,
and the model goes on.

The sentence repeats words (`cat -> cat`), so that a model which reads a vector as a word writes that word:
Patchscopes' identity prompt (Ghandeharioun et al. 2024, arXiv 2401.06102), with a prompt's token in place of
a hidden state. The whole prompt is asked about in a sentence of its own, as InSPEcT does (Ramati et al. 2025,
arXiv 2410.11660). Two controls say what the answers are worth: real words, which must come back, and random
vectors.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from explorer.analysis.nulls import (
    SIGNIFICANT_AT,
    benjamini_hochberg,
    enough,
    gaussian_vectors,
    p_values,
    stream,
)
from explorer.errors import ModelError
from explorer.evaluation.decoder_reading import evidence
from explorer.evaluation.progress import counted
from explorer.models.decoder_only import FrozenDecoder
from explorer.models.frozen import Done, FrozenModel
from explorer.prompt import SoftPrompt
from explorer.results import Result
from explorer.vocabulary import Vocabulary
from explorer.words.pieces import Mark, bare_word, begins_word, readable
from explorer.words.wording import count

IDENTITY = ("cat -> cat\nriver -> river\n1990 -> 1990\nhappy -> happy\n", " ->")
"""what stands before and behind a token; the model's next piece is its answer"""
WHOLE = ("The words", "are an instruction. It means:")
"""what stands before and behind all tokens of a prompt"""
DRAWS, MEAN_OF = 200, 128
"""random vectors that answers are compared with, at least; and those whose mean answer is what the model says
by chance
"""
REAL_WORDS = 40
"""vocabulary rows that are asked about as a control"""
ENOUGH = 0.5
"""share of real words that must come back, or a model's answers are not read at all"""
LONGEST = 16
"""pieces of the whole prompt's answer"""


@dataclass(frozen=True, eq=False, repr=False)
class Verbalization(Result):
    """What a language model writes for each token of a prompt, and for the prompt."""

    prompt: str
    token_ids: np.ndarray
    """[P, K] int64 the pieces it writes more often for the token than for random vectors, by falling evidence
    (see `decoder_reading.evidence`)
    """
    pieces: tuple[tuple[str, ...], ...]
    """[P, K] as the tokenizer writes them"""
    probability: np.ndarray
    """[P, K] 0…1"""
    by_chance: np.ndarray
    """[P, K] 0…1, mean over random vectors"""
    divergence: np.ndarray
    """[P] KL in nats of the answer from the mean answer to random vectors, 0 or more; larger: the model takes
    the token for something definite
    """
    p: np.ndarray
    """[P] share of random vectors with as large a divergence, those of the vocabulary's Gaussian at the
    tokens' median length
    """
    q: np.ndarray
    """[P] corrected over tokens (Benjamini and Hochberg)"""
    repeated: float
    """share of real words that the model repeats in their place, 0…1: near 1, the sentence works with this
    model
    """
    said: str
    """how the model goes on after a sentence that asks what the whole prompt means"""
    said_without: str
    """and what it writes where the prompt's tokens are left out"""
    mark: Mark = ""
    """how its pieces show where words begin or end"""

    @property
    def significant(self) -> np.ndarray:
        """[P] bool: whether the model takes the token for something more definite than random vectors,
        false-discovery rate 5 %.
        """
        return self.q <= SIGNIFICANT_AT

    def words(self) -> list[list[str]]:
        """[P] the listed pieces that are likelier than by chance, as people read them."""
        likelier = self.probability > self.by_chance
        return [
            [readable(piece, self.mark) for piece, more in zip(pieces, row, strict=True) if more]
            for pieces, row in zip(self.pieces, likelier, strict=True)
        ]

    @property
    def conclusion(self) -> str:
        """What to conclude, in one sentence, with the control that it rests on."""
        control = f"of real words in their place it repeats {100 * self.repeated:.0f} %"
        if self.repeated < ENOUGH:
            return f"The model does not put vectors into words this way: {control}."
        if not self.significant.any():
            return f"The model takes no token for anything more definite than random vectors; {control}."
        number, words = int(self.significant.sum()), self.words()
        first = [
            f"token {token} as {words[token][0]!r}"
            for token in np.flatnonzero(self.significant)[:3]
            if words[token]
        ]
        which = f", {', '.join(first)}{', …' * (number > len(first))}" if first else ""
        return (
            f"The model takes {number} of {count(len(self.p), 'token')} for something more definite "
            f"than random vectors{which}; {control}."
        )

    def to_frame(self) -> pd.DataFrame:
        """One row per token and piece: prompt, position, rank (from 1), token_id, piece, token, probability,
        by_chance, divergence, p, q (the last three of the token, the same in all its rows).
        """
        tokens, ranks = self.token_ids.shape
        pieces = [piece for row in self.pieces for piece in row]
        return pd.DataFrame(
            {
                "prompt": self.prompt,
                "position": np.repeat(np.arange(tokens), ranks),
                "rank": np.tile(np.arange(1, ranks + 1), tokens),
                "token_id": self.token_ids.ravel(),
                "piece": pieces,
                "token": [readable(piece, self.mark) for piece in pieces],
                "probability": self.probability.ravel(),
                "by_chance": self.by_chance.ravel(),
                **{name: np.repeat(getattr(self, name), ranks) for name in ("divergence", "p", "q")},
            }
        )


def verbalize(
    model: FrozenModel, vocabulary: Vocabulary, prompt: SoftPrompt, k: int = 5, seed: int = 0
) -> Verbalization:
    """Ask a language model what each token of a prompt means, and what the prompt does.

    k: pieces listed. seed: of random vectors and of the words that serve as controls. Raises ModelError for a
    T5, which does not go on writing, PromptError for another width.
    """
    if not isinstance(model, FrozenDecoder):
        raise ModelError(
            f"{model.name} is an encoder–decoder; only a language model puts vectors into words by "
            "going on with a sentence",
            "model",
        )
    vocabulary.check_width(prompt.vectors, prompt.name)
    lengths = np.linalg.norm(prompt.vectors, axis=1)
    null = gaussian_vectors(vocabulary, MEAN_OF + enough(DRAWS, prompt.length), seed)
    null *= np.median(lengths) / np.maximum(np.linalg.norm(null, axis=1, keepdims=True), 1e-12)
    words = _real_words(vocabulary, seed)
    with counted(len(null) + len(words) + prompt.length, f"{prompt.name}: asking what tokens mean") as done:
        chance, spread = _by_chance(model, null, done)
        answers = np.concatenate(list(model.within(IDENTITY[0], prompt.vectors, IDENTITY[1], done)))
        repeats = np.concatenate(
            [
                block.argmax(axis=1)
                for block in model.within(IDENTITY[0], vocabulary.embedding[words], IDENTITY[1], done)
            ]
        )
    log_q, divergence = np.log(chance), _divergence(answers, chance)
    p = p_values(divergence, spread)
    listed = vocabulary.searchable_ids
    shown = evidence(answers, log_q)[:, listed]
    ids = listed[np.argsort(-shown, axis=1, kind="stable")[:, :k]]
    same = [
        bare_word(vocabulary.pieces[one], vocabulary.mark)
        == bare_word(vocabulary.pieces[other], vocabulary.mark)
        for one, other in zip(repeats, words, strict=True)
    ]
    said, without = _whole(model, prompt)
    return Verbalization(
        prompt.name,
        ids,
        tuple(tuple(vocabulary.pieces[token_id] for token_id in row) for row in ids),
        np.exp(np.take_along_axis(answers, ids, axis=1)),
        chance[ids],
        divergence,
        p,
        benjamini_hochberg(p),
        float(np.mean(same)),
        said,
        without,
        vocabulary.mark,
    )


def _real_words(vocabulary: Vocabulary, seed: int) -> np.ndarray:
    """Rows that are words of at least four letters with a space before them, drawn among the first tenth of
    the vocabulary: the commoner ones.
    """
    pieces = [
        (token_id, vocabulary.pieces[token_id], bare_word(vocabulary.pieces[token_id], vocabulary.mark))
        for token_id in vocabulary.searchable_ids[: max(2000, len(vocabulary) // 10)]
    ]
    known = [
        token_id
        for token_id, piece, word in pieces
        if begins_word(piece, vocabulary.mark) and len(word) >= 4 and word.isalpha()
    ]
    known = known or vocabulary.searchable_ids.tolist()
    return stream(seed, "real words").choice(known, min(REAL_WORDS, len(known)), replace=False)


def _by_chance(model: FrozenDecoder, null: np.ndarray, done: Done) -> tuple[np.ndarray, np.ndarray]:
    """The mean answer to random vectors [V], and how far other random vectors are from it [M], KL in nats.

    The first MEAN_OF make the mean, so that the others stand to it as a prompt's tokens do.
    """
    mean = (
        sum(
            np.exp(block).sum(axis=0)
            for block in model.within(IDENTITY[0], null[:MEAN_OF], IDENTITY[1], done)
        )
        / MEAN_OF
    )
    mean = np.maximum(mean, np.finfo(np.float64).tiny)
    spread = [
        _divergence(block, mean) for block in model.within(IDENTITY[0], null[MEAN_OF:], IDENTITY[1], done)
    ]
    return mean, np.concatenate(spread)


def _divergence(log_p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """KL(p ‖ q) in nats, 0 or more: log_p [M, V], q [V] → [M]."""
    return np.maximum(0.0, (np.exp(log_p) * (log_p - np.log(q))).sum(axis=1))


def _whole(model: FrozenDecoder, prompt: SoftPrompt) -> tuple[str, str]:
    """How the model goes on after a sentence about the whole prompt, and after the same without it."""
    before, behind = (model.embedded(text) for text in (WHOLE[0], f" {WHOLE[1]}"))
    found: Sequence[str] = model.go_on(
        [np.concatenate([before, prompt.vectors, behind]), np.concatenate([before, behind])], LONGEST
    )
    return found[0].strip(), found[1].strip()
