"""Which metric `auto` stands for: cosine, or the whitened cosine where the vocabulary's rows share a
direction, which a cosine mostly measures then.
"""

import numpy as np

from explorer.analysis.vectors import ROWS_PER_BLOCK, unit
from explorer.cached import cached
from explorer.choices import Metric, MetricChoice
from explorer.vocabulary import Vocabulary

SHARED_FROM = 0.2
"""mean cosine of random pairs of rows from which on they share a direction"""


def metric_for(metric: MetricChoice, vocabulary: Vocabulary) -> Metric:
    """The metric itself; what `auto` stands for with this vocabulary."""
    if metric != "auto":
        return metric
    return "whitened" if mean_pair_cosine(vocabulary) >= SHARED_FROM else "cosine"


def why_auto(vocabulary: Vocabulary) -> str:
    """Why `auto` stands for this vocabulary's metric, as a clause."""
    cosine = mean_pair_cosine(vocabulary)
    shared = "share a direction" if cosine >= SHARED_FROM else "share no direction"
    return f"auto: rows {shared} (cosine {cosine:.2f})"


def mean_pair_cosine(vocabulary: Vocabulary) -> float:
    """Mean cosine of two different searchable rows, −1…1, exact: (‖Σ û‖² − V) / (V (V − 1)); 0 of one row."""
    return cached(vocabulary, "mean pair cosine", lambda: _mean_pair_cosine(vocabulary), float)


def _mean_pair_cosine(vocabulary: Vocabulary) -> float:
    ids, total, own = vocabulary.searchable_ids, np.zeros(vocabulary.dimension), 0.0
    for start in range(0, len(ids), ROWS_PER_BLOCK):
        rows = unit(vocabulary.embedding[ids[start : start + ROWS_PER_BLOCK]])
        total += rows.sum(axis=0, dtype=np.float64)
        own += float((rows.astype(np.float64) ** 2).sum())
    pairs = len(ids) * (len(ids) - 1)
    return float((total @ total - own) / pairs) if pairs else 0.0
