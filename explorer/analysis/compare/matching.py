"""Prompt against prompt: positions have no common order, so they are matched one to one; and the similarities of SPoT, beside nulls."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from explorer.analysis.nulls import p_values, stream
from explorer.analysis.vectors import unit
from explorer.errors import ExplorerError
from explorer.prompt import SoftPrompt, Vectors, prompt_list
from explorer.vocabulary import Vocabulary
from explorer.wording import count

MEAN_DRAWS = 1000


def matched_positions(first: Vectors, second: Vectors) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The one-to-one matching of positions with the largest sum of cosines (Hungarian method).

    first: [P, H], second: [Q, H], or prompts. Returns positions of the first, positions of the second and their cosines, each [min(P, Q)].
    """
    from scipy.optimize import linear_sum_assignment

    cosine = unit(np.asarray(first)) @ unit(np.asarray(second)).T
    rows, columns = linear_sum_assignment(cosine, maximize=True)
    return rows, columns, cosine[rows, columns]


def mean_token_similarity(prompts: Sequence[SoftPrompt]) -> np.ndarray:
    """Cosine of the mean tokens of every two prompts, −1…1, higher is closer: [N, N] (Vu et al. 2022, SPoT, §3)."""
    means = unit(np.stack([prompt.vectors.mean(axis=0) for prompt in prompt_list(prompts)])).astype(np.float64)
    return means @ means.T


def pairs(prompts: Sequence[SoftPrompt], vocabulary: Vocabulary, draws: int = 99, seed: int = 0) -> pd.DataFrame:
    """One row per two prompts: prompt_a, prompt_b, mean_token_cosine, mean_pairwise_cosine, matched_cosine, p, p_mean.

    p: of `matched_cosine`, against `draws` random rotations of the second prompt's tokens about their own mean: what the two
    prompts share as an offset stays, and so do all distances within each; which token lies where does not. p_mean: of
    `mean_token_cosine`, against 1,000 means of as many random vocabulary rows, which share the vocabulary's own offset.
    Raises ExplorerError for fewer than two prompts or draws below 1, PromptError for another width.
    """
    prompts = prompt_list(prompts)
    if len(prompts) < 2 or draws < 1:
        raise ExplorerError(f"found {count(len(prompts), 'prompt')} and {count(draws, 'draw')}; expected at least two prompts and one draw")
    for prompt in prompts:
        vocabulary.check_width(prompt.vectors, prompt.name)
    means = mean_token_similarity(prompts)
    rows = []
    for a, b in combinations(range(len(prompts)), 2):
        first, second = prompts[a], prompts[b]
        matched = matched_positions(first.vectors, second.vectors)[2].mean()
        null = np.array([matched_positions(first.vectors, turned)[2].mean() for turned in _turned(second.vectors, draws, seed)])
        rows.append(
            {
                "prompt_a": first.name,
                "prompt_b": second.name,
                "mean_token_cosine": means[a, b],
                "mean_pairwise_cosine": float((unit(first.vectors) @ unit(second.vectors).T).mean()),
                "matched_cosine": float(matched),
                "p": float(p_values(np.array(matched), null)) if min(first.length, second.length) > 1 else float("nan"),
                "p_mean": float(p_values(np.array(means[a, b]), _mean_null(first, second.length, vocabulary, seed))),
            }
        )
    return pd.DataFrame(rows)


def _turned(vectors: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Random rotations of vectors [P, H] about their mean: [draws, P, H]. Only the frame of their span needs to be drawn."""
    mean = vectors.mean(axis=0)
    left, values, _ = np.linalg.svd((vectors - mean).astype(np.float64), full_matrices=False)
    normal = stream(seed, "turns").standard_normal((draws, vectors.shape[1], len(values)))
    frames = np.linalg.qr(normal)[0].transpose(0, 2, 1)  # [draws, r, H]
    return (mean + (left * values) @ frames).astype(np.float32)


def _mean_null(prompt: SoftPrompt, length: int, vocabulary: Vocabulary, seed: int) -> np.ndarray:
    """Cosine of a prompt's mean token to the mean of `length` random rows: [1000]."""
    drawn = stream(seed, "mean rows").choice(vocabulary.searchable_ids, (MEAN_DRAWS, length))
    means = np.stack([vocabulary.embedding[ids].mean(axis=0) for ids in drawn])
    return unit(means) @ unit(prompt.vectors.mean(axis=0, keepdims=True))[0]
