"""What the frozen model answers with each prompt: label probabilities, generated text, accuracy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from tqdm import tqdm

from explorer.errors import DataError
from explorer.models.encoder_decoder import FrozenT5
from explorer.prompt import SoftPrompt
from explorer.results import Result
from explorer.tasks import Task

NO_PROMPT = "no prompt"
"""how the model without any prompt is called"""


@dataclass(frozen=True, eq=False, repr=False)
class Predictions(Result):
    """Answers of N prompts on B texts over C labels."""

    prompts: tuple[str, ...]
    """[N]"""
    texts: tuple[str, ...]
    """[B]"""
    labels: tuple[str, ...]
    """[C]"""
    probabilities: np.ndarray
    """[N, B, C] float32, rows sum to 1"""
    generated: tuple[tuple[str, ...], ...] | None
    """[N][B] greedy continuations; None where none were asked for"""

    @property
    def answers(self) -> np.ndarray:
        """[N, B] the index of the likeliest label; ties go to the earlier label."""
        return self.probabilities.argmax(axis=2)

    def to_records(self) -> list[dict]:
        """One record per prompt and text: prompt, text, label, probabilities {label: p}, generated."""
        return [
            {
                "prompt": prompt,
                "text": text,
                "label": self.labels[self.answers[n, b]],
                "probabilities": {label: round(float(p), 6) for label, p in zip(self.labels, self.probabilities[n, b], strict=True)},
                "generated": None if self.generated is None else self.generated[n][b],
            }
            for n, prompt in enumerate(self.prompts)
            for b, text in enumerate(self.texts)
        ]

    def to_frame(self) -> pd.DataFrame:
        """One row per prompt and text: prompt, text, label, p(label) for each label, generated."""
        rows = [
            {**{k: r[k] for k in ("prompt", "text", "label")}, **{f"p({k})": p for k, p in r["probabilities"].items()}, "generated": r["generated"]}
            for r in self.to_records()
        ]
        return pd.DataFrame(rows)


@dataclass(frozen=True, eq=False, repr=False)
class Scores(Result):
    """How well each prompt does on labelled texts."""

    prompts: tuple[str, ...]
    n: int
    """labelled texts"""
    accuracy: tuple[float, ...]
    """[N] share of texts whose likeliest label is the right one, 0…1"""
    macro_f1: tuple[float, ...]
    """[N] mean F1 over labels, 0…1"""
    invalid_rate: tuple[float, ...]
    """[N] share of generated texts that are no label, 0…1; nan where nothing was generated"""
    answers: np.ndarray
    """[N, B] index of each text's likeliest label"""

    def to_frame(self) -> pd.DataFrame:
        """One row per prompt: prompt, n, accuracy, macro_f1, invalid_rate."""
        return pd.DataFrame({"prompt": self.prompts, "n": self.n, "accuracy": self.accuracy, "macro_f1": self.macro_f1, "invalid_rate": self.invalid_rate})


def predict(
    model: FrozenT5,
    prompts: Sequence[SoftPrompt | None],
    texts: Sequence[str],
    labels: Sequence[str],
    generate: bool = True,
    max_new_tokens: int = 8,
) -> Predictions:
    """Answer every text with every prompt (None: without one), all in shared batches.

    Raises DataError for fewer than two labels or unusable texts, PromptError for prompts of another width.
    """
    _check_labels(labels)
    if not texts:
        raise DataError("no texts to answer; expected at least one")
    vectors = [None if prompt is None else prompt.vectors for prompt in prompts]
    probabilities = model.label_probabilities(vectors, texts, labels)
    written = model.generate(vectors, texts, max_new_tokens) if generate else None
    generated = None if written is None else tuple(tuple(row) for row in written)
    return Predictions(names(prompts), tuple(texts), tuple(labels), probabilities, generated)


def evaluate(
    model: FrozenT5,
    prompts: Sequence[SoftPrompt | None],
    task: Task,
    batch: int = 128,
    progress: Callable[[str], None] | None = None,
    generate: bool = True,
) -> Scores:
    """Accuracy and macro F1 by rank classification, invalid-output rate by greedy generation.

    Raises what `predict` raises.
    """
    from sklearn.metrics import f1_score

    longest = max(len(model.label_ids(label)) for label in task.labels)
    answers, invalid = [], np.zeros(len(prompts))
    if progress:
        progress(f"{len(task)} texts, {len(prompts)} prompts, labels {', '.join(task.labels)}")
    for start in tqdm(range(0, len(task), batch), desc="evaluating", unit="batch", mininterval=1.0, disable=len(task) <= batch):
        predictions = predict(model, prompts, task.texts[start : start + batch], task.labels, generate, longest + 2)
        answers.append(predictions.answers)
        if generate:
            invalid += [sum(text.strip() not in task.labels for text in row) for row in predictions.generated]
    given = np.concatenate(answers, axis=1)  # [N, B]
    right = np.array([task.labels.index(answer) for answer in task.answers])
    f1 = [float(f1_score(right, row, labels=range(len(task.labels)), average="macro", zero_division=0.0)) for row in given]
    rates = tuple((invalid / len(task)).tolist()) if generate else (float("nan"),) * len(prompts)
    return Scores(names(prompts), len(task), tuple((given == right).mean(axis=1).tolist()), tuple(f1), rates, given)


def names(prompts: Sequence[SoftPrompt | None]) -> tuple[str, ...]:
    """What each prompt is called in a table."""
    return tuple(NO_PROMPT if prompt is None else prompt.name for prompt in prompts)


def _check_labels(labels: Sequence[str]) -> None:
    if len(set(labels)) < 2 or len(set(labels)) < len(labels):
        raise DataError(f"found the labels {', '.join(labels) or 'none'}; expected at least two different ones")
