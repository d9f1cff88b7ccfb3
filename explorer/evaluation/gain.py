"""What a prompt's gain over no prompt is made of: it says a label at all, it fits the prior, it tells texts
apart. Only the last is something that the prompt was taught.

The prior is taken off the model without a prompt: a temperature and a bias for each label, by maximum
likelihood on one half of the labelled texts, applied to the other half, and the other way round (cf.
contextual and batch calibration, Zhao et al. 2021, Zhou et al. 2024).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from explorer.errors import DataError
from explorer.evaluation.bootstrap import LEVEL, interval, resamples
from explorer.evaluation.crossed import crossed_interval
from explorer.evaluation.progress import counted
from explorer.evaluation.scorer import Scorer, centered, check_different, parts
from explorer.evaluation.scoring import names
from explorer.evaluation.verdict import verdict
from explorer.prompt import SoftPrompt
from explorer.results import Result
from explorer.texts.tasks import Task
from explorer.words.wording import count

LEAST_TEXTS = 20
"""different texts; of fewer no prior is fitted"""
HOTTEST, STRONGEST = 100.0, 30.0
"""bounds of the fit: of 1 / temperature (of scores at standard deviation 1), and of a bias in nats. They
matter where a half is answered without an error or holds no text of a label
"""


@dataclass(frozen=True, eq=False, repr=False)
class Gain(Result):
    """What N prompts and the model without one answer on B labelled texts over C labels."""

    prompts: tuple[str, ...]
    """[N]"""
    groups: tuple[str, ...]
    """[N] task and initialization of each prompt: prompts of one group differ by their seed"""
    task: Task
    scores: np.ndarray
    """[N + 1, B, C] float32, log p(label | prompt, text) in nats; the last row is without a prompt"""
    says_label: np.ndarray | None
    """[N + 1, B] bool: whether the generated text is a label; None where nothing was generated"""
    seed: int = 0

    @cached_property
    def answers(self) -> np.ndarray:
        """[N + 1, B] index of each text's likeliest label."""
        return self.scores.argmax(axis=2)

    @cached_property
    def right(self) -> np.ndarray:
        """[N + 1, B] bool"""
        return self.answers == self.task.gold

    @cached_property
    def fitted(self) -> np.ndarray:
        """[N + 1, B] bool: whether a text is answered right once the prior is fitted on the other half."""
        half = parts(self.task.texts, 2, self.seed)
        gold = self.task.gold
        return np.stack([without_prior(one, gold, half).argmax(axis=1) == gold for one in self.scores])

    @cached_property
    def _auc(self) -> list[tuple[float, np.ndarray]]:
        gold = self.task.gold
        return [one_against_rest_auc(centered(one), gold) for one in self.scores]

    @cached_property
    def _draws(self) -> np.ndarray:
        return resamples(self.seed, len(self.task))

    def to_frame(self) -> pd.DataFrame:
        """One row per prompt: prompt, n, no_prompt, prior_fitted, accuracy (shares of right answers: without
        a prompt, with its prior fitted, with the prompt), prior = prior_fitted − no_prompt, discrimination =
        accuracy − prior_fitted, their 95 % intervals over the texts; auc_no_prompt, auc: one label against
        the rest, mean over labels, .5 is chance; label_mass_no_prompt, label_mass: Σ p(label), mean over the
        texts; fixed, broken: texts that became right, and wrong. Then gain, auc_gain, their intervals,
        says_label_no_prompt, says_label (share of generated texts that are a label, nan where none were
        generated), accuracy_fitted (the prompt's with its own prior fitted).
        """
        return pd.DataFrame([self._row(n) for n in range(len(self.prompts))])

    def _row(self, n: int) -> dict:
        prior, taught = self.parts_of(n)
        limits = [interval(part, self._draws) for part in (prior, taught, prior + taught)]
        (auc, influence), (auc_bare, influence_bare) = self._auc[n], self._auc[-1]
        auc_low, auc_high = _normal(auc - auc_bare, influence - influence_bare)
        mass = np.exp(self.scores.astype(np.float64)).sum(axis=2).clip(max=1).mean(axis=1)
        said = np.full(len(self.scores), np.nan) if self.says_label is None else self.says_label.mean(axis=1)
        return {
            "prompt": self.prompts[n],
            "n": len(self.task),
            "no_prompt": self.right[-1].mean(),
            "prior_fitted": self.fitted[-1].mean(),
            "accuracy": self.right[n].mean(),
            "prior": prior.mean(),
            "prior_low": limits[0][0],
            "prior_high": limits[0][1],
            "discrimination": taught.mean(),
            "discrimination_low": limits[1][0],
            "discrimination_high": limits[1][1],
            "auc_no_prompt": auc_bare,
            "auc": auc,
            "label_mass_no_prompt": mass[-1],
            "label_mass": mass[n],
            "fixed": int((self.right[n] & ~self.right[-1]).sum()),
            "broken": int((~self.right[n] & self.right[-1]).sum()),
            "gain": (prior + taught).mean(),
            "gain_low": limits[2][0],
            "gain_high": limits[2][1],
            "auc_gain": auc - auc_bare,
            "auc_gain_low": auc_low,
            "auc_gain_high": auc_high,
            "says_label_no_prompt": said[-1],
            "says_label": said[n],
            "accuracy_fitted": self.fitted[n].mean(),
        }

    def parts_of(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Prior and discrimination of prompt n on each text, [B] of −1, 0, 1; their sum is the gain."""
        none, fitted, prompt = (
            row.astype(np.float64) for row in (self.right[-1], self.fitted[-1], self.right[n])
        )
        return fitted - none, prompt - fitted

    def confusion(self, n: int = -1) -> np.ndarray:
        """[C, C] int64: texts by their label (row) and the answer (column) of prompt n; −1 is without one."""
        labels = len(self.task.labels)
        pairs = self.task.gold * labels + self.answers[n]
        return np.bincount(pairs, minlength=labels**2).reshape(labels, labels)

    def confusion_frame(self) -> pd.DataFrame:
        """One row per prompt (then none), label and answer: prompt, label, answer, texts."""
        labels = self.task.labels
        return pd.DataFrame(
            [
                (prompt, label, answer, int(self.confusion(n)[row, column]))
                for n, prompt in enumerate((*self.prompts, names([None])[0]))
                for row, label in enumerate(labels)
                for column, answer in enumerate(labels)
            ],
            columns=["prompt", "label", "answer", "texts"],
        )

    def groups_frame(self) -> pd.DataFrame:
        """One row per group of several prompts: group, prompts, gain, discrimination and their 95 % t
        intervals over prompts and texts, auc, auc_low, auc_high (t interval over the prompts).
        """
        rows = []
        for group in dict.fromkeys(self.groups):
            members = [n for n, one in enumerate(self.groups) if one == group]
            if len(members) < 2:
                continue
            taught = np.stack([self.parts_of(n)[1] for n in members])
            gain = np.stack([sum(self.parts_of(n)) for n in members])
            auc = np.array([self._auc[n][0] for n in members])
            row = {"group": group, "prompts": len(members)}
            for name, values in (("gain", gain), ("discrimination", taught)):
                low, high = crossed_interval([[values]])
                row |= {name: values.mean(), f"{name}_low": low, f"{name}_high": high}
            low, high = crossed_interval(
                [[auc[:, None].repeat(2, axis=1)]], least=0
            )  # over the prompts alone
            rows.append({**row, "auc": auc.mean(), "auc_low": low, "auc_high": high})
        columns = ["group", "prompts"]
        columns += [
            f"{name}{end}" for name in ("gain", "discrimination", "auc") for end in ("", "_low", "_high")
        ]
        return pd.DataFrame(rows, columns=columns)

    @property
    def conclusion(self) -> str:
        """What to conclude, one line for a few prompts each, of more the means."""
        rows = self.to_frame()
        if len(rows) == 1:
            return _sentence(rows.iloc[0])
        groups = self.groups_frame()
        if len(groups) and groups["prompts"].sum() == len(rows):
            return " ".join(
                f"{one.group} ({one.prompts} prompts): {_brief(one.gain, one.discrimination)}."
                for one in groups.itertuples()
            )
        return " ".join(f"{one.prompt}: {_brief(one.gain, one.discrimination)}." for one in rows.itertuples())


def _sentence(row: pd.Series) -> str:
    """What one prompt's gain is made of."""
    n, points = int(row["n"]), _points(row["gain"])
    says = ""
    if np.isfinite(row["says_label"]):
        says = (
            f" It says a label on {100 * row['says_label']:.0f} % of the texts "
            f"({100 * row['says_label_no_prompt']:.0f} % without the prompt)."
        )
    auc = f"AUC {row['auc_no_prompt']:.2f} → {row['auc']:.2f}"
    if verdict(row["gain_low"], row["gain_high"], n) in ("open", "equal"):
        return f"No gain detectable with {count(n, 'text')} ({points} over no prompt; {auc}).{says}"
    taught = verdict(row["discrimination_low"], row["discrimination_high"], n)
    told = {
        "more": f"{_points(row['discrimination'])} of them tell texts apart",
        "less": f"its own preference among the labels costs {_points(-row['discrimination'])}",
        "equal": "none of them tell texts apart",
        "open": "whether it tells texts apart any better cannot be told",
    }[taught]
    return (
        f"{points} over no prompt ({row['no_prompt']:.3f} → {row['accuracy']:.3f}): "
        f"{_points(row['prior'])} only undo the model's preference among the labels, {told} ({auc}).{says}"
    )


def _brief(gain: float, discrimination: float) -> str:
    return f"{_points(gain)} over no prompt, {_points(discrimination)} of them discrimination"


def _points(share: float) -> str:
    return f"{100 * share:+.1f} points"


def gain(
    model: Scorer,
    prompts: Sequence[SoftPrompt],
    task: Task,
    seed: int = 0,
    generate: bool = True,
    progress: Callable[[str], None] | None = None,
) -> Gain:
    """Answer every text with every prompt and with none, in shared batches, and take the gains apart.

    generate: also write a text for each, to see whether it is a label. Raises DataError for fewer than 20
    different texts and for texts of one label only, and what `FrozenModel.label_log_probabilities` raises.
    """
    check_different(task.texts, LEAST_TEXTS, "fit the prior on one half and use it on the other")
    if len(set(task.answers)) < 2:
        raise DataError(
            f"{task.name}: all texts have the label {task.answers[0]}; expected texts of at least two labels"
        )
    asked = [*prompts, None]
    if progress is not None:
        progress(f"{task.name}: {count(len(task), 'text')}, {count(len(prompts), 'prompt')} and no prompt")
    rows = len(task) * len(asked)
    with counted(rows, "scoring labels") as done:
        scores = model.label_log_probabilities(asked, task.texts, task.labels, done)
    said = None
    if generate:
        longest = max(len(model.label_ids(label)) for label in task.labels) + 2
        with counted(rows, "generating") as done:
            written = model.generate(asked, task.texts, longest, done)
        said = np.array([[model.says(text, task.labels) for text in row] for row in written])
    groups = tuple(
        f"{prompt.origin.task or 'unknown task'}/{prompt.origin.initialization or 'unknown'}"
        + f" ({count(prompt.length, 'token')})" * (len({one.length for one in prompts}) > 1)
        for prompt in prompts
    )
    return Gain(names(prompts), groups, task, scores, said, seed)


def without_prior(scores: np.ndarray, gold: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Scores [B, C] with the prior fitted on the other half of the texts: β ℓ + b, [B, C] float64.

    half: [B] 0 or 1.
    """
    scores = centered(scores)
    fitted = np.empty_like(scores)
    for side in (0, 1):
        temperature, biases = fit_prior(scores[half != side], gold[half != side])
        fitted[half == side] = scores[half == side] / temperature + biases
    return fitted


def fit_prior(scores: np.ndarray, gold: np.ndarray) -> tuple[float, np.ndarray]:
    """Temperature and biases [C] (the first is 0) with the largest likelihood of labels gold [B] under
    softmax(scores [B, C] / temperature + biases).
    """
    from scipy.optimize import minimize

    spread = float(scores.std()) or 1.0
    scaled, rows = scores / spread, np.arange(len(gold))
    target = np.eye(scores.shape[1])[gold]

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        logits = parameters[0] * scaled + np.concatenate([[0.0], parameters[1:]])
        logits = logits - logits.max(axis=1, keepdims=True)
        log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        rest = (np.exp(log_p) - target) / len(gold)
        return -log_p[rows, gold].mean(), np.concatenate([[(rest * scaled).sum()], rest.sum(axis=0)[1:]])

    start = np.concatenate([[1.0], np.zeros(scores.shape[1] - 1)])
    bounds = [(1 / HOTTEST**2, HOTTEST)] + [(-STRONGEST, STRONGEST)] * (scores.shape[1] - 1)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500})
    return spread / float(found.x[0]), np.concatenate([[0.0], found.x[1:]])


def one_against_rest_auc(scores: np.ndarray, gold: np.ndarray) -> tuple[float, np.ndarray]:
    """Area under the ROC curve of each label's score against the rest, mean over the labels that some texts
    have and others have not, and every text's influence on it [B]; nan without such a label.

    The variance of the area is the sum of the squared influences (DeLong et al. 1988, in the form of sums
    over texts), and that of a difference of two areas is that of the differences.
    """
    from scipy.stats import rankdata

    areas, influences = [], []
    for label in range(scores.shape[1]):
        positive = gold == label
        inside, outside = int(positive.sum()), int((~positive).sum())
        if not inside or not outside:
            continue
        ranks, own = rankdata(scores[:, label]), np.empty(len(gold))
        own[positive] = rankdata(scores[positive, label])
        own[~positive] = rankdata(scores[~positive, label])
        share = np.where(positive, (ranks - own) / outside, 1 - (ranks - own) / inside)
        area = share[positive].mean()
        areas.append(area)
        influences.append((share - area) / np.where(positive, max(1, inside - 1), max(1, outside - 1)))
    if not areas:
        return float("nan"), np.full(len(gold), np.nan)
    return float(np.mean(areas)), np.mean(influences, axis=0)


def _normal(value: float, influence: np.ndarray) -> tuple[float, float]:
    """Interval of a figure with these influences of texts."""
    from scipy.special import ndtri

    half = float(ndtri((1 + LEVEL) / 2) * np.sqrt((influence**2).sum()))
    return value - half, value + half
