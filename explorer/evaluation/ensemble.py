"""N prompts as one classifier: every text goes through the frozen model once, in a batch that carries every
prompt (Lester et al. 2021, §6).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from explorer.cached.kept import KeptModel
from explorer.errors import DataError
from explorer.evaluation.bootstrap import interval, resamples
from explorer.evaluation.metrics import macro_f1
from explorer.evaluation.progress import counted
from explorer.evaluation.scoring import names
from explorer.evaluation.verdict import WITHIN, span, verdict
from explorer.models.frozen import FrozenModel
from explorer.prompt import SoftPrompt
from explorer.results import Result
from explorer.texts.tasks import Task
from explorer.words.wording import count

CALIBRATION_BINS = 10

AVERAGE, BEST, MAJORITY, MEAN_PROBABILITY = (
    "members on average",
    "best member",
    "majority vote",
    "mean probability",
)


@dataclass(frozen=True, eq=False, repr=False)
class Ensemble(Result):
    """What N prompts answer on B labelled texts over C labels, alone and together."""

    members: tuple[str, ...]
    """[N]"""
    task: Task
    probabilities: np.ndarray
    """[N, B, C] float32, rows sum to 1: softmax over the labels"""
    seed: int = 0
    """of the bootstrap"""

    @property
    def gold(self) -> np.ndarray:
        """[B] index of each text's label."""
        return self.task.gold

    @property
    def answers(self) -> np.ndarray:
        """[N, B] index of each member's likeliest label; ties go to the earlier label."""
        return self.probabilities.argmax(axis=2)

    @property
    def votes(self) -> np.ndarray:
        """[B, C] how many members answer each label."""
        return (self.answers[:, :, None] == np.arange(len(self.task.labels))).sum(axis=0)

    @property
    def majority(self) -> np.ndarray:
        """[B] the label with most votes. Among labels with as many, the one with the larger sum over members
        of log p(label | text).
        """
        logs = np.log(np.maximum(self.probabilities, np.finfo(np.float32).tiny)).sum(axis=0, dtype=np.float64)
        most = self.votes == self.votes.max(axis=1, keepdims=True)
        return np.where(most, logs, -np.inf).argmax(axis=1)

    @property
    def tied(self) -> float:
        """Share of texts on which several labels have most votes, 0…1."""
        return float(((self.votes == self.votes.max(axis=1, keepdims=True)).sum(axis=1) > 1).mean())

    @property
    def mean_probabilities(self) -> np.ndarray:
        """[B, C] the members' mean; rows sum to 1."""
        return self.probabilities.mean(axis=0)

    @property
    def agreement(self) -> np.ndarray:
        """[N, N] share of texts on which two members answer the same, 0…1; the diagonal is 1."""
        return (self.answers[:, None] == self.answers[None]).mean(axis=2)

    @property
    def disagreement(self) -> float:
        """Share of texts on which not all members answer the same, 0…1."""
        return float((self.votes.max(axis=1) < len(self.members)).mean())

    @property
    def best(self) -> int:
        """The member that is right most often on these very texts, as in the paper's table: chosen by
        hindsight. Ties: the first.
        """
        return int((self.answers == self.gold).mean(axis=1).argmax())

    @property
    def conclusion(self) -> str:
        """What to conclude, in one sentence: is the majority vote better than its members on average?"""
        gold, texts = self.gold, len(self.task)
        vote = self.majority == gold
        gain = vote - (self.answers == gold).mean(axis=0)
        limits = interval(gain, resamples(self.seed, texts))
        said = {
            "more": "it beats its average member",
            "less": "it does not beat its average member but is worse",
            "equal": f"it does not beat its average member: they are equal within {WITHIN}",
            "open": "whether it beats its average member cannot be told",
        }[verdict(*limits, texts)]
        right = (
            f"The majority vote of {count(len(self.members), 'prompt')} is right on {vote.sum():,} of "
            f"{count(texts, 'text')}"
        )
        return f"{right}; {said} ({gain.mean():+.3f}, {span(*limits)})."

    def to_frame(self) -> pd.DataFrame:
        """One row per member, then their average, the best one, majority vote, mean probability.

        Columns: prompt, kind, accuracy, macro_f1, calibration_error, low, high, difference, difference_low,
        difference_high. accuracy, macro_f1: 0…1, higher is better. calibration_error: expected calibration
        error over ten bins, 0…1, lower is better (a majority vote's confidence is the share of votes).
        difference: in accuracy from the majority vote, with its 95 % interval by paired bootstrap over the
        texts.
        """
        gold, labels = self.gold, len(self.task.labels)
        draws = resamples(self.seed, len(gold))

        def figures(given: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, float, float]:
            return (
                (given == gold).astype(np.float64),
                macro_f1(gold, given, labels),
                calibration_error(confidence, given == gold),
            )

        members = [
            figures(given, row.max(axis=1))
            for given, row in zip(self.answers, self.probabilities, strict=True)
        ]
        right, f1, error = zip(*members, strict=True)
        average = np.mean(right, axis=0), float(np.mean(f1)), float(np.mean(error))
        majority = figures(self.majority, self.votes.max(axis=1) / len(self.members))
        mean = figures(self.mean_probabilities.argmax(axis=1), self.mean_probabilities.max(axis=1))
        rows = [*(("member", name, *member) for name, member in zip(self.members, members, strict=True))]
        rows += [
            ("average", AVERAGE, *average),
            ("best", f"{BEST}: {self.members[self.best]}", *members[self.best]),
        ]
        rows += [("ensemble", MAJORITY, *majority), ("ensemble", MEAN_PROBABILITY, *mean)]
        return pd.DataFrame([self._row(*row, majority[0], draws) for row in rows])

    def _row(
        self,
        kind: str,
        name: str,
        right: np.ndarray,
        f1: float,
        error: float,
        majority: np.ndarray,
        draws: np.ndarray,
    ) -> dict:
        (low, high), difference = interval(right, draws), right - majority
        difference_low, difference_high = interval(difference, draws)
        return {
            "prompt": name,
            "kind": kind,
            "accuracy": float(right.mean()),
            "macro_f1": float(f1),
            "calibration_error": float(error),
            "low": low,
            "high": high,
            "difference": float(difference.mean()),
            "difference_low": difference_low,
            "difference_high": difference_high,
        }

    def texts_frame(self) -> pd.DataFrame:
        """One row per text: text, label, majority, mean_probability, votes for its label, and every member's
        answer.
        """
        labels = np.array(self.task.labels, dtype=object)
        frame = pd.DataFrame(
            {"text": self.task.texts, "label": self.task.answers, "majority": labels[self.majority]}
        )
        frame["mean_probability"] = labels[self.mean_probabilities.argmax(axis=1)]
        frame["votes"] = self.votes[np.arange(len(self.task)), self.gold]
        return frame.assign(
            **{name: labels[given] for name, given in zip(self.members, self.answers, strict=True)}
        )

    def to_record(self) -> dict:
        """Everything: conclusion, members (with their answers), average, best and ensemble (accuracies, the
        last of the majority vote), agreement [N, N], kappa, disagreement, tied, the figures of every row, and
        the answers both votes give.
        """
        frame, labels = self.to_frame(), self.task.labels
        rows = frame.to_dict("records")
        accuracy = dict(
            zip(frame["kind"][::-1], frame["accuracy"][::-1], strict=True)
        )  # of two ensembles the first, the majority vote
        members = [
            {**row, "answers": [labels[i] for i in given]}
            for row, given in zip(rows, self.answers, strict=False)
        ]
        return {
            "conclusion": self.conclusion,
            "members": members,
            "average": accuracy["average"],
            "best": accuracy["best"],
            "ensemble": accuracy["ensemble"],
            "agreement": self.agreement,
            "kappa": fleiss_kappa(self.votes),
            "disagreement": self.disagreement,
            "tied": self.tied,
            "together": rows[len(self.members) :],
            "majority": [labels[i] for i in self.majority],
            "mean_probability": [labels[i] for i in self.mean_probabilities.argmax(axis=1)],
            "labels": list(self.task.answers),
            "n": len(self.task),
        }


