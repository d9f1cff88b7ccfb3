"""How near prompt tokens are to the class labels, and whether tokens that began as a label still are one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from explorer.analysis.hubness import unit
from explorer.analysis.nulls import gaussian_bank, p_values
from explorer.analysis.remembered import remembered
from explorer.errors import DataError
from explorer.prompt import SoftPrompt
from explorer.vocabulary import Vocabulary

TIE = 1e-6
"""cosines this close are equal: a label of one piece ties with that piece's own row, and the tie is the label's"""


@dataclass(frozen=True)
class Persistence:
    """What became of one prompt token that was initialized from a class label."""

    label: str
    position: int
    """from 0"""
    initial_rank: int | None
    """rank of the label before training (1 unless the vocabulary changed); None where no initial vectors were saved"""
    rank: int
    """rank of the label now, from 1"""
    p: float
    """share of positions at least as near to the label as this one, 1/P…1: smaller is more persistent"""


@dataclass(frozen=True, eq=False)
class LabelReading:
    """Similarity of every prompt token to every class label; a label's vector is the mean of its pieces' embeddings."""

    prompt: str
    labels: tuple[str, ...]
    similarity: np.ndarray
    """[P, C] float32 cosine, −1…1, higher is closer"""
    rank: np.ndarray
    """[P, C] int64: where the label would stand among the searchable rows; 1 means nearer than every row"""
    p: np.ndarray
    """[P, C] against vectors drawn from the vocabulary's Gaussian; smaller is more surprising"""
    persistence: tuple[Persistence, ...]
    """one for each token initialized from one of `labels`"""
    drift: np.ndarray | None
    """[P] float32 cosine to the initial vector, 1 is unmoved; None where no initial vectors were saved"""
    dispersion: float
    """0…1, normalized entropy over positions of the positive similarity to any label: 0 all in one token, 1 evenly spread;
    nan when no token is on the side of any label"""

    def to_frame(self) -> pd.DataFrame:
        """One row per prompt token and label: prompt, position, label, similarity, rank, p."""
        length, count = self.similarity.shape
        return pd.DataFrame(
            {
                "prompt": self.prompt,
                "position": np.repeat(np.arange(length), count),
                "label": list(self.labels) * length,
                "similarity": self.similarity.ravel(),
                "rank": self.rank.ravel(),
                "p": self.p.ravel(),
            }
        )

    def persistence_frame(self) -> pd.DataFrame:
        """One row per token initialized from a label: prompt, label, position, initial_rank, rank, p. Empty when there is none."""
        frame = pd.DataFrame(
            [(self.prompt, one.label, one.position, one.initial_rank, one.rank, one.p) for one in self.persistence],
            columns=["prompt", "label", "position", "initial_rank", "rank", "p"],
        )
        return frame.astype({"position": "int64", "initial_rank": "Int64", "rank": "int64", "p": "float64"})

    def dispersion_frame(self) -> pd.DataFrame:
        """One row: prompt, dispersion."""
        return pd.DataFrame({"prompt": [self.prompt], "dispersion": [self.dispersion]})


def read_labels(
    prompt: SoftPrompt, vocabulary: Vocabulary, labels: Sequence[str] | None = None, nulls: int = 1000, seed: int = 0
) -> LabelReading:
    """Cosine, rank and p of every class label at every prompt token; persistence, drift and dispersion.

    labels: by default those the prompt records. Raises DataError when there are none, PromptError for a label without a
    piece in the vocabulary or a prompt of another width, ModelError for a vocabulary without a tokenizer.
    """
    vocabulary.check_width(prompt.vectors, prompt.name)
    names = tuple(prompt.origin.labels or ()) if labels is None else tuple(labels)
    if not names:
        raise DataError(f"{prompt.name} records no class labels; give them with --labels, such as --labels negative,positive")
    targets = unit(np.stack([vocabulary.text_vector(name) for name in names]))  # [C, H]
    similarity = unit(prompt.vectors) @ targets.T
    rank = _ranks(prompt.vectors, similarity, vocabulary)
    null = unit(gaussian_bank(vocabulary, nulls, seed)) @ targets.T  # [M, C]
    p = np.column_stack([p_values(similarity[:, c], null[:, c]) for c in range(len(names))])
    initial = prompt.initial
    return LabelReading(
        prompt.name,
        names,
        similarity,
        rank,
        p,
        _persistence(prompt, names, targets, similarity, rank, vocabulary),
        None if initial is None else (unit(prompt.vectors) * unit(initial)).sum(axis=1),
        _dispersion(similarity),
    )


def _ranks(vectors: np.ndarray, similarity: np.ndarray, vocabulary: Vocabulary) -> np.ndarray:
    """1 + the number of searchable rows nearer to each vector [P, H] than the labels are, given their similarity [P, C]."""
    rows = remembered(vocabulary, "unit searchable rows", lambda: unit(vocabulary.embedding[vocabulary.searchable_ids]))
    cosine = np.sort(unit(vectors) @ rows.T, axis=1)
    above = [np.searchsorted(row, bound + TIE, side="right") for row, bound in zip(cosine, similarity, strict=True)]
    return 1 + len(rows) - np.array(above, np.int64)


def _persistence(
    prompt: SoftPrompt, names: tuple[str, ...], targets: np.ndarray, similarity: np.ndarray, rank: np.ndarray, vocabulary: Vocabulary
) -> tuple[Persistence, ...]:
    started = None
    if prompt.initial is not None:
        started = _ranks(prompt.initial, unit(prompt.initial) @ targets.T, vocabulary)
    found = []
    for position, source in enumerate(prompt.origin.rows or ()):
        if source.label in names:
            column = names.index(source.label)
            share = float((similarity[:, column] >= similarity[position, column]).mean())
            before = None if started is None else int(started[position, column])
            found.append(Persistence(source.label, position, before, int(rank[position, column]), share))
    return tuple(found)


def _dispersion(similarity: np.ndarray) -> float:
    mass = similarity.clip(min=0).sum(axis=1, dtype=np.float64)
    if not mass.sum() > 0:
        return float("nan")
    if len(mass) == 1:
        return 0.0
    share = mass[mass > 0] / mass.sum()
    return float(abs((share * np.log(share)).sum()) / np.log(len(mass)))
