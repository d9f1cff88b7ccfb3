"""Figures of merit of answers to labelled texts."""

import numpy as np


def macro_f1(gold: np.ndarray, given: np.ndarray, classes: int) -> float:
    """Mean F1 over the labels, 0…1, higher is better; a label that is neither right nor given anywhere counts
    as 0.

    gold, given: [B] indices of labels, 0…classes − 1. A few lines instead of scikit-learn's `f1_score`, which
    takes two seconds to import.
    """
    right = np.bincount(gold[gold == given], minlength=classes)
    asked = np.bincount(gold, minlength=classes) + np.bincount(given, minlength=classes)
    return float((2 * right / np.maximum(asked, 1)).mean())
