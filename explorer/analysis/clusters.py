"""Is a prompt token near to a group of words that belong together? The verdict on each token, and on the
whole prompt.

The verdict is taken in the whitened space, where every direction of the vocabulary has the same energy, and
asks for both at once: several words near to the token, and those words near to each other. Coherence, how
much the neighbors of a token resemble one another, stays as a description: it measures the vocabulary rather
than the token, since a random vector that points vaguely at a dense clump has ten neighbors out of that
clump.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from explorer.analysis.hubness import null_neighbors
from explorer.analysis.nulls import (
    SIGNIFICANT_AT,
    benjamini_hochberg,
    enough,
    mean_row,
    p_values,
    percentiles,
    stream,
)
from explorer.analysis.search import search
from explorer.analysis.special import special_tokens, without
from explorer.analysis.vectors import (
    directionless,
    index_of,
    rough_neighbors,
    rough_search,
    stored_rows,
    unit,
    whitening,
)
from explorer.cached import cached
from explorer.choices import NULLS, Null
from explorer.prompt import SoftPrompt
from explorer.results import Result
from explorer.system.interruption import checkpoint
from explorer.vocabulary import Vocabulary
from explorer.words.wording import all_zero, special_said, zeros_said
from explorer.words.wording import count as counted

GROUP = 5
"""words that the verdict looks at; ten are easily fooled by a mean of unrelated words"""
FEWEST_ROTATIONS, MOST_ROTATIONS, ROTATED = 19, 399, 10_000
"""rotations of the whole prompt: about so many tokens in all, so that a prompt of 2,000 tokens does not take
minutes
"""
LEXICAL_FROM, SEMANTIC_UP_TO = 0.5, 0.2
"""share of the pairs of a group that are variants of one word or share a stem: from the first on it is
lexical (four of five words are forms of one: six of ten pairs), up to the second semantic (at most two of ten
pairs, such as one word with and without its space), between them mixed
"""
Kind = Literal["lexical", "mixed", "semantic"]
KINDS: tuple[Kind, ...] = get_args(Kind)
NAMED = 2
"""groups that the conclusion names"""
NUMBERS_AT_ONCE = 2**25
"""of neighbors' rows that are held at once, 128 MiB"""
QUERIES_PER_BLOCK = 2048
"""queries worked on at once; bounds the memory of a null distribution"""


