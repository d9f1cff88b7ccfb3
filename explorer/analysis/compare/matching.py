"""Prompt against prompt: positions have no common order, so they are matched one to one; and the similarities
of SPoT, beside nulls.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from explorer.analysis.nulls import SIGNIFICANT_AT, benjamini_hochberg, p_values, stream
from explorer.analysis.surrogates import Parts, mixed, other_words, parts
from explorer.analysis.vectors import unit
from explorer.cached import cached
from explorer.errors import ExplorerError
from explorer.prompt import SoftPrompt, Vectors, prompt_list
from explorer.vocabulary import Vocabulary
from explorer.words.wording import count

MEAN_DRAWS = 1000
FEWEST_DRAWS, CELLS = 19, 120_000_000
"""draws of each pair: about so many cosines are matched in all, seconds on one core, so that 55 prompts do
not take minutes
"""
TOKENS_PER_BLOCK = 8192
"""drawn at once; bounds the memory of a null distribution"""


def matched_positions(first: Vectors, second: Vectors) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The one-to-one matching of positions with the largest sum of cosines (Hungarian method).

    first: [P, H], second: [Q, H], or prompts. Returns positions of the first, positions of the second and
    their cosines, each [min(P, Q)].
    """
    from scipy.optimize import linear_sum_assignment

    cosine = unit(np.asarray(first)) @ unit(np.asarray(second)).T
    rows, columns = linear_sum_assignment(cosine, maximize=True)
    return rows, columns, cosine[rows, columns]


def mean_token_similarity(prompts: Sequence[SoftPrompt]) -> np.ndarray:
    """Cosine of the mean tokens of every two prompts, −1…1, higher is closer: [N, N] (Vu et al. 2022, SPoT,
    §3).
    """
    means = unit(np.stack([prompt.vectors.mean(axis=0) for prompt in prompt_list(prompts)])).astype(
        np.float64
    )
    return means @ means.T


def pairs(
    prompts: Sequence[SoftPrompt], vocabulary: Vocabulary, draws: int = 999, seed: int = 0
) -> pd.DataFrame:
    """One row per two prompts: prompt_a, prompt_b, mean_token_cosine, mean_pairwise_cosine, matched_cosine,
    p, p_mean, q.

    p: of `matched_cosine`, against prompts that chance would give in place of the two, matched anew each
    time. Each token's word is replaced by a random word about as frequent, and the rests of the tokens are
    mixed with each other: what the prompts share as an offset or as a subspace stays (see
    analysis.surrogates). nan where a prompt has a single token. q: p after Benjamini–Hochberg over the pairs.
    p_mean: of `mean_token_cosine`, against 1,000 means of as many random vocabulary rows, which share the
    vocabulary's own offset. draws: of each pair at most; fewer, but not below 19, for very many or long
    prompts. Raises ExplorerError for fewer than two prompts or draws below 1, PromptError for another width.
    """
    prompts = prompt_list(prompts)
    if len(prompts) < 2 or draws < 1:
        raise ExplorerError(
            f"found {count(len(prompts), 'prompt')} and {count(draws, 'draw')}; expected at least two "
            "prompts and one draw"
        )
    for prompt in prompts:
        vocabulary.check_width(prompt.vectors, prompt.name)
    means = mean_token_similarity(prompts)
    directions = [unit(prompt.vectors) for prompt in prompts]
    null = _null(directions, vocabulary, draws, seed)
    rows = []
    for (a, b), drawn in null.items():
        first, second = prompts[a], prompts[b]
        cosine = directions[a] @ directions[b].T
        matched = _matched(cosine)
        rows.append(
            {
                "prompt_a": first.name,
                "prompt_b": second.name,
                "mean_token_cosine": means[a, b],
                "mean_pairwise_cosine": float(cosine.mean()),
                "matched_cosine": matched,
                "p": float(p_values(np.array(matched), drawn))
                if min(first.length, second.length) > 1
                else float("nan"),
                "p_mean": float(
                    p_values(np.array(means[a, b]), _mean_null(first, second.length, vocabulary, seed))
                ),
            }
        )
    frame = pd.DataFrame(rows)
    return frame.assign(q=benjamini_hochberg(frame["p"].to_numpy()))


