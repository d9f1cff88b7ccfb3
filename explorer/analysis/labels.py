"""How near prompt tokens are to the class labels, and whether tokens that began as a label still are one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from explorer.analysis.nulls import benjamini_hochberg, enough, gaussian_vectors, p_values
from explorer.analysis.special import special_tokens, without
from explorer.analysis.vectors import cosine_index, directionless, stored_rows, unit
from explorer.errors import DataError
from explorer.prompt import SoftPrompt
from explorer.results import Result
from explorer.vocabulary import Vocabulary
from explorer.words.arguments import as_list
from explorer.words.wording import all_zero, count, special_said, zeros_said

TIE = 1e-6
"""cosines this close are equal: a label of one piece ties with that piece's own row, and the tie is the
label's
"""

PRODUCTS_AT_ONCE = 2**24
"""inner products of tokens with rows held at once, 64 MiB"""
MATCHED_WORDS = 100
"""words about as frequent as a label, which persistence is compared with"""


@dataclass(frozen=True)
class Persistence:
    """What became of one prompt token that was initialized from a class label."""

    label: str
    position: int
    """from 0"""
    initial_rank: int | None
    """rank of the label before training (1 unless the vocabulary changed); None where no initial vectors were
    saved, and for zeros
    """
    rank: int | None
    """rank of the label now, from 1; None for a token of zeros"""
    p: float
    """share of positions at least as near to the label as this one, 1/P…1: smaller is more persistent"""
    initial_p: float | None
    """the same before training; None where no initial vectors were saved"""
    p_words: float
    """(1 + words at least as near as the label) / (1 + words), of the 100 pieces that are about as frequent
    as the label's, at this position: smaller is more than any word would show
    """
    p_labels: float
    """the same over labels of other tasks; nan where none were given"""


@dataclass(frozen=True, eq=False, repr=False)
class LabelReading(Result):
    """Similarity of every prompt token to every class label; a label's vector is the mean of its pieces'
    embeddings.
    """

    prompt: str
    labels: tuple[str, ...]
    similarity: np.ndarray
    """[P, C] float32 cosine, −1…1, higher is closer; 0 for a token of zeros"""
    rank: np.ndarray
    """[P, C] int64: where the label would stand among the searchable rows; 1 means nearer than every row; 0
    for a token of zeros and for a special row, which have no rank
    """
    p: np.ndarray
    """[P, C] against vectors drawn from the vocabulary's Gaussian; smaller is more surprising; nan for a
    token of zeros
    """
    q: np.ndarray
    """[P, C] p after Benjamini–Hochberg over positions and labels together"""
    persistence: tuple[Persistence, ...]
    """one for each token initialized from one of `labels`"""
    drift: np.ndarray | None
    """[P] float32 cosine to the initial vector, 1 is unmoved; None where no initial vectors were saved"""
    dispersion: float
    """0…1, normalized entropy over positions of the positive similarity to any label: 0 all in one token, 1
    evenly spread; nan when no token is on the side of any label
    """
    initial_dispersion: float
    """the same before training; nan where no initial vectors were saved"""
    special: Mapping[int, str] = field(default_factory=dict)
    """positions of tokens that are special rows, such as `<bos>`, and their pieces: they have no rank"""
    draws: int = 0
    """vectors that p compares with"""

    @property
    def kept(self) -> tuple[Persistence, ...]:
        """Tokens that began as a label and still rank it first, before every piece and every other label."""
        return tuple(
            one
            for one in self.persistence
            if one.rank == 1 and self.similarity[one.position].argmax() == self.labels.index(one.label)
        )

    @property
    def first(self) -> np.ndarray:
        """[n] int64: all positions at which some label ranks first."""
        return np.flatnonzero((self.rank == 1).any(axis=1))

    @property
    def conclusion(self) -> str:
        """What to conclude, in one sentence: at how many tokens a label is nearer than every piece, and how
        many label tokens stayed their label.
        """
        length = len(self.rank) - len(self.special)
        zeros = int((self.rank == 0).all(axis=1).sum()) - len(self.special)
        if zeros == length:
            told = all_zero(length) if length else "No token is left"
            return f"{told}: no label has a rank{special_said(self.special)}."
        ranked = np.where(self.rank > 0, self.rank, np.iinfo(np.int64).max)
        position, label = np.unravel_index(ranked.argmin(), ranked.shape)
        best = (
            f" (the best rank is {ranked.min():,}, of “{self.labels[label]}” at token {position})"
            if ranked.min() > 1
            else ""
        )
        said = (
            f"{len(self.first)} of {count(length, 'token')} "
            f"{'is' if 1 in (len(self.first), length) else 'are'} nearer to a label than to any vocabulary "
            f"piece{best}"
        )
        if began := len(self.persistence):
            said += (
                f"; {len(self.kept)} of {count(began, 'token')} that began as a label still "
                f"{'ranks' if len(self.kept) == 1 else 'rank'} it first"
            )
        return f"{said}{zeros_said(zeros, 'no rank')}{special_said(self.special)}."

    def to_frame(self) -> pd.DataFrame:
        """One row per prompt token and label: prompt, position, label, similarity, rank, p, q."""
        length, count = self.similarity.shape
        return pd.DataFrame(
            {
                "prompt": self.prompt,
                "position": np.repeat(np.arange(length), count),
                "label": list(self.labels) * length,
                "similarity": self.similarity.ravel(),
                "rank": pd.array(self.rank.ravel(), "Int64"),
                "p": self.p.ravel(),
                "q": self.q.ravel(),
            }
        ).assign(rank=lambda frame: frame["rank"].mask(frame["rank"] == 0))

    def persistence_frame(self) -> pd.DataFrame:
        """One row per token initialized from a label: prompt, label, position, initial_rank, rank, p,
        initial_p, p_words, p_labels. Empty when there is none.
        """
        columns = ["label", "position", "initial_rank", "rank", "p", "initial_p", "p_words", "p_labels"]
        frame = pd.DataFrame(
            [[getattr(one, column) for column in columns] for one in self.persistence], columns=columns
        )
        frame.insert(0, "prompt", self.prompt)
        real = dict.fromkeys(("p", "initial_p", "p_words", "p_labels"), "float64")
        return frame.astype({"position": "int64", "initial_rank": "Int64", "rank": "Int64", **real})

    def dispersion_frame(self) -> pd.DataFrame:
        """One row: prompt, dispersion, initial_dispersion."""
        return pd.DataFrame(
            {
                "prompt": [self.prompt],
                "dispersion": [self.dispersion],
                "initial_dispersion": [self.initial_dispersion],
            }
        )


def read_labels(
    prompt: SoftPrompt,
    vocabulary: Vocabulary,
    labels: Sequence[str] | None = None,
    nulls: int = 1000,
    seed: int = 0,
    other_labels: Sequence[str] = (),
    template: str | None = None,
) -> LabelReading:
    """Cosine, rank and p of every class label at every prompt token; persistence, drift and dispersion.

    labels: by default those the prompt records. other_labels: of other tasks, a baseline of persistence.
    template: what labels stand behind where the model scores them; by default the prompt's. Raises DataError
    for a string, for none, and for labels that the model cannot tell apart or does not know; PromptError for
    a prompt of another width, ModelError for a vocabulary without a tokenizer.
    """
    vocabulary.check_width(prompt.vectors, prompt.name)
    names = tuple(prompt.origin.labels or ()) if labels is None else as_list(labels, "labels")
    if not names:
        raise DataError(
            f"{prompt.name} records no class labels; name them, such as negative and positive", "labels"
        )
    template = prompt.origin.template if template is None else template
    targets = unit(vocabulary.label_vectors(names, template))  # [C, H]
    similarity = unit(prompt.vectors) @ targets.T
    special = special_tokens(prompt, vocabulary)
    entered = without(special, prompt.length)
    rank = np.where(entered[:, None], _ranks(prompt.vectors, similarity, vocabulary), 0)
    null = unit(gaussian_vectors(vocabulary, enough(nulls, similarity.size), seed)) @ targets.T  # [M, C]
    p = np.column_stack([p_values(similarity[:, c], null[:, c]) for c in range(len(names))])
    p[directionless(prompt.vectors) | ~entered] = np.nan
    initial = prompt.initial
    return LabelReading(
        prompt.name,
        names,
        similarity,
        rank,
        p,
        benjamini_hochberg(p.ravel()).reshape(p.shape),
        _persistence(
            prompt,
            names,
            targets,
            similarity,
            rank,
            vocabulary,
            [other for other in as_list(other_labels, "other labels") if other not in names],
            template,
        ),
        None if initial is None else (unit(prompt.vectors) * unit(initial)).sum(axis=1),
        _dispersion(similarity),
        float("nan") if initial is None else _dispersion(unit(initial) @ targets.T),
        special,
        len(null),
    )


def _ranks(vectors: np.ndarray, similarity: np.ndarray, vocabulary: Vocabulary) -> np.ndarray:
    """1 + the number of searchable rows nearer to each vector [P, H] than the labels are, given their
    similarity [P, C]; 0 for a vector of zeros.
    """
    rows, directions = stored_rows(cosine_index(vocabulary)), unit(vectors)
    nearer, step = np.zeros(similarity.shape, np.int64), max(1, PRODUCTS_AT_ONCE // len(rows))
    for start in range(0, len(vectors), step):
        block = slice(start, start + step)
        cosine = directions[block] @ rows.T
        for label, bound in enumerate(similarity[block].T):
            nearer[block, label] = (cosine > bound[:, None] + np.float32(TIE)).sum(axis=1)
    return np.where(directionless(vectors)[:, None], 0, 1 + nearer)


def _persistence(
    prompt: SoftPrompt,
    names: tuple[str, ...],
    targets: np.ndarray,
    similarity: np.ndarray,
    rank: np.ndarray,
    vocabulary: Vocabulary,
    other_labels: Sequence[str],
    template: str | None,
) -> tuple[Persistence, ...]:
    before = started = None
    if prompt.initial is not None:
        before = unit(prompt.initial) @ targets.T
        started = _ranks(prompt.initial, before, vocabulary)
    others = (
        np.stack([vocabulary.text_vector(one, template) for one in other_labels]) if other_labels else None
    )
    found = []
    for position, source in enumerate(prompt.origin.rows or ()):
        if source.label in names:
            column = names.index(source.label)
            own, token = similarity[position, column], unit(prompt.vectors[position : position + 1])[0]
            found.append(
                Persistence(
                    source.label,
                    position,
                    None if started is None else int(started[position, column]) or None,
                    int(rank[position, column]) or None,
                    _share_as_near(similarity[:, column], position),
                    None if before is None else _share_as_near(before[:, column], position),
                    float(
                        p_values(
                            own,
                            unit(vocabulary.embedding[as_frequent(source.label, vocabulary, template)])
                            @ token,
                        )
                    ),
                    float("nan") if others is None else float(p_values(own, unit(others) @ token)),
                )
            )
    return tuple(found)


def _share_as_near(similarity: np.ndarray, position: int) -> float:
    """Position-permutation p: the share of positions [P] at least as near as this one."""
    return float((similarity >= similarity[position]).mean())


def as_frequent(label: str, vocabulary: Vocabulary, template: str | None) -> np.ndarray:
    """The searchable pieces whose ids are nearest to the label's, its own left out: tokenizers number pieces
    by frequency.
    """
    (own,) = vocabulary.label_ids([label], template)
    ids = vocabulary.searchable_ids[~np.isin(vocabulary.searchable_ids, own)]
    return ids[np.argsort(np.abs(ids - np.mean(own)), kind="stable")[:MATCHED_WORDS]]


def _dispersion(similarity: np.ndarray) -> float:
    mass = similarity.clip(min=0).sum(axis=1, dtype=np.float64)
    if not mass.sum() > 0:
        return float("nan")
    if len(mass) == 1:
        return 0.0
    share = mass[mass > 0] / mass.sum()
    return float(abs((share * np.log(share)).sum()) / np.log(len(mass)))


def in_words(readings: Sequence[LabelReading], initialization: str | None) -> str:
    """What became of the labels in prompts of one initialization, as a sentence of measured figures."""
    group = f"{count(len(readings), 'prompt')} with initialization {initialization or 'unknown'}"
    began = [one for reading in readings for one in reading.persistence]
    first, positions = (
        sum(len(reading.first) for reading in readings),
        sum(len(reading.rank) for reading in readings),
    )
    if not began:
        ranks = np.concatenate([reading.rank.ravel() for reading in readings])
        best = f"best rank {ranks[ranks > 0].min():,}" if ranks.any() else "all tokens are zero"
        found = "at none of" if first == 0 else f"at {first} of"
        return (
            f"{group}: no token is recorded to have begun as a label; a label ranks first {found} "
            f"{count(positions, 'position')} ({best})."
        )
    kept = [one for reading in readings for one in reading.kept]
    largest = f"; position p at most {max(one.p for one in kept):.3f}" if kept else ""
    least = min(1 / len(reading.rank) for reading in readings)
    elsewhere = sum(
        len(set(reading.first.tolist()) - {token.position for token in reading.persistence})
        for reading in readings
    )
    return (
        f"{group}: {len(kept)} of {len(began)} tokens that began as a label still rank it "
        f"first{largest} (the smallest possible is {least:.3f}); "
        f"a label ranks first at {elsewhere} of the {positions - len(began)} other positions."
    )