@dataclass(frozen=True, eq=False, repr=False)
class Clusters(Result):
    """What group of words each prompt token lies near to, if any, and how far that is beyond chance."""

    prompt: str
    statistic: np.ndarray
    """[P] float64, about −1…1, higher is more of a group; nan for a token of zeros and a special row"""
    p: np.ndarray
    """[P] against `null`; smaller is more surprising"""
    q: np.ndarray
    """[P] p after Benjamini–Hochberg over the positions"""
    null: np.ndarray
    """[M] the statistic of vectors drawn from the vocabulary's Gaussian"""
    group_ids: np.ndarray
    """[P, 5] int64, the rows the statistic is about: the nearest in the whitened space; fewer where the
    vocabulary has fewer; −1 for a token of zeros
    """
    groups: tuple[tuple[str, ...], ...]
    """[P][5] the same as people read them; empty for a token of zeros"""
    group_variants: np.ndarray
    """[P] 0…1, share of the pairs of a group that are variants of one word or share a stem; nan for a token
    of zeros
    """
    coherence: np.ndarray
    """[P] float64, −1…1, mean pairwise cosine among the k nearest rows (cosine), higher is closer; nan for k
    = 1 and, as the next three, for a token of zeros, which has no nearest rows
    """
    coherence_merged: np.ndarray
    """[P] the same without the neighbors that are a nearer one but for case or space; nan where fewer than
    two are left
    """
    variant_share: np.ndarray
    """[P] 0…1, share of pairs of the k nearest rows that are variants of one word or share a stem"""
    percentile: np.ndarray
    """[P] 0…100, share of random vocabulary rows whose coherence is lower"""
    k: int
    others: dict[str, np.ndarray]
    """[P] p of the statistic against other nulls: `isotropic`, `rows` (few real words are less of a group:
    the upper anchor), `mixtures`, and `initial`, the prompt's own tokens before training, only P of them; nan
    where those were not saved
    """
    higher_criticism: float
    """of the positions' p: large when more of them are small than chance gives (Donoho and Jin 2004)"""
    rotations: np.ndarray
    """[R] the same of random rotations of the whole prompt"""
    began: np.ndarray | None = None
    """[P] int64, the nearest word before training, in the whitened space; None where the vectors before
    training were not saved
    """
    special: Mapping[int, str] = field(default_factory=dict)
    """positions of tokens that are special rows, such as `<bos>`, and their pieces: they have no group"""

    @property
    def significant(self) -> np.ndarray:
        """[P] bool: q ≤ 0.05."""
        return self.q <= SIGNIFICANT_AT

    @property
    def inherited(self) -> np.ndarray:
        """[P] bool: significant tokens that began at a word of their group, which then need not be learned;
        none where the beginning was not saved.
        """
        if self.began is None:
            return np.zeros(len(self.p), bool)
        return self.significant & (self.group_ids == self.began[:, None]).any(axis=1)

    @property
    def prompt_p(self) -> float:
        """Of the whole prompt, from higher criticism: share of its rotations that lie as near to groups of
        words; smaller is more surprising.
        """
        return float(p_values(np.array(self.higher_criticism), self.rotations))

    @property
    def kind(self) -> list[Kind | Literal[""]]:
        """[P] of significant tokens: `lexical` where the group is mostly forms of one word, `semantic` where
        hardly any are, `mixed` between; else empty.
        """
        return [
            _kind(share) if found else ""
            for found, share in zip(self.significant, self.group_variants, strict=True)
        ]

    @property
    def conclusion(self) -> str:
        """What to conclude, in one sentence: how many tokens lie in groups, which groups and of what kind,
        and how often chance does as well.
        """
        if self.group_ids.shape[1] < 2:
            return "The vocabulary has one word, and a group needs two."
        zeros, tokens = (
            int(np.isnan(self.statistic).sum()) - len(self.special),
            len(self.p) - len(self.special),
        )
        if zeros == len(self.p):
            return f"{all_zero(zeros)}: no word is near, and no group."
        found = np.flatnonzero(self.significant)
        said = (
            f"{len(found)} of {counted(tokens, 'token')} "
            f"{'lies' if 1 in (len(found), tokens) else 'lie'} among words that belong together"
        )
        if len(found):
            strongest = found[np.argsort(self.p[found] - 1e-9 * self.statistic[found], kind="stable")][:NAMED]
            named = ", ".join(f"{{{', '.join(self.groups[position][:3])}}}" for position in strongest)
            kinds = [f"{self.kind.count(kind)} {kind}" for kind in KINDS if kind in self.kind]
            said += (
                f": {named}{', …' if len(found) > len(strongest) else ''} "
                f"({', '.join(kinds)}{self._inherited(found)})"
            )
        return (
            f"{said}{zeros_said(zeros, 'no neighbors')}{special_said(self.special)}; {self._as_near} "
            "random prompts of this shape lie as near to such groups."
        )

    def _inherited(self, found: np.ndarray) -> str:
        """How many of the significant tokens began at a word of their group, which then need not be
        learned.
        """
        if self.began is None:
            return ""
        same = int(self.inherited.sum())
        return (
            f"; {'all' if same == len(found) > 1 else same or 'none'} began at a word of "
            f"{'its' if same == 1 else 'their'} group"
        )

    @property
    def _as_near(self) -> str:
        """How many of the rotations have at least this higher criticism: `3 (0.8%) of 399`."""
        as_near = int((self.rotations >= self.higher_criticism).sum())
        share = f" ({as_near / len(self.rotations):.1%})" if as_near else ""
        return f"{as_near or 'none'}{share} of {len(self.rotations)}"

    def to_frame(self) -> pd.DataFrame:
        """One row per prompt token: prompt, position, statistic, coherence, coherence_merged, variant_share,
        p, q, percentile, kind, group_words, group_variants, p_isotropic, p_rows, p_mixtures, p_initial.
        """
        return pd.DataFrame(
            {
                "prompt": self.prompt,
                "position": np.arange(len(self.p)),
                "statistic": self.statistic,
                "coherence": self.coherence,
                "coherence_merged": self.coherence_merged,
                "variant_share": self.variant_share,
                "p": self.p,
                "q": self.q,
                "percentile": self.percentile,
                "kind": self.kind,
                "group_words": [" ".join(words) for words in self.groups],
                "group_variants": self.group_variants,
                **{f"p_{name}": values for name, values in self.others.items()},
            }
        )

    def prompt_frame(self) -> pd.DataFrame:
        """One row: prompt, significant (tokens), tokens, p (of the whole prompt), higher_criticism."""
        row = {
            "significant": int(self.significant.sum()),
            "tokens": len(self.p) - len(self.special),
            "p": self.prompt_p,
            "higher_criticism": self.higher_criticism,
        }
        return pd.DataFrame([{"prompt": self.prompt, **row}])