def alike_in_words(frame: pd.DataFrame) -> str:
    """What to conclude from a table of `pairs`, in one sentence."""
    judged = frame.dropna(subset="q")
    if judged.empty:
        return "No pair of prompts can be judged: one prompt of each has a single token."
    total = count(len(judged), "pair")
    found = judged[judged["q"] <= SIGNIFICANT_AT].sort_values("matched_cosine", ascending=False)
    if found.empty:
        below = int((judged["p"] <= SIGNIFICANT_AT).sum())
        by_chance = (
            f"{below} {'has' if below == 1 else 'have'} p ≤ {SIGNIFICANT_AT}, where chance gives about "
            f"{SIGNIFICANT_AT * len(judged):.1f}"
        )
        return (
            f"0 of {total} of prompts {'is' if len(judged) == 1 else 'are'} alike beyond chance; {by_chance}."
        )
    first = found.iloc[0]
    most = "" if len(found) == 1 else "most of all "
    verb = "is" if 1 in (len(found), len(judged)) else "are"
    closest = (
        f"{most}{first['prompt_a']} and {first['prompt_b']}, whose tokens, matched one to one, have "
        f"cosine {first['matched_cosine']:.2f} on average"
    )
    return f"{len(found)} of {total} of prompts {verb} alike beyond chance: {closest}."


def _null(
    directions: Sequence[np.ndarray], vocabulary: Vocabulary, draws: int, seed: int
) -> dict[tuple[int, int], np.ndarray]:
    """Matched cosines under chance of every two prompts of tokens [P, H] at length 1: places of the two ->
    [draws].
    """
    every = list(combinations(range(len(directions)), 2))
    cells = sum(len(directions[a]) * len(directions[b]) for a, b in every)
    draws = min(draws, max(FEWEST_DRAWS, CELLS // cells))
    known = [parts(tokens, vocabulary, offset=True) for tokens in directions]
    generators = [stream(seed, f"other words {place}") for place in range(len(known))]
    found: dict[tuple[int, int], list[float]] = {pair: [] for pair in every}
    at_once = max(1, TOKENS_PER_BLOCK // sum(map(len, directions)))
    for start in range(0, draws, at_once):
        now = min(at_once, draws - start)
        drawn = [
            _in_place(one, vocabulary, now, generator)
            for one, generator in zip(known, generators, strict=True)
        ]
        for a, b in every:
            found[a, b] += [_matched(cosine) for cosine in drawn[a] @ drawn[b].transpose(0, 2, 1)]
    return {pair: np.array(values) for pair, values in found.items()}


def _in_place(known: Parts, vocabulary: Vocabulary, draws: int, generator: np.random.Generator) -> np.ndarray:
    """What chance would give in place of a prompt: [draws, P, H] float32 of length 1."""
    drawn = other_words(known, vocabulary, draws, generator) + mixed(known.rest, draws, generator)
    return unit(drawn.reshape(-1, drawn.shape[-1])).reshape(drawn.shape)


def _matched(cosine: np.ndarray) -> float:
    """Mean of the cosines [P, Q] that the best matching takes."""
    from scipy.optimize import linear_sum_assignment

    return float(cosine[linear_sum_assignment(cosine, maximize=True)].sum()) / min(cosine.shape)


def _mean_null(prompt: SoftPrompt, length: int, vocabulary: Vocabulary, seed: int) -> np.ndarray:
    """Cosine of a prompt's mean token to the mean of `length` random rows: [1000]."""
    return _random_means(length, vocabulary, seed) @ unit(prompt.vectors.mean(axis=0, keepdims=True))[0]


def _random_means(length: int, vocabulary: Vocabulary, seed: int) -> np.ndarray:
    """Directions of the means of `length` random rows: [1000, H], computed once for all prompts."""

    def make() -> np.ndarray:
        drawn = stream(seed, "mean rows").choice(vocabulary.searchable_ids, (MEAN_DRAWS, length))
        return unit(np.stack([vocabulary.embedding[ids].mean(axis=0) for ids in drawn]))

    return cached(vocabulary, ("random means", length, seed), make, np.ndarray)
