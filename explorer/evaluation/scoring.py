"""What the frozen model answers with each prompt: label probabilities, generated text, accuracy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from explorer.cached.kept import KeptModel
from explorer.errors import DataError
from explorer.evaluation.crossed import crossed_interval
from explorer.evaluation.metrics import macro_f1
from explorer.evaluation.progress import counted
from explorer.evaluation.verdict import WITHIN, span, verdict
from explorer.models.frozen import FrozenModel
from explorer.prompt import SoftPrompt
from explorer.results import Result
from explorer.texts.tasks import Task, check_labels
from explorer.words.arguments import as_list
from explorer.words.wording import count

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
        """What to conclude, in one sentence: which answers were given, and on how many texts the prompts
        agree.
        """
        if len(self.texts) == 1:
            return self._of_one_text()
        given = self.answers.ravel().tolist()
        said = ", ".join(f"{label} {given.count(n)}" for n, label in enumerate(self.labels) if n in given)
        if (rows := len(self.prompts)) == 1:
            return f"Answers: {said}."
        alike = int((self.answers == self.answers[0]).all(axis=0).sum())
        return (
            f"Answers: {said}; {'both' if rows == 2 else f'all {rows}'} agree on {alike} of "
            f"{count(len(self.texts), 'text')}."
        )

    def _of_one_text(self) -> str:
        """Who answers what, and how surely; the model without a prompt last."""
        asked, bare = (
            [n for n, name in enumerate(self.prompts) if name != NO_PROMPT],
            [n for n, name in enumerate(self.prompts) if name == NO_PROMPT],
        )
        answers, sure = self.answers[:, 0], self.probabilities[:, 0].max(axis=1)
        if not asked:
            return (
                f"Without a prompt the model answers {self.labels[answers[0]]} (probability {sure[0]:.2f})."
            )
        if len(set(answers[asked])) > 1:
            said = " and ".join(
                f"{label} {answers[asked].tolist().count(n)}"
                for n, label in enumerate(self.labels)
                if n in answers[asked]
            )
            said = f"The {len(asked)} prompts do not agree: {said}"
        else:
            low, high = sure[asked].min(), sure[asked].max()
            who = (
                f"{self.prompts[asked[0]]} answers"
                if len(asked) == 1
                else f"{'Both' if len(asked) == 2 else f'All {len(asked)}'} prompts answer"
            )
            said = (
                f"{who} {self.labels[answers[asked[0]]]} (probability "
                f"{low:.2f}{f' to {high:.2f}' if f'{low:.2f}' != f'{high:.2f}' else ''})"
            )
        if not bare:
            return f"{said}."
        same = (
            "so does the model"
            if set(answers[asked]) == {answers[bare[0]]}
            else f"the model answers {self.labels[answers[bare[0]]]}"
        )
        return f"{said}; {same} without a prompt ({sure[bare[0]]:.2f})."

    def to_records(self) -> list[dict]:
        """One record per prompt and text: prompt, text, label, probabilities {label: p}, generated."""
        return [
            {
                "prompt": prompt,
                "text": text,
                "label": self.labels[self.answers[n, b]],
                "probabilities": {
                    label: round(float(p), 6)
                    for label, p in zip(self.labels, self.probabilities[n, b], strict=True)
                },
                "generated": None if self.generated is None else self.generated[n][b],
            }
            for n, prompt in enumerate(self.prompts)
            for b, text in enumerate(self.texts)
        ]

    def to_frame(self) -> pd.DataFrame:
        """One row per prompt and text: prompt, text, label, p(label) for each label, generated."""
        rows = [
            {
                **{k: r[k] for k in ("prompt", "text", "label")},
                **{f"p({k})": p for k, p in r["probabilities"].items()},
                "generated": r["generated"],
            }
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
    gold: np.ndarray
    """[B] index of each text's label"""

    @property
    def conclusion(self) -> str:
        """What to conclude, in one sentence: how often prompts are right, and, where the model without a
        prompt is there too, whether they help.
        """
        right = self.answers == self.gold
        bare = np.array([name == NO_PROMPT for name in self.prompts])
        if bare.all():
            return f"Without a prompt the model is right on {right[0].sum():,} of {count(self.n, 'text')}."
        prompts = right[~bare]
        best = int(prompts.sum(axis=1).argmax())
        name = [name for name in self.prompts if name != NO_PROMPT][best]
        said = f"{name} is right on {prompts[best].sum():,} of {count(self.n, 'text')}"
        if len(prompts) > 1:
            said = (
                f"Best of {len(prompts)} prompts, picked after the fact: {said}; on average they are "
                f"on {prompts.sum(axis=1).mean():.1f}"
            )
        if not bare.any():
            return f"{said}."
        gain = prompts.mean(axis=0) - right[bare][0]
        limits = crossed_interval([[gain[None]]])
        one = "the prompt" if len(prompts) == 1 else "a prompt on average"
        verb = {
            "more": f"{one} clearly helps",
            "less": f"{one} clearly harms",
            "equal": f"{one} changes accuracy by less than {WITHIN}",
            "open": f"whether {one} helps cannot be told",
        }[verdict(*limits, self.n)]
        return (
            f"{said}; without a prompt the model is on {right[bare][0].sum():,}: {verb} "
            f"({gain.mean():+.3f}, {span(*limits)})."
        )

    def each(self) -> "list[Scores]":
        """One result for each prompt; `joined` puts them together again."""
        return [
            Scores((name,), self.n, (accuracy,), (f1,), (invalid,), answers[None], self.gold)
            for name, accuracy, f1, invalid, answers in zip(
                self.prompts, self.accuracy, self.macro_f1, self.invalid_rate, self.answers, strict=True
            )
        ]

    @classmethod
    def joined(cls, parts: "Sequence[Scores]") -> "Scores":
        """Scores of several prompts on the same texts."""
        prompts, accuracy, f1, invalid = (
            tuple(x for one in parts for x in getattr(one, field))
            for field in ("prompts", "accuracy", "macro_f1", "invalid_rate")
        )
        return cls(
            prompts,
            parts[0].n,
            accuracy,
            f1,
            invalid,
            np.concatenate([one.answers for one in parts]),
            parts[0].gold,
        )

    def to_frame(self) -> pd.DataFrame:
        """One row per prompt: prompt, n, accuracy, macro_f1, invalid_rate."""
        return pd.DataFrame(
            {
                "prompt": self.prompts,
                "n": self.n,
                "accuracy": self.accuracy,
                "macro_f1": self.macro_f1,
                "invalid_rate": self.invalid_rate,
            }
        )