def _kind(share: float) -> Kind:
    """What a group is, of which a share 0…1 of the pairs are forms of one word."""
    return "lexical" if share >= LEXICAL_FROM else "semantic" if share <= SEMANTIC_UP_TO else "mixed"


def clusters(
    prompt: SoftPrompt, vocabulary: Vocabulary, k: int = 10, nulls: int = 1000, seed: int = 0
) -> Clusters:
    """The verdict on each token and on the whole prompt.

    k: neighbors that coherence is taken over, clipped to the searchable rows. nulls: draws from the
    vocabulary's Gaussian, seeded, the same for every prompt; raised to 40 for each position, at most 20,000.
    Raises PromptError when the widths differ and ExplorerError for k or nulls below 1 or a negative seed.
    """
    vocabulary.check_width(prompt.vectors, prompt.name)
    draws = enough(nulls, prompt.length)
    statistic, ids, special = _groups(prompt, vocabulary)
    null = {
        name: null_statistic(vocabulary, name, draws if name == "gaussian" else nulls, seed) for name in NULLS
    }
    p = p_values(statistic, null["gaussian"])
    others: dict[str, np.ndarray] = {
        name: p_values(statistic, null[name]) for name in NULLS if name != "gaussian"
    }
    initial = prompt.initial
    before = None if initial is None else group_statistic(initial, vocabulary)
    others["initial"] = np.full(len(p), np.nan) if before is None else p_values(statistic, before[0])
    entered = without(special, prompt.length)
    return Clusters(
        **_coherence(prompt, vocabulary, k, nulls, seed),
        prompt=prompt.name,
        statistic=statistic,
        p=p,
        q=benjamini_hochberg(p),
        null=null["gaussian"],
        group_ids=ids,
        groups=_words(ids, vocabulary),
        group_variants=np.where((ids < 0).all(axis=1), np.nan, merged_coherence(ids, vocabulary)[1]),
        others=others,
        higher_criticism=float(higher_criticism(p[None, entered])[0]) if entered.any() else 0.0,
        rotations=_rotated(prompt.vectors[entered], vocabulary, null["gaussian"], seed),
        began=None if before is None else before[1][:, 0],
        special=special,
    )


def _groups(prompt: SoftPrompt, vocabulary: Vocabulary) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    """Statistic [P], group [P, 5] and special tokens; nan and −1 for tokens of zeros and special ones."""
    special = special_tokens(prompt, vocabulary)
    statistic, ids = group_statistic(prompt.vectors, vocabulary)
    out = directionless(prompt.vectors) | ~without(special, prompt.length)
    statistic[out] = np.nan
    return statistic, np.where(out[:, None], -1, ids), special


def with_k(
    found: Clusters, prompt: SoftPrompt, vocabulary: Vocabulary, k: int, nulls: int = 1000, seed: int = 0
) -> Clusters:
    """What `clusters` finds with another k: the same verdict, which no k enters, with coherence over k
    neighbors. Raises ExplorerError for k below 1.
    """
    return replace(found, **_coherence(prompt, vocabulary, k, nulls, seed))


def _coherence(prompt: SoftPrompt, vocabulary: Vocabulary, k: int, nulls: int, seed: int) -> dict[str, Any]:
    """The fields of `Clusters` that describe the k nearest rows (cosine)."""
    near = search(prompt.vectors, vocabulary, k)[0]
    zero = directionless(prompt.vectors) | ~without(special_tokens(prompt, vocabulary), prompt.length)
    coherence, merged, variants = (
        np.where(zero, np.nan, values)
        for values in (mean_cosine(near, vocabulary), *merged_coherence(near, vocabulary))
    )
    percentile = percentiles(coherence, _row_coherence(vocabulary, k, nulls, seed))
    return {
        "coherence": coherence,
        "coherence_merged": merged,
        "variant_share": variants,
        "percentile": percentile,
        "k": near.shape[1],
    }


