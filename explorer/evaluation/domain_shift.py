"""Zero-shot domain shift (Lester et al. 2021, §5): what was tuned on a source answers other domains' texts,
as it is.

Nothing is chosen on a target: prompts and models bring the step that was best on their source's dev set.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd

from explorer.cached.kept import KeptModel
from explorer.errors import DataError
from explorer.evaluation.crossed import crossed_interval
from explorer.evaluation.scoring import NO_PROMPT, evaluate
from explorer.evaluation.verdict import MARGIN, WITHIN, clear, span, verdict
from explorer.models.frozen import FrozenModel
from explorer.prompt import SoftPrompt
from explorer.results import Result
from explorer.texts.tasks import Task, alike
from explorer.words.wording import count

PROMPT_TUNING, MODEL_TUNING, UNTUNED = "prompt tuning", "model tuning", "no tuning"
SEEDS_AND_TEXTS, SOME_SEEDS, TEXTS = "seeds and texts", "texts, and seeds where there are several", "texts"
"""what an interval is over: one seed says nothing of others"""


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

    @property
    def conclusion(self) -> str:
        """What to conclude, in plain words: is accuracy lost on targets, and do prompts lose less than whole
        models?
        """
        means, source = self.summary(), self.domains[0]
        targets = means[means["target"] != source]
        if targets.empty:
            return "There is no target to compare the source with."
        tuned = targets[targets["method"] != UNTUNED]
        said = _said_of_drops(
            tuned if len(tuned) else targets,
            source,
            self._fewest_texts,
            targets[targets["method"] == UNTUNED] if len(tuned) else None,
        )
        return " ".join([said, *self._said_of_methods()])

    @property
    def _fewest_texts(self) -> int:
        return min(len(right) for one in self.answered for right in one.right)

    def _said_of_methods(self) -> list[str]:
        """One sentence where both prompts and models were tuned."""
        between = self.differences()
        between = between[between["target"] != self.domains[0]]
        if between.empty:
            return []
        differ = between[
            [
                clear(low, high, self._fewest_texts)
                for low, high in zip(between["drop_low"], between["drop_high"], strict=True)
            ]
        ]
        shown = between if differ.empty else differ
        row = shown.loc[shown["drop_difference"].abs().idxmax()]
        sign = f"{row['drop_difference']:+.3f}, {span(row['drop_low'], row['drop_high'])}"
        if differ.empty:
            within = all(
                verdict(low, high, self._fewest_texts) == "equal"
                for low, high in zip(between["drop_low"], between["drop_high"], strict=True)
            )
            if within:
                return [
                    (
                        f"Prompt tuning and model tuning lose as much: they differ by less than {WITHIN} "
                        "on every target."
                    )
                ]
            return [
                (
                    "Whether prompt tuning loses less than model tuning cannot be told (model's drop "
                    f"minus prompt's on {row['target']}: {sign})."
                )
            ]
        less = "less" if row["drop_difference"] > 0 else "more"
        return [
            (
                f"Prompt tuning loses {less} than model tuning on {row['target']} (model's drop minus "
                f"prompt's: {sign})."
            )
        ]

    def to_frame(self) -> pd.DataFrame:
        """One row per prompt or model and domain, the source itself among them: prompt, method,
        initialization, seed, source, target, n, accuracy, macro_f1, invalid_rate (each 0…1), drop (accuracy
        on the source minus accuracy on the target; positive is worse).
        """
        rows = []
        for one in self.answered:
            accuracies = [float(right.mean()) for right in one.right]
            for target, right, accuracy, f1, invalid in zip(
                self.domains, one.right, accuracies, one.macro_f1, one.invalid_rate, strict=True
            ):
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
        """One row per group and domain: method, initialization, source, target, runs, accuracy, deviation,
        macro_f1, invalid_rate, drop, drop_low, drop_high, over.

        accuracy: mean over seeds, deviation: their standard deviation (n − 1; nan for one). The drop's 95 %
        interval is over seeds and texts (see `crossed_interval`), over texts alone where there is one seed;
        `over` says which.
        """
        frame = self.to_frame()
        rows = []
        for (method, group), members in frame.groupby(["method", "initialization"], sort=False):
            sides = self._sides(method, group)
            for place, target in enumerate(self.domains):
                part = members[members["target"] == target]
                low, high = _limits([[side[0], -side[place]] for side in sides], place)
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
                        "over": _over(sides),
                    }
                )
        return pd.DataFrame(rows)

    def differences(self) -> pd.DataFrame:
        """Prompt tuning minus model tuning, one row per domain: source, target, difference, low, high,
        drop_difference, drop_low, drop_high, over.

        difference: in mean accuracy, positive where prompts are better. drop_difference: model tuning's drop
        minus prompt tuning's, positive where prompts survive the shift better. 95 % intervals over seeds and
        texts, paired over the texts; the seeds of an initialization are compared with each other, not with
        those of another. No rows unless both were tuned.
        """
        columns = [
            "source",
            "target",
            "difference",
            "low",
            "high",
            "drop_difference",
            "drop_low",
            "drop_high",
            "over",
        ]
        prompts, models = self._sides(PROMPT_TUNING), self._sides(MODEL_TUNING)
        if not prompts or not models:
            return pd.DataFrame(columns=columns)
        sides = [*prompts, *([-right for right in side] for side in models)]
        gaps = [sum(float(side[place].mean()) for side in sides) for place in range(len(self.domains))]
        rows = []
        for place, target in enumerate(self.domains):
            limits = crossed_interval([[side[place]] for side in sides])
            lost = _limits([[side[place], -side[0]] for side in sides], place, 2.0)
            rows.append(
                (self.domains[0], target, gaps[place], *limits, gaps[place] - gaps[0], *lost, _over(sides))
            )
        return pd.DataFrame(rows, columns=columns)

    def _sides(self, method: str, group: str | None = None) -> list[list[np.ndarray]]:
        """For each group of a method (or for one group) and each domain: which texts its prompts or models
        are right on, [seeds, B], weighted so that the means of the groups add up to the mean over all prompts
        or models.
        """
        chosen = [one for one in self.answered if one.method == method and group in (None, one.group)]
        groups = dict.fromkeys(one.group for one in chosen)
        sides = []
        for name in groups:
            members = [one.right for one in chosen if one.group == name]
            sides.append(
                [np.stack(parts) * (len(members) / len(chosen)) for parts in zip(*members, strict=True)]
            )
        return sides


def _limits(sides: list[list[np.ndarray]], place: int, most: float = 1.0) -> tuple[float, float]:
    """Interval of a drop; the source itself has none."""
    return crossed_interval(sides, most) if place else (0.0, 0.0)


def _over(sides: list[list[np.ndarray]]) -> str:
    """What intervals are over: where each side has several seeds, also over these."""
    several = [len(side[0]) > 1 for side in sides]
    return SEEDS_AND_TEXTS if all(several) else SOME_SEEDS if any(several) else TEXTS


def _said_of_drops(means: pd.DataFrame, source: str, texts: int, untuned: pd.DataFrame | None = None) -> str:
    """Where accuracy is clearly lost, or that none is, or that it cannot be told; and what the model loses
    there without a prompt.
    """
    lost = means[
        [
            low > 0 and clear(low, high, texts)
            for low, high in zip(means["drop_low"], means["drop_high"], strict=True)
        ]
    ]
    worst = (means if lost.empty else lost).sort_values("drop").iloc[-1]
    kinds = set(means["over"])
    over = f"over {kinds.pop() if len(kinds) == 1 else SOME_SEEDS}"
    bare = None if untuned is None else untuned[untuned["target"] == worst["target"]]
    beside = (
        ""
        if bare is None or bare.empty
        else f"; without a prompt the model's changes by {-bare['drop'].iloc[0]:+.3f} there"
    )
    changed = (
        f"{worst['initialization']} on {worst['target']}, {-worst['drop']:+.3f} "
        f"({span(-worst['drop_high'], -worst['drop_low'])}, {over}){beside}"
    )
    if len(lost):
        return (
            f"Accuracy is clearly lower than on {source} in {len(lost)} of "
            f"{count(len(means), 'comparison')}, most for {changed}."
        )
    if all(high <= MARGIN for high in means["drop_high"]) and 3 / texts <= MARGIN:
        return (
            f"No drop from {source} of more than {100 * MARGIN:.0f} points on any target; the largest "
            f"change: {changed}."
        )
    return (
        f"Cannot tell whether accuracy falls from {source}: no drop is clearly above zero, nor all "
        f"within {WITHIN}; the largest change: {changed}."
    )


def answer(
    model: FrozenModel | KeptModel,
    prompts: Sequence[SoftPrompt | None],
    tasks: Sequence[Task],
    generate: bool = True,
    progress: Callable[[str], None] | None = None,
) -> list[Answered]:
    """Run prompts (None: the bare model) on the source and every target, all prompts in shared batches; see
    `evaluate` for errors.
    """
    scores = []
    for number, task in enumerate(tasks, start=1):
        said = (
            None if progress is None else partial(_of_domain, progress, f"domain {number} of {len(tasks)}, ")
        )
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
    model: FrozenModel,
    name: str,
    seed: int,
    tasks: Sequence[Task],
    generate: bool = True,
    progress: Callable[[str], None] | None = None,
) -> Answered:
    """Run a tuned model, which has no prompt, on the source and every target."""
    (found,) = answer(model, [None], tasks, generate, progress)
    return replace(found, name=name, method=MODEL_TUNING, group=MODEL_TUNING, seed=seed)


def mapped(task: Task, names: dict[str, str], labels: tuple[str, ...]) -> Task:
    """The task with its labels renamed and put in the source's order; a label may differ from the source's by
    case.

    Raises DataError for a label that is neither renamed nor one of `labels`.
    """
    given = {answer: names.get(answer, answer) for answer in set(task.answers)}
    answers = tuple(alike(given[answer], labels) or given[answer] for answer in task.answers)
    if unknown := sorted(set(answers) - set(labels)):
        found = f"{task.name}: found the label {unknown[0]!r}; the source has {', '.join(labels)}"
        raise DataError(f"{found}: say what it stands for, such as {unknown[0]}={labels[0]}", "map")
    return replace(task, answers=answers, labels=labels)
