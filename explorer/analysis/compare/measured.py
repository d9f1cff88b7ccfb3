"""What is compared of each prompt, and how sure intervals are."""

from dataclasses import dataclass, fields

LEVEL = 0.95
"""of intervals"""


@dataclass(frozen=True)
class ComparedPrompt:
    """The readings of one prompt; nan for what it does not record."""

    prompt: str
    group: str
    task: str
    """empty where it is not recorded"""
    seed: int | None
    length: int
    dev_accuracy: float
    """0…1, higher is better"""
    coherence: float
    """mean over positions, −1…1, higher is closer"""
    significant_share: float
    """0…1, share of positions that lie among words that belong together, significant at FDR 5 %"""
    label_persistence: float
    """0…1, share of label-initialized positions whose own label is still the nearest label and among the 10
    nearest rows
    """
    own_label_rank: float
    """median rank of their own label at label-initialized positions, from 1, smaller is closer"""
    dispersion: float
    """0…1, how evenly label similarity spreads over positions"""
    norm_ratio: float
    """median over positions of the norm over the vocabulary's median norm"""
    drift_cosine: float
    """mean over positions of the cosine to the initial vector, 1 means unchanged direction"""


MEASURES = tuple(field.name for field in fields(ComparedPrompt) if field.type is float)
"""what groups are compared in"""