def significant_groups(
    prompt: SoftPrompt, vocabulary: Vocabulary, nulls: int = 1000, seed: int = 0
) -> tuple[tuple[str, ...], ...]:
    """The verdict on each token alone: [P] the words of its group where it is significant, else empty; the
    same as `clusters` finds, for less.

    Raises PromptError when the widths differ.
    """
    vocabulary.check_width(prompt.vectors, prompt.name)
    statistic, ids, _ = _groups(prompt, vocabulary)
    p = p_values(statistic, null_statistic(vocabulary, "gaussian", enough(nulls, prompt.length), seed))
    return _words(np.where(benjamini_hochberg(p)[:, None] <= SIGNIFICANT_AT, ids, -1), vocabulary)


def _words(ids: np.ndarray, vocabulary: Vocabulary) -> tuple[tuple[str, ...], ...]:
    """Rows [Q, k] as people read them; none for −1."""
    return tuple(
        tuple(vocabulary.readable(vocabulary.pieces[token_id]) for token_id in row if token_id >= 0)
        for row in ids
    )


def group_statistic(vectors: np.ndarray, vocabulary: Vocabulary) -> tuple[np.ndarray, np.ndarray]:
    """How much each vector [Q, H] lies near a group of words: [Q] float64, and the group: ids [Q, 5] int64,
    the nearest first.

    The mean over the pairs (i, j) of the five rows nearest in the whitened space of s_i · s_j · cos(v_i,
    v_j), s the cosine of the vector to the row. nan for a vector of zeros, and where the vocabulary has fewer
    than two rows.
    """
    similarity, ids = rough_neighbors(vectors, vocabulary, GROUP, "whitened")
    statistic = _pair_products(similarity, ids, vocabulary)
    statistic[directionless(vectors)] = np.nan
    return statistic, ids


def _pair_products(similarity: np.ndarray, ids: np.ndarray, vocabulary: Vocabulary) -> np.ndarray:
    """The statistic [Q] float64 of neighbors [Q, k] and their cosines [Q, k]: Σ_{i≠j} = ‖Σ s_i v_i‖² − Σ
    s_i², v_i of length 1.
    """
    pairs = ids.shape[1] * (ids.shape[1] - 1)
    found, table = np.full(len(ids), np.nan), stored_rows(index_of(vocabulary, "whitened"))
    for start in range(0, len(ids), QUERIES_PER_BLOCK):
        checkpoint()
        block = slice(start, start + QUERIES_PER_BLOCK)
        rows = table[np.searchsorted(vocabulary.searchable_ids, ids[block])]  # [q, k, H]
        near = similarity[block].astype(np.float64)
        total = np.einsum("qk,qkh->qh", near, rows)
        own = (near**2 * np.einsum("qkh,qkh->qk", rows, rows, dtype=np.float64)).sum(axis=1)
        if pairs:
            found[block] = ((total**2).sum(axis=1) - own) / pairs
    return found


def null_statistic(vocabulary: Vocabulary, null: Null, count: int, seed: int) -> np.ndarray:
    """The statistic of `count` vectors of a null distribution: [M] float64, computed once for all prompts."""

    def make() -> np.ndarray:
        similarity, ids = null_neighbors(vocabulary, GROUP, count, seed, null, "whitened")
        return _pair_products(similarity, ids, vocabulary)

    return cached(vocabulary, ("group statistic", null, count, seed), make, np.ndarray)