def predict(
    model: FrozenModel,
    prompts: Sequence[SoftPrompt | None],
    texts: Sequence[str],
    labels: Sequence[str],
    generate: bool = True,
    max_new_tokens: int = 8,
) -> Predictions:
    """Answer every text with every prompt (None: without one), all in shared batches.

    Raises DataError for fewer than two labels, unusable texts or a string instead of a list, PromptError for
    prompts of another width.
    """
    labels, texts = check_labels(labels), as_list(texts, "texts")
    if not texts:
        raise DataError("no texts to answer; expected at least one")
    probabilities = model.label_probabilities(prompts, texts, labels)
    written = model.generate(prompts, texts, max_new_tokens) if generate else None
    generated = None if written is None else tuple(tuple(row) for row in written)
    return Predictions(names(prompts), texts, labels, probabilities, generated)


def evaluate(
    model: FrozenModel | KeptModel,
    prompts: Sequence[SoftPrompt | None],
    task: Task,
    progress: Callable[[str], None] | None = None,
    generate: bool = True,
) -> Scores:
    """Accuracy and macro F1 by rank classification, invalid-output rate by greedy generation.

    Raises what `predict` raises.
    """
    if progress:
        progress(
            f"{task.name}: {count(len(task), 'text')}, {count(len(prompts), 'prompt')}, labels "
            f"{', '.join(task.labels)}"
        )
    rows = len(task) * len(prompts)
    with counted(rows, "scoring labels") as done:
        given = model.label_probabilities(prompts, task.texts, task.labels, done).argmax(axis=2)  # [N, B]
    rates = (float("nan"),) * len(prompts)
    if generate:
        longest = max(len(model.label_ids(label)) for label in task.labels) + 2
        with counted(rows, "generating") as done:
            written = model.generate(prompts, task.texts, longest, done)
        rates = tuple(sum(not model.says(text, task.labels) for text in row) / len(task) for row in written)
    right = task.gold
    f1 = tuple(macro_f1(right, row, len(task.labels)) for row in given)
    return Scores(
        names(prompts), len(task), tuple((given == right).mean(axis=1).tolist()), f1, rates, given, right
    )


def names(prompts: Sequence[SoftPrompt | None]) -> tuple[str, ...]:
    """What each prompt is called in a table."""
    return tuple(NO_PROMPT if prompt is None else prompt.name for prompt in prompts)