def ensemble(
    model: FrozenModel | KeptModel,
    prompts: Sequence[SoftPrompt],
    task: Task,
    share: Callable[[float], None] | None = None,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Ensemble:
    """Answer every text with every prompt in shared batches. share: told how much is done, 0…1.

    Raises DataError for fewer than two prompts or for prompts of one name, and what
    `FrozenModel.label_probabilities` raises.
    """
    called = names(prompts)
    if len(prompts) < 2:
        raise DataError(f"found {count(len(prompts), 'prompt')}; expected at least two to vote")
    if twice := sorted({name for name in called if called.count(name) > 1}):
        raise DataError(
            f"{twice[0]} is given twice; expected different prompts: one that votes twice is not an ensemble"
        )
    if progress is not None:
        progress(
            f"{task.name}: {count(len(task), 'text')}, {count(len(prompts), 'prompt')} vote on "
            f"{', '.join(task.labels)}"
        )
    with counted(len(prompts) * len(task), "voting", share) as done:
        return Ensemble(called, task, model.label_probabilities(prompts, task.texts, task.labels, done), seed)


@dataclass(frozen=True)
class PassTimes:
    """Wall seconds of one batch that carries all prompts, and of one pass for each prompt; medians over
    repeats.
    """

    together: float
    apart: float

    @property
    def ratio(self) -> float:
        """How many times longer separate passes take."""
        return self.apart / self.together


def pass_times(
    model: FrozenModel,
    prompts: Sequence[SoftPrompt],
    texts: Sequence[str],
    labels: Sequence[str],
    repeats: int = 5,
) -> PassTimes:
    """Measure both ways on these texts, by turns, after one unmeasured round."""

    def apart() -> None:
        for one in prompts:
            model.label_probabilities([one], texts, labels)

    found: list[list[float]] = [[], []]
    for _ in range(repeats + 1):
        for times, work in zip(
            found, (lambda: model.label_probabilities(prompts, texts, labels), apart), strict=True
        ):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
    return PassTimes(*(float(np.median(times[1:])) for times in found))


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = CALIBRATION_BINS) -> float:
    """Expected calibration error (Guo et al. 2017): mean over texts of |accuracy − mean confidence| in the
    text's bin, 0…1.

    confidence: [B] in 0…1, cut into bins of equal width (a limit belongs to the bin below it); right: [B]
    bool.
    """
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(place, right, bins) - np.bincount(place, confidence, bins)
    return float(np.abs(gaps).sum() / len(confidence))


def fleiss_kappa(votes: np.ndarray) -> float:
    """Agreement of N raters beyond chance (Fleiss 1971): 1 is full agreement, 0 is chance, below is less; nan
    when all give one answer.

    votes: [B, C], how many raters gave each of C answers to each of B texts; every row sums to N ≥ 2.
    """
    raters = votes[0].sum()
    observed = ((votes**2).sum(axis=1) - raters).mean() / (raters * (raters - 1))
    expected = ((votes.sum(axis=0) / votes.sum()) ** 2).sum()
    return float((observed - expected) / (1 - expected)) if expected < 1 else float("nan")
