"""What the frozen model answers with each prompt: label probabilities, generated text, accuracy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from explorer.arguments import as_list
from explorer.errors import DataError
from explorer.evaluation.counting import counted
from explorer.evaluation.metrics import macro_f1
from explorer.models.encoder_decoder import FrozenT5
from explorer.prompt import SoftPrompt
from explorer.results import Result
from explorer.tasks import Task, check_labels
from explorer.wording import count

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

    @property
    def conclusion(self) -> str:
        """What to conclude, in one sentence: which answers were given, and on how many texts the prompts agree."""
        given = self.answers.ravel().tolist()
        said = ", ".join(f"{label} {given.count(n)}" for n, label in enumerate(self.labels) if n in given)
        if (rows := len(self.prompts)) == 1:
            return f"Answers: {said}."
        alike = int((self.answers == self.answers[0]).all(axis=0).sum())
        return f"Answers: {said}; {'both' if rows == 2 else f'all {rows}'} agree on {alike} of {count(len(self.texts), 'text')}."

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

    Raises DataError for fewer than two labels, unusable texts or a string instead of a list, PromptError for prompts of another width.
    """
    labels, texts = check_labels(labels), as_list(texts, "texts")
    if not texts:
        raise DataError("no texts to answer; expected at least one")
    probabilities = model.label_probabilities(prompts, texts, labels)
    written = model.generate(prompts, texts, max_new_tokens) if generate else None
    generated = None if written is None else tuple(tuple(row) for row in written)
    return Predictions(names(prompts), texts, labels, probabilities, generated)


def evaluate(
    model: FrozenT5,
    prompts: Sequence[SoftPrompt | None],
    task: Task,
    progress: Callable[[str], None] | None = None,
    generate: bool = True,
) -> Scores:
    """Accuracy and macro F1 by rank classification, invalid-output rate by greedy generation.

    Raises what `predict` raises.
    """
    if progress:
        progress(f"{task.name}: {count(len(task), 'text')}, {count(len(prompts), 'prompt')}, labels {', '.join(task.labels)}")
    longest = max(len(model.label_ids(label)) for label in task.labels) + 2
    rows = len(task) * len(prompts)
    with counted(rows, "scoring labels") as done:
        given = model.label_probabilities(prompts, task.texts, task.labels, done).argmax(axis=2)  # [N, B]
    rates = (float("nan"),) * len(prompts)
    if generate:
        with counted(rows, "generating") as done:
            written = model.generate(prompts, task.texts, longest, done)
        rates = tuple(sum(text.strip() not in task.labels for text in row) / len(task) for row in written)
    right = task.gold
    f1 = tuple(macro_f1(right, row, len(task.labels)) for row in given)
    return Scores(names(prompts), len(task), tuple((given == right).mean(axis=1).tolist()), f1, rates, given)


def names(prompts: Sequence[SoftPrompt | None]) -> tuple[str, ...]:
    """What each prompt is called in a table."""
    return tuple(NO_PROMPT if prompt is None else prompt.name for prompt in prompts)
