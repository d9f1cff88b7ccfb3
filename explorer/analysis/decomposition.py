"""A prompt token as a sum of few words: which, how much of each, and how much of the token that explains,
beside what chance explains.

Orthogonal matching pursuit with non-negative weights (Pati et al. 1993; for concepts in embeddings SpLiCE,
Bhalla et al. 2024, arXiv 2402.10376).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from explorer.analysis.nulls import gaussian_vectors, p_values
from explorer.analysis.special import special_tokens, without
from explorer.analysis.vectors import cosine_index, stored_rows
from explorer.cached import cached
from explorer.errors import ExplorerError
from explorer.prompt import SoftPrompt
from explorer.results import Result
from explorer.system.interruption import checkpoint
from explorer.vocabulary import Vocabulary
from explorer.words.pieces import Mark, readable
from explorer.words.wording import all_zero, special_said, zeros_said
from explorer.words.wording import count as counted

MOST_WORDS = 50
PRODUCTS_AT_ONCE = 2**24
"""inner products of tokens with rows held at once, 64 MiB"""


@dataclass(frozen=True, eq=False, repr=False)
class Decomposition(Result):
    """Each prompt token as a non-negative combination of few vocabulary rows."""

    prompt: str
    token_ids: np.ndarray
    """[P, S] int64, the words in the order in which they were taken; −1 where no further word helps"""
    weights: np.ndarray
    """[P, S] float64, 0 or more, of the rows as they are: token ≈ Σ weight · row; nan where there is no
    word
    """
    energy: np.ndarray
    """[P, S] 0…1, share of the token's squared length that the first 1 … S words explain; nan for a token of
    zeros
    """
    p: np.ndarray
    """[P, S] of the energy, against vectors drawn from the vocabulary's Gaussian; smaller is more
    surprising
    """
    null_energy: np.ndarray
    """[M, S] the energy that as many words explain of those"""
    pieces: tuple[tuple[str, ...], ...]
    """[P, S] as the tokenizer writes them; empty where there is no word"""
    special: Mapping[int, str] = field(default_factory=dict)
    """positions of tokens that are special rows, such as `<bos>`, and their pieces: p is nan"""
    mark: Mark = ""
    """how its pieces show where words begin or end"""

    @property
    def conclusion(self) -> str:
        """What to conclude, in one sentence."""
        words, last = self.token_ids.shape[1], self.energy[without(self.special, len(self.energy)), -1]
        if not len(last):
            return f"There is nothing to decompose{special_said(self.special)}."
        if np.isnan(last).all() or np.isnan(self.null_energy).all():
            return (
                f"{all_zero(len(last)) if np.isnan(last).all() else 'Every row of the vocabulary is zero'}: "
                "there is nothing to decompose."
            )
        chance = float(np.nanquantile(self.null_energy[:, -1], 0.95))
        beyond, zeros = int((last > chance).sum()), int(np.isnan(last).sum())
        by_chance, many = np.nanmean(self.null_energy[:, -1]), "s" if words == 1 else ""
        return (
            f"{counted(words, 'word')} explain{many} {np.nanmean(last):.0%} of a token's squared "
            f"length on average (of random vectors {by_chance:.0%}); "
            f"{beyond} of {counted(len(last), 'token')} lie{'s' if 1 in (beyond, len(last)) else ''} "
            f"above the {chance:.0%} that chance reaches once in twenty"
            f"{zeros_said(zeros, 'nothing to explain')}{special_said(self.special)}."
        )

    def sums(self) -> list[str]:
        """[P] each token as people read it: weight × word, the heaviest first."""
        texts = []
        for position, (weights, pieces) in enumerate(zip(self.weights, self.pieces, strict=True)):
            if position in self.special:
                texts.append(f"is {self.special[position]}")
                continue
            parts = sorted((-weight, piece) for weight, piece in zip(weights, pieces, strict=True) if piece)
            texts.append(", ".join(f"{-weight:.2g} {readable(piece, self.mark)}" for weight, piece in parts))
        return texts

    def to_frame(self) -> pd.DataFrame:
        """One row per prompt token and word: prompt, position, rank (from 1), token_id, piece, token, weight,
        energy, p.
        """
        place, rank = np.nonzero(self.token_ids >= 0)
        pieces = [self.pieces[row][column] for row, column in zip(place, rank, strict=True)]
        return pd.DataFrame(
            {
                "prompt": self.prompt,
                "position": place,
                "rank": rank + 1,
                "token_id": self.token_ids[place, rank],
                "piece": pieces,
                "token": [readable(piece, self.mark) for piece in pieces],
                "weight": self.weights[place, rank],
                "energy": self.energy[place, rank],
                "p": self.p[place, rank],
            }
        )


def decompose(
    prompt: SoftPrompt, vocabulary: Vocabulary, words: int = 5, nulls: int = 1000, seed: int = 0
) -> Decomposition:
    """Every token as a sum of at most `words` searchable rows with weights of 0 or more.

    nulls: draws from the vocabulary's Gaussian whose energy is compared with, the same for every prompt.
    Raises PromptError when the widths differ, ExplorerError for a number of words outside 1 … 50 or nulls
    below 1.
    """
    vocabulary.check_width(prompt.vectors, prompt.name)
    if not 1 <= words <= MOST_WORDS:
        raise ExplorerError(f"found {words} words; expected 1 to {MOST_WORDS}")
    null = cached(
        vocabulary,
        ("energy", words, nulls, seed),
        lambda: pursue(gaussian_vectors(vocabulary, nulls, seed), vocabulary, words)[2],
        np.ndarray,
    )
    ids, weights, energy = pursue(prompt.vectors, vocabulary, words)
    p = np.column_stack([p_values(energy[:, rank], null[:, rank]) for rank in range(energy.shape[1])])
    special = special_tokens(prompt, vocabulary)
    p[list(special)] = np.nan
    pieces = tuple(
        tuple(vocabulary.pieces[token_id] if token_id >= 0 else "" for token_id in row) for row in ids
    )
    return Decomposition(prompt.name, ids, weights, energy, p, null, pieces, special, vocabulary.mark)


def rebuilt(vectors: np.ndarray, vocabulary: Vocabulary, words: Sequence[int]) -> dict[int, np.ndarray]:
    """Vectors [Q, H] made anew from few words of each: number of words → [Q, H] float32."""
    found = {}
    for count in words:
        ids, weights, _ = pursue(vectors, vocabulary, count)
        rows = vocabulary.embedding[np.maximum(ids, 0)].astype(np.float64)
        found[count] = np.einsum("qs,qsh->qh", np.nan_to_num(weights), rows).astype(np.float32)
    return found


def pursue(
    vectors: np.ndarray, vocabulary: Vocabulary, words: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Matching pursuit of vectors [Q, H]: ids [Q, S] int64, weights [Q, S] and energies [Q, S] float64; see
    Decomposition.

    Each step takes the row with the largest cosine to what is left and weighs all rows taken so far anew
    (least squares with weights of 0 or more).
    """
    rows, ids = stored_rows(cosine_index(vocabulary)), vocabulary.searchable_ids
    words, exact = min(words, len(ids)), np.asarray(vectors, np.float64)
    length = np.linalg.norm(exact, axis=1)
    places = np.full((len(exact), words), -1, np.int64)
    weights, energy = np.zeros((len(exact), words)), np.full((len(exact), words), np.nan)
    left = exact.copy()
    for step in range(words):
        best, gain = _best(left.astype(np.float32), rows, places[:, :step])
        open_rows = np.flatnonzero((gain > 0) & (length > 0))
        places[open_rows, step] = best[open_rows]
        for row in open_rows:
            chosen = places[row, : step + 1]
            base = rows[chosen[chosen >= 0]].astype(np.float64)
            solved = _non_negative(base, exact[row])
            weights[row, : step + 1][chosen >= 0] = solved
            left[row] = exact[row] - solved @ base
        energy[:, step] = np.where(
            length > 0, 1 - (np.linalg.norm(left, axis=1) / np.where(length > 0, length, 1)) ** 2, np.nan
        )
    lengths = np.linalg.norm(vocabulary.embedding[ids[np.maximum(places, 0)]].astype(np.float64), axis=2)
    found = places >= 0
    scaled = np.divide(weights, lengths, out=np.full(weights.shape, np.nan), where=found & (lengths > 0))
    return np.where(found, ids[np.maximum(places, 0)], -1), scaled, energy


def _best(left: np.ndarray, rows: np.ndarray, taken: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Place [Q] and inner product [Q] of the row nearest to each remainder [Q, H], those taken [Q, s] left
    out.
    """
    best, gain = np.empty(len(left), np.int64), np.empty(len(left), np.float32)
    step = max(1, PRODUCTS_AT_ONCE // len(rows))
    for start in range(0, len(left), step):
        checkpoint()
        block = slice(start, start + step)
        products = left[block] @ rows.T
        for column in taken[block].T:
            known = np.flatnonzero(column >= 0)
            products[known, column[known]] = -np.inf
        best[block] = products.argmax(axis=1)
        gain[block] = products[np.arange(len(products)), best[block]]
    return best, gain


def _non_negative(base: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Weights [s] of 0 or more with which rows [s, H] come nearest to a vector [H]: plain least squares where
    that has no negative weight.
    """
    gram, right = base @ base.T, base @ target
    try:
        solved = np.linalg.solve(gram, right)
    except np.linalg.LinAlgError:
        solved = np.full(len(base), -1.0)
    if (solved >= 0).all():
        return solved
    from scipy.optimize import nnls

    return nnls(base.T, target)[0]
