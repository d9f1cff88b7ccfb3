"""How long prompt tokens are, and how far outside the vocabulary's own space: what cosine similarity does not
see.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from explorer.analysis.search import search
from explorer.analysis.vectors import second_moment, unit
from explorer.cached import cached
from explorer.prompt import SoftPrompt
from explorer.results import Result
from explorer.vocabulary import Vocabulary
from explorer.words.wording import count

SPAN_ENERGY = 0.9
"""the top-m principal components are as many as hold this share of the searchable rows' energy"""
LONGEST = 1e18
"""beyond it single precision cannot hold the square of a distance, and distances are not taken"""
SAMPLED_ROWS, SAMPLE_SEED = 1000, 0
"""rows from which the typical distance between neighboring rows is taken"""


@dataclass(frozen=True, eq=False, repr=False)
class Norms(Result):
    """Length and place of every prompt token beside the vocabulary's rows."""

    prompt: str
    sources: tuple[str, ...]
    """[P] what each token was initialized from, empty where that is not recorded"""
    norm: np.ndarray
    """[P] float64, Euclidean length"""
    ratio: np.ndarray
    """[P] norm over the median norm of the searchable rows; 1 is typical"""
    percentile: np.ndarray
    """[P] 0…100, share of searchable rows that are no longer than the token"""
    outside: np.ndarray
    """[P] 0…1, share of ‖p‖² outside the span of the top `components` principal components (about the origin)
    of the searchable rows; these rows' own mean is at most 0.1, a random direction's (H − m) / H; nan for a
    zero vector
    """
    components: int
    """m, the fewest components that hold 90 % of the searchable rows' energy"""
    nearest_distance_ratio: np.ndarray
    """[P] Euclidean distance to the nearest row over the median distance of a row (of 1,000, seeded) to its
    nearest other row; above 1 is farther than words are from each other; nan for a vocabulary of one row
    and for lengths beyond 1e18
    """
    initial_norm: np.ndarray | None
    """[P] length before training; None, like the next two, where no initial vectors were saved"""
    drift_cosine: np.ndarray | None
    """[P] cosine to the initial vector, −1…1, 1 means unchanged direction; 0 where one of them is zero"""
    drift_distance: np.ndarray | None
    """[P] Euclidean distance from the initial vector"""

    @property
    def conclusion(self) -> str:
        """What to conclude, in one sentence: how long the tokens are beside the vocabulary's pieces, and how
        far they turned while they were trained.
        """
        known, length = self.ratio[~np.isnan(self.ratio)], len(self.norm)
        if not len(known):
            return "Most pieces of the vocabulary are zero, so there is no length to compare the tokens with."
        longest = int((self.percentile == 100).sum())
        between = f" ({known.min():.1f} to {known.max():.1f} times)" if length > 1 else ""
        turned = (
            ""
            if self.drift_cosine is None
            else f"; their mean cosine to where they began is {self.drift_cosine.mean():.2f} (1 means "
            "unchanged direction)"
        )
        return (
            f"The median token is {np.median(known):.1f} times as long as a typical piece{between}; "
            f"{longest} of {count(length, 'token')} "
            f"{'is' if 1 in (longest, length) else 'are'} as long as the longest piece or longer{turned}."
        )

    def to_frame(self) -> pd.DataFrame:
        """One row per prompt token: prompt, position, source, norm, ratio, percentile, outside, initial_norm,
        drift_cosine, drift_distance, nearest_distance_ratio; nan where no initial vectors were saved.
        """
        unknown = np.full(len(self.norm), np.nan)
        known = {name: getattr(self, name) for name in ("initial_norm", "drift_cosine", "drift_distance")}
        return pd.DataFrame(
            {
                "prompt": self.prompt,
                "position": np.arange(len(self.norm)),
                "source": list(self.sources),
                "norm": self.norm,
                "ratio": self.ratio,
                "percentile": self.percentile,
                "outside": self.outside,
                **{name: unknown if values is None else values for name, values in known.items()},
                "nearest_distance_ratio": self.nearest_distance_ratio,
            }
        )


def read_norms(prompt: SoftPrompt, vocabulary: Vocabulary) -> Norms:
    """Norms, their place among the vocabulary's, energy outside its main components, and drift from the
    initial vectors.

    Raises PromptError when the widths differ.
    """
    vocabulary.check_width(prompt.vectors, prompt.name)
    vectors, initial = prompt.vectors.astype(np.float64), prompt.initial
    norm = np.linalg.norm(vectors, axis=1)
    rows = cached(vocabulary, "sorted row norms", lambda: _row_norms(vocabulary), np.ndarray)
    span = cached(vocabulary, "span", lambda: _span(vocabulary), np.ndarray)  # [m, H]
    inside = (unit(prompt.vectors).astype(np.float64) @ span.T) ** 2
    nearest, typical = np.full(len(norm), np.nan), float("nan")
    if max(norm.max(), rows[-1]) < LONGEST:
        typical = cached(vocabulary, "row distance", lambda: _row_distance(vocabulary), float)
        nearest = search(prompt.vectors, vocabulary, 1, "l2")[1][:, 0]
    return Norms(
        prompt=prompt.name,
        sources=tuple(str(row) for row in prompt.origin.rows)
        if prompt.origin.rows
        else ("",) * prompt.length,
        norm=norm,
        ratio=norm / np.median(rows) if np.median(rows) > 0 else np.full(len(norm), np.nan),
        percentile=100 * np.searchsorted(rows, norm, side="right") / len(rows),
        outside=np.where(norm > 0, (1 - inside.sum(axis=1)).clip(0, 1), np.nan),
        components=len(span),
        nearest_distance_ratio=nearest / typical if typical > 0 else np.full(len(norm), np.nan),
        initial_norm=None if initial is None else np.linalg.norm(initial.astype(np.float64), axis=1),
        drift_cosine=None
        if initial is None
        else (unit(prompt.vectors).astype(np.float64) * unit(initial)).sum(axis=1),
        drift_distance=None if initial is None else np.linalg.norm(vectors - initial, axis=1),
    )


def _row_norms(vocabulary: Vocabulary) -> np.ndarray:
    """Norms of the searchable rows, ascending: [V'] float64."""
    rows = vocabulary.embedding[vocabulary.searchable_ids]
    return np.sort(np.sqrt(np.einsum("vh,vh->v", rows, rows, dtype=np.float64)))


def _span(vocabulary: Vocabulary) -> np.ndarray:
    """Orthonormal directions that hold SPAN_ENERGY of the searchable rows' energy: [m, H] float64.

    About the origin, not the mean, so that the reading of a token does not depend on its length.
    """
    energy, directions = np.linalg.eigh(second_moment(vocabulary))
    share = np.cumsum(energy[::-1].clip(min=0)) / max(energy.clip(min=0).sum(), np.finfo(float).tiny)
    count = min(int(np.searchsorted(share, SPAN_ENERGY)) + 1, len(energy))
    return directions[:, ::-1][:, :count].T


def _row_distance(vocabulary: Vocabulary) -> float:
    """Median Euclidean distance of a searchable row to its nearest other row; nan when there is only one."""
    ids = vocabulary.searchable_ids
    if len(ids) < 2:
        return float("nan")
    sample = np.random.default_rng(SAMPLE_SEED).choice(ids, min(SAMPLED_ROWS, len(ids)), replace=False)
    return float(np.median(search(vocabulary.embedding[sample], vocabulary, 2, "l2")[1][:, 1]))
