"""Zero-shot domain shift (Lester et al. 2021, §5): what was tuned on a source answers other domains' texts, as it is.

Nothing is chosen on a target: prompts and models bring the step that was best on their source's dev set.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd

from explorer.errors import DataError
from explorer.evaluation.bootstrap import LEVEL, interval, resamples
from explorer.evaluation.scoring import NO_PROMPT, evaluate
from explorer.models.encoder_decoder import FrozenT5
from explorer.prompt import SoftPrompt
from explorer.results import Result
from explorer.tasks import Task

PROMPT_TUNING, MODEL_TUNING, UNTUNED = "prompt tuning", "model tuning", "no tuning"


@dataclass(frozen=True, eq=False, repr=False)
class Answered:
    """How one prompt or one tuned model does on the source and on every target."""

    name: str
    method: str
    """`prompt tuning`, `model tuning` or `no tuning`"""
    group: str
    """its initialization for a prompt, else the method"""
    seed: int | None
    right: tuple[np.ndarray, ...]
    """for each task [B] bool: which texts it answers as labelled"""
    macro_f1: tuple[float, ...]
    """0…1"""
    invalid_rate: tuple[float, ...]
    """share of generated texts that are no label, 0…1; nan where nothing was generated"""


@dataclass(frozen=True, eq=False, repr=False)
class DomainShift(Result):
    """What was tuned on a source, on the source and on targets."""

    domains: tuple[str, ...]
    """the source, then the targets"""
    answered: tuple[Answered, ...]
    seed: int = 0
    """of the bootstrap"""

    def to_frame(self) -> pd.DataFrame:
        """One row per prompt or model and domain, the source itself among them: prompt, method, initialization, seed, source, target, n,
        accuracy, macro_f1, invalid_rate (each 0…1), drop (accuracy on the source minus accuracy on the target; positive is worse).
        """
        rows = []
        for one in self.answered:
            accuracies = [float(right.mean()) for right in one.right]
            for target, right, accuracy, f1, invalid in zip(self.domains, one.right, accuracies, one.macro_f1, one.invalid_rate, strict=True):
                rows.append(
                    {
                        "prompt": one.name,
                        "method": one.method,
                        "initialization": one.group,
                        "seed": one.seed,
                        "source": self.domains[0],
                        "target": target,
                        "n": len(right),
                        "accuracy": accuracy,
                        "macro_f1": f1,
                        "invalid_rate": invalid,
                        "drop": accuracies[0] - accuracy,
                    }
                )
        return pd.DataFrame(rows).astype({"seed": "Int64"})

    def summary(self) -> pd.DataFrame:
        """One row per group and domain: method, initialization, source, target, runs, accuracy, deviation, macro_f1, invalid_rate, drop,
        drop_low, drop_high.

        accuracy: mean over seeds, deviation: their standard deviation (n − 1; nan for one). The drop's 95 % interval is a percentile
        bootstrap over the texts of both domains, of the mean over seeds: it says nothing of other seeds.
        """
        frame = self.to_frame()
        rows = []
        for (method, group), members in frame.groupby(["method", "initialization"], sort=False):
            right = self._mean_right(method, group)
            for place, target in enumerate(self.domains):
                part = members[members["target"] == target]
                low, high = self._drop_interval(right, place)
                rows.append(
                    {
                        "method": method,
                        "initialization": group,
                        "source": self.domains[0],
                        "target": target,
                        "runs": len(part),
                        "accuracy": part["accuracy"].mean(),
                        "deviation": part["accuracy"].std(),
                        "macro_f1": part["macro_f1"].mean(),
                        "invalid_rate": part["invalid_rate"].mean(),
                        "drop": part["drop"].mean(),
                        "drop_low": low,
                        "drop_high": high,
                    }
                )
        return pd.DataFrame(rows)

    def differences(self) -> pd.DataFrame:
        """Prompt tuning minus model tuning, one row per domain: source, target, difference, low, high, drop_difference, drop_low, drop_high.

        difference: in mean accuracy over seeds, positive where prompts are better; paired bootstrap over the texts, 95 %.
        drop_difference: model tuning's drop minus prompt tuning's, positive where prompts survive the shift better. No rows unless
        both were tuned.
        """
        prompts, models = self._mean_right(PROMPT_TUNING), self._mean_right(MODEL_TUNING)
        if not prompts or not models:
            return pd.DataFrame(columns=["source", "target", "difference", "low", "high", "drop_difference", "drop_low", "drop_high"])
        gap = [prompt - model for prompt, model in zip(prompts, models, strict=True)]
        rows = []
        for place, target in enumerate(self.domains):
            low, high = interval(gap[place], resamples(self.seed, len(gap[place])))
            drop_low, drop_high = self._drop_interval(gap, place)
            change = float(gap[place].mean() - gap[0].mean())
            limits = {"low": low, "high": high, "drop_difference": change, "drop_low": -drop_high, "drop_high": -drop_low}
            rows.append({"source": self.domains[0], "target": target, "difference": float(gap[place].mean()), **limits})
        return pd.DataFrame(rows)

    def _mean_right(self, method: str, group: str | None = None) -> list[np.ndarray]:
        """For each domain [B]: the share of a method's (and group's) prompts or models that are right on each text; empty when it has none."""
        chosen = [one.right for one in self.answered if one.method == method and group in (None, one.group)]
        return [np.mean(parts, axis=0) for parts in zip(*chosen, strict=True)]

    def _drop_interval(self, right: list[np.ndarray], place: int) -> tuple[float, float]:
        """Of the source's mean minus a domain's, both resampled; nothing to resample for the source itself."""
        if place == 0:
            return 0.0, 0.0
        source, target = right[0], right[place]
        means = source[resamples(self.seed, len(source))].mean(axis=1) - target[resamples(self.seed + 1 + place, len(target))].mean(axis=1)
        low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return float(low), float(high)


def answer(
    model: FrozenT5, prompts: Sequence[SoftPrompt | None], tasks: Sequence[Task], generate: bool = True, progress: Callable[[str], None] | None = None
) -> list[Answered]:
    """Run prompts (None: the bare model) on the source and every target, all prompts in shared batches; see `evaluate` for errors."""
    scores = []
    for number, task in enumerate(tasks, start=1):
        said = None if progress is None else partial(_of_domain, progress, f"domain {number} of {len(tasks)}, ")
        scores.append(evaluate(model, prompts, task, said, generate))
    right = [score.answers == task.gold for score, task in zip(scores, tasks, strict=True)]
    found = []
    for number, prompt in enumerate(prompts):
        found.append(
            Answered(
                NO_PROMPT if prompt is None else prompt.name,
                UNTUNED if prompt is None else PROMPT_TUNING,
                UNTUNED if prompt is None else prompt.origin.initialization or "unknown",
                None if prompt is None else prompt.origin.seed,
                tuple(one[number] for one in right),
                tuple(score.macro_f1[number] for score in scores),
                tuple(score.invalid_rate[number] for score in scores),
            )
        )
    return found


def _of_domain(progress: Callable[[str], None], which: str, said: str) -> None:
    progress(which + said)


def answer_with_model(
    model: FrozenT5, name: str, seed: int, tasks: Sequence[Task], generate: bool = True, progress: Callable[[str], None] | None = None
) -> Answered:
    """Run a tuned model, which has no prompt, on the source and every target."""
    (found,) = answer(model, [None], tasks, generate, progress)
    return replace(found, name=name, method=MODEL_TUNING, group=MODEL_TUNING, seed=seed)


def mapped(task: Task, names: dict[str, str], labels: tuple[str, ...]) -> Task:
    """The task with its labels renamed and put in the source's order.

    Raises DataError for a label that is neither renamed nor one of `labels`.
    """
    answers = tuple(names.get(answer, answer) for answer in task.answers)
    if unknown := sorted(set(answers) - set(labels)):
        found = f"{task.name}: found the label {unknown[0]!r}; the source has {', '.join(labels)}"
        raise DataError(f"{found}: say what it stands for, such as {unknown[0]}={labels[0]}", "map")
    return Task(task.texts, answers, labels, task.name)