def higher_criticism(p: np.ndarray) -> np.ndarray:
    """How many more small p there are than chance gives, over the smaller half of p [..., P]: [...]; nan are
    left out of the count.

    max over i of √P (i / P − p_(i)) / √(p_(i) (1 − p_(i))). Source: Donoho and Jin 2004.
    """
    ordered = np.sort(np.where(np.isnan(p), 1.0, p), axis=-1)
    length = ordered.shape[-1]
    half = max(1, length // 2)
    expected, smaller = np.arange(1, half + 1) / length, ordered[..., :half].clip(1e-9, 1 - 1e-9)
    return (np.sqrt(length) * (expected - smaller) / np.sqrt(smaller * (1 - smaller))).max(axis=-1)


def _rotated(vectors: np.ndarray, vocabulary: Vocabulary, null: np.ndarray, seed: int) -> np.ndarray:
    """Higher criticism of random rotations of the whole prompt in the whitened space: [R].

    A rotation keeps every cosine between the tokens, so that repeated tokens count in the null as they count
    in the prompt; what the tokens share with the mean word of the vocabulary is kept too, since random
    vectors share it.
    """
    if not len(vectors):  # nothing but special rows
        return np.zeros(FEWEST_ROTATIONS)
    white, index = whitening(vocabulary), index_of(vocabulary, "whitened")
    turned = white(vectors).astype(np.float64)
    axis = white(mean_row(vocabulary)[None])[0].astype(np.float64)
    along = turned @ axis
    left, values, _ = np.linalg.svd(turned - along[:, None] * axis, full_matrices=False)
    scores = (left * values)[:, values > 1e-9 * max(values.max(), 1e-30)]
    rotations = int(np.clip(ROTATED // len(vectors), FEWEST_ROTATIONS, MOST_ROTATIONS))
    generator, found = stream(seed, "whole prompt"), np.empty(0)
    at_once = max(1, QUERIES_PER_BLOCK // len(vectors))
    while len(found) < rotations:
        count = min(at_once, rotations - len(found))
        normal = generator.standard_normal((count, vocabulary.dimension, max(1, scores.shape[1])))
        normal -= axis[:, None] * (axis @ normal)[:, None, :]
        frames = np.linalg.qr(normal)[0][:, :, : scores.shape[1]]
        drawn = along[:, None] * axis + scores @ frames.transpose(0, 2, 1)  # [count, P, H], whitened
        similarity, places = rough_search(
            index, unit(drawn.reshape(-1, drawn.shape[-1])), min(GROUP, index.ntotal)
        )
        p = p_values(_pair_products(similarity, vocabulary.searchable_ids[places], vocabulary), null)
        found = np.append(found, higher_criticism(p.reshape(count, -1)))
    return found


def mean_cosine(ids: np.ndarray, vocabulary: Vocabulary, kept: np.ndarray | None = None) -> np.ndarray:
    """Mean pairwise cosine of the rows in each line of ids [Q, k], or of those kept [Q, k] bool: [Q] float64,
    nan for fewer than two.

    Σ_{i≠j} u_i·u_j = ‖Σ u‖² − Σ ‖u‖².
    """
    at_once = max(1, NUMBERS_AT_ONCE // (ids.shape[1] * vocabulary.dimension))
    if len(ids) > at_once:
        starts = range(0, len(ids), at_once)
        return np.concatenate(
            [
                mean_cosine(ids[i : i + at_once], vocabulary, None if kept is None else kept[i : i + at_once])
                for i in starts
            ]
        )
    rows = unit(vocabulary.embedding[ids.ravel()]).reshape(*ids.shape, -1)  # [Q, k, H]
    if kept is not None:
        rows = rows * kept[:, :, None]
    count = np.full(len(ids), ids.shape[1]) if kept is None else kept.sum(axis=1)
    total = rows.sum(axis=1, dtype=np.float64)
    own = np.einsum("qkh,qkh->q", rows, rows, dtype=np.float64)
    pairs = (count * (count - 1)).astype(np.float64)
    return np.divide((total**2).sum(axis=1) - own, pairs, out=np.full(len(ids), np.nan), where=pairs > 0)


def merged_coherence(ids: np.ndarray, vocabulary: Vocabulary) -> tuple[np.ndarray, np.ndarray]:
    """Coherence of neighbors [Q, k] with variants left out: [Q]; and the share of pairs that are variants or
    share a stem: [Q].
    """
    words, stems = vocabulary.word_groups[ids], vocabulary.stem_groups[ids]
    first, alike = np.zeros(ids.shape, bool), np.zeros(len(ids))
    for row, (word, stem) in enumerate(zip(words, stems, strict=True)):
        first[row, np.unique(word, return_index=True)[1]] = True  # the nearest form of each word
        alike[row] = _equal_pairs(word) + _equal_pairs(stem) - _equal_pairs(np.stack([word, stem], axis=1))
    pairs = ids.shape[1] * (ids.shape[1] - 1) / 2
    return mean_cosine(ids, vocabulary, first), alike / pairs if pairs else np.full(len(ids), np.nan)


def _equal_pairs(values: np.ndarray) -> int:
    """How many pairs of values [k], or of rows [k, n], are equal."""
    _, counts = np.unique(values, axis=0, return_counts=True)
    return int((counts * (counts - 1) // 2).sum())


def _row_coherence(vocabulary: Vocabulary, k: int, count: int, seed: int) -> np.ndarray:
    """Coherence of random vocabulary rows: [M], in blocks, computed once for all prompts."""

    def make() -> np.ndarray:
        ids = null_neighbors(vocabulary, k, count, seed, "rows")[1]
        return mean_cosine(ids, vocabulary)

    return cached(vocabulary, ("row coherence", k, count, seed), make, np.ndarray)
