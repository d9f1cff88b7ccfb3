"""Which prompt tokens an answer rests on: tokens masked one by one, the gradient of a gate, integrated
gradients.

F is the log-probability of the answer by rank classification (softmax over the labels), in nats. A masked
token keeps its position and is hidden from attention in the encoder and from the decoder, so relative
positions stay as they are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from explorer.analysis.nulls import SIGNIFICANT_AT
from explorer.errors import DataError, ExplorerError
from explorer.evaluation.curves import FEWEST_TOKENS, Curves, combined_p, curves, leave_one_out
from explorer.evaluation.progress import counted
from explorer.models.frozen import FrozenModel
from explorer.prompt import SoftPrompt, check_whole
from explorer.results import Result
from explorer.texts.tasks import check_labels
from explorer.vocabulary import Vocabulary
from explorer.words.arguments import as_list
from explorer.words.wording import count

if TYPE_CHECKING:
    import torch

ROWS_PER_PASS, ROWS_PER_GRADIENT = 64, 16
COMPLETENESS = 0.02
"""integrated gradients are refined until they miss what they should sum up to by no more than this share"""
HOLDS = 0.1
"""integrated gradients that miss more than this share do not hold, and are marked"""
FEWEST_STEPS, MOST_STEPS, LAST_STEPS = 16, 256, 1024
"""of the path; the last where they do not hold with fewer"""
SMALLEST_CHANGE = 1e-3
"""nats; below it there is nothing to attribute, and the completeness error is taken over this"""

Progress = Callable[[str], None]


@dataclass(frozen=True, eq=False, repr=False)
class Attribution(Result):
    """How much each prompt token carries of the model's answer on one text, or on the mean over several."""

    prompt: str
    labels: tuple[str, ...]
    answer: str
    """the label asked about; of several texts the commonest"""
    texts: int
    """averaged over"""
    leave_one_out: np.ndarray
    """[P] float64 nats, F with all tokens − F with this one masked; above 0 the token speaks for the
    answer
    """
    gate: np.ndarray
    """[P] nats, |∂F/∂g_i| at gate 1, the gate multiplies the token (Michel et al. 2019); 0 or more"""
    integrated_gradients: np.ndarray
    """[P] nats, signed; sums to F(prompt) − F(baseline) (Sundararajan et al. 2017); baseline: the mean
    searchable row everywhere
    """
    completeness: float
    """|Σ integrated gradients − (F(prompt) − F(baseline))| over |F(prompt) − F(baseline)|, 0 is exact; the
    worst of several texts
    """
    curves: tuple[Curves, ...]
    """deletion and insertion in the order of leave-one-out: one test for one text; of several, each half in
    the order of the other
    """

    @property
    def holds(self) -> bool:
        """Whether the integrated gradients sum up to what they should, to within 10 %."""
        return self.completeness <= HOLDS

    @property
    def deletion(self) -> np.ndarray:
        """[K] probability of the answer while tokens are masked, from all to none; of several texts the
        mean.
        """
        return self._over_texts([one.deletion for one in self.curves])

    @property
    def insertion(self) -> np.ndarray:
        """[K] the same while they are added, from none to all."""
        return self._over_texts([one.insertion for one in self.curves])

    @property
    def deletion_area(self) -> float:
        """Mean of the tested points of the deletion curve, 0…1: the smaller, the earlier the order takes away
        what the answer rests on.

        Tested are the masks that leave-one-out has not used; nan for a prompt of one or two tokens, which has
        none.
        """
        return float(self._over_texts([one.deletion_areas for one in self.curves])[0])

    @property
    def insertion_area(self) -> float:
        """Likewise of the insertion curve, 0…1: the larger, the earlier the order brings it."""
        return float(self._over_texts([one.insertion_areas for one in self.curves])[0])

    @property
    def deletion_null(self) -> np.ndarray:
        """[M] area under the deletion curve of random orders, 0…1."""
        return self._over_texts([one.deletion_areas for one in self.curves])[1:]

    @property
    def insertion_null(self) -> np.ndarray:
        """[M] likewise for insertion."""
        return self._over_texts([one.insertion_areas for one in self.curves])[1:]

    @property
    def deletion_p(self) -> float:
        """Against random orders; smaller: the order finds what the answer rests on."""
        return combined_p(self.curves, deletion=True)

    @property
    def insertion_p(self) -> float:
        """Against random orders."""
        return combined_p(self.curves, insertion=True)

    @property
    def p(self) -> float:
        """Deletion and insertion together."""
        return combined_p(self.curves, deletion=True, insertion=True)

    @property
    def conclusion(self) -> str:
        """What to conclude, in one sentence, and whether integrated gradients are left out of it."""
        if self.holds:
            return self._conclusion
        return (
            f"{self._conclusion} Integrated gradients are left out: they miss {self.completeness:.0%} of the "
            "change that they should add up to."
        )

    @property
    def _conclusion(self) -> str:
        answer, p = (
            f"the answer {self.answer!r} rests"
            if self.texts == 1
            else f"the answers to {self.texts:,} texts rest",
            self.p,
        )
        if np.isnan(p):
            return (
                f"Cannot tell which tokens {answer} on: the order of leave-one-out can be tested from "
                f"{FEWEST_TOKENS} tokens on, this prompt has "
            ) + (f"{len(self.leave_one_out)}.")
        where = "" if self.texts == 1 else ", on texts that the order was not taken from"
        if p > SIGNIFICANT_AT:
            return (
                f"Cannot tell which tokens {answer} on: the order of leave-one-out finds them no "
                f"sooner than random orders{where} (p {p:.3f})."
            )
        first = int(self.leave_one_out.argmax())
        if self.leave_one_out[first] <= 0:
            return (
                f"No token speaks for {answer.removesuffix(' rests').removesuffix(' rest')}: the model "
                "is no less sure without any one of them."
            )
        strongest = f"token {first}, without which log p falls by {self.leave_one_out[first]:.3f} nats"
        return (
            f"{answer[0].upper()}{answer[1:]} most on {strongest}; the order of leave-one-out finds "
            f"such tokens sooner than random orders{where} (p {p:.3f})."
        )

    def _over_texts(self, values: Sequence[np.ndarray]) -> np.ndarray:
        return np.average(values, axis=0, weights=[one.texts for one in self.curves])

    def to_frame(self) -> pd.DataFrame:
        """One row per prompt token: prompt, position, leave_one_out, gate, integrated_gradients; and, where
        those do not hold, completeness_error.
        """
        marked = {} if self.holds else {"completeness_error": self.completeness}
        return pd.DataFrame(
            {
                "prompt": self.prompt,
                "position": np.arange(len(self.gate)),
                "leave_one_out": self.leave_one_out,
                "gate": self.gate,
                "integrated_gradients": self.integrated_gradients,
                **marked,
            }
        )


@dataclass(frozen=True, eq=False, repr=False)
class LeftOut(Result):
    """What leaving out each token of a prompt does to the answer on one text: the quick part of an
    attribution, without a test.
    """

    prompt: str
    answer: str
    probability: float
    """of the answer with all tokens, 0…1"""
    leave_one_out: np.ndarray
    """[P] float64 nats, as in `Attribution`"""

    @property
    def conclusion(self) -> str:
        """What to conclude, in one sentence: the answer, and the token whose leaving out moves it most."""
        most = int(np.abs(self.leave_one_out).argmax())
        moved = (
            f"leaving out token {most} moves its log probability most ({-self.leave_one_out[most]:+.2f} nats)"
        )
        return f"{self.prompt} answers {self.answer} (probability {self.probability:.2f}); {moved}."

    def to_frame(self) -> pd.DataFrame:
        """One row per prompt token: prompt, position, leave_one_out."""
        return pd.DataFrame(
            {
                "prompt": self.prompt,
                "position": np.arange(len(self.leave_one_out)),
                "leave_one_out": self.leave_one_out,
            }
        )


def left_out(
    model: FrozenModel, vocabulary: Vocabulary, prompt: SoftPrompt, text: str, labels: Sequence[str]
) -> LeftOut:
    """Leave out each token once: P + 1 rows through the model. Raises DataError for fewer than two labels,
    PromptError for another width.
    """
    check_whole(prompt, "attribution")
    vocabulary.check_width(prompt.vectors, prompt.name)
    labels = check_labels(labels)
    every = np.concatenate([np.ones((1, prompt.length), bool), ~np.eye(prompt.length, dtype=bool)])
    found = _Question(model, text, labels).masked(prompt.vectors, every)  # [1 + P, C]
    answer = int(found[0].argmax())
    return LeftOut(
        prompt.name, labels[answer], float(np.exp(found[0, answer])), found[0, answer] - found[1:, answer]
    )


class _Question:
    """One text with its labels, asked with any prompts of P tokens."""

    def __init__(self, model: FrozenModel, text: str, labels: Sequence[str]):
        import torch

        self.model = model
        with model.lock, torch.no_grad():
            (ids,) = model.text_ids([text])
            self.text = model.embed(torch.tensor(ids, device=model.device))  # [T, H]
            self.targets = [torch.tensor(ids, device=model.device) for ids in model.targets(labels)]

    def scores(self, prompts: "torch.Tensor", keep: "torch.Tensor") -> "torch.Tensor":
        """Log-probabilities of the labels [R, C] with prompts [R, P, H] of which only `keep` [R, P] is
        seen.
        """
        import torch

        rows = len(prompts)
        embeds = torch.cat([prompts.to(self.text.dtype), self.text.expand(rows, -1, -1)], dim=1)
        mask = torch.cat(
            [keep.long(), torch.ones(rows, len(self.text), dtype=torch.long, device=keep.device)], dim=1
        )
        encoded = self.model.encode(embeds, mask)
        columns = [self.model.target_scores(encoded, mask, target, exact=True) for target in self.targets]
        return torch.log_softmax(torch.stack(columns, dim=1), dim=1)

    def masked(self, prompt: np.ndarray, keep: np.ndarray) -> np.ndarray:
        """The same for one prompt [P, H] and masks [R, P] bool: [R, C] float64. Equal masks are run once."""
        import torch

        distinct, place = np.unique(keep, axis=0, return_inverse=True)
        vectors = torch.as_tensor(prompt, device=self.model.device)
        found = []
        with counted(len(distinct), "masking tokens") as done:
            for start in range(0, len(distinct), ROWS_PER_PASS):
                with self.model.lock, torch.no_grad():  # for each pass, so that others get their turn
                    rows = torch.from_numpy(distinct[start : start + ROWS_PER_PASS]).to(self.model.device)
                    found.append(self.scores(vectors.expand(len(rows), -1, -1), rows).double().cpu().numpy())
                done(len(rows))
        return np.concatenate(found)[place.ravel()]

    def log_probability(self, prompt: np.ndarray, answer: int, keep: np.ndarray) -> np.ndarray:
        """F of one answer for masks [R, P] bool: [R] float64, nats."""
        return self.masked(prompt, keep)[:, answer]

    def gradients(self, prompts: np.ndarray, answer: int) -> tuple[np.ndarray, np.ndarray]:
        """F [R] and its gradient [R, P, H], float64, at prompts [R, P, H]. The weights get no gradient."""
        import torch

        values, slopes = [], []
        with counted(len(prompts), "gradients") as done:
            for start in range(0, len(prompts), ROWS_PER_GRADIENT):
                with self.model.lock, torch.enable_grad():
                    rows = torch.tensor(
                        prompts[start : start + ROWS_PER_GRADIENT],
                        dtype=torch.float32,
                        device=self.model.device,
                        requires_grad=True,
                    )
                    score = self.scores(rows, torch.ones(rows.shape[:2], device=rows.device))[:, answer]
                    (slope,) = torch.autograd.grad(score.sum(), rows)
                    values.append(score.detach().double().cpu().numpy())
                    slopes.append(slope.double().cpu().numpy())
                done(len(rows))
        return np.concatenate(values), np.concatenate(slopes)


def attribute(
    model: FrozenModel,
    vocabulary: Vocabulary,
    prompt: SoftPrompt,
    texts: Sequence[str],
    labels: Sequence[str],
    label: str | None = None,
    orders: int = 100,
    seed: int = 0,
    progress: Progress | None = None,
) -> Attribution:
    """Attribute the model's answer (or `label`) to the prompt's tokens; figures are means over the texts.

    orders: random orders that deletion and insertion are compared with. progress: told what is done next.
    Raises DataError for no texts, fewer than two labels, a string instead of a list or a label that is none
    of them, PromptError for another width.
    """
    check_whole(prompt, "attribution")
    vocabulary.check_width(prompt.vectors, prompt.name)
    texts, labels = as_list(texts, "texts"), check_labels(labels)
    if not texts:
        raise DataError("found no texts; expected at least one")
    if label is not None and label not in labels:
        raise DataError(f"found the label {label!r}; expected one of {', '.join(labels)}", "labels")
    if orders < 1:
        raise ExplorerError(f"found {orders} random orders; expected at least 1", "orders")
    baseline = vocabulary.embedding[vocabulary.searchable_ids].mean(axis=0)
    questions = [_Question(model, text, labels) for text in texts]
    says = [
        partial(_say, progress, f"{prompt.name}, text {number} of {len(texts)}: ")
        for number in range(1, len(texts) + 1)
    ]
    parts = [
        _of_one(question, prompt, labels, label, baseline, say)
        for question, say in zip(questions, says, strict=True)
    ]
    answers = [
        partial(question.log_probability, prompt.vectors, part.answer)
        for question, part in zip(questions, parts, strict=True)
    ]
    left_out = np.stack([part.leave_one_out for part in parts])
    compared = f"deletion and insertion, compared with {count(orders, 'random order')}"
    given = [part.answer for part in parts]
    return Attribution(
        prompt.name,
        labels,
        labels[max(range(len(labels)), key=given.count)],
        len(texts),
        left_out.mean(axis=0),
        np.mean([part.gate for part in parts], axis=0),
        np.mean([part.integrated_gradients for part in parts], axis=0),
        max(part.completeness for part in parts),
        curves(answers, left_out, orders, seed, lambda number: says[number](compared)),
    )


def _say(progress: Progress | None, where: str, what: str) -> None:
    if progress is not None:
        progress(where + what)


@dataclass(frozen=True, eq=False)
class _OneText:
    """What `Attribution` averages over texts."""

    answer: int
    leave_one_out: np.ndarray
    gate: np.ndarray
    integrated_gradients: np.ndarray
    completeness: float


def _of_one(
    question: _Question,
    prompt: SoftPrompt,
    labels: tuple[str, ...],
    label: str | None,
    baseline: np.ndarray,
    say: Progress,
) -> _OneText:
    length = prompt.length
    say(f"leaving out each of {count(length, 'token')}")
    answer = (
        int(question.masked(prompt.vectors, np.ones((1, length), bool))[0].argmax())
        if label is None
        else labels.index(label)
    )
    left_out = leave_one_out(partial(question.log_probability, prompt.vectors, answer), length)
    say("integrated gradients")
    _, slope = question.gradients(prompt.vectors[None], answer)
    integrated, completeness = _integrated(
        question, prompt.vectors, np.broadcast_to(baseline, prompt.vectors.shape), answer
    )
    return _OneText(
        answer, left_out, np.abs((slope[0] * prompt.vectors).sum(axis=1)), integrated, completeness
    )


def _integrated(
    question: _Question, vectors: np.ndarray, baseline: np.ndarray, answer: int
) -> tuple[np.ndarray, float]:
    """Integrated gradients [P] along the straight path from the baseline, and their completeness error.

    T5 normalizes lengths, so the path turns fastest near its short end: Gauss–Legendre nodes t are taken at a
    = t², and doubled until the error is small; beyond MOST_STEPS only where they do not hold yet.
    """
    ends, _ = question.gradients(np.stack([baseline, vectors]), answer)
    change, steps = ends[1] - ends[0], FEWEST_STEPS
    while True:
        panels = max(1, steps // MOST_STEPS)  # nodes of a panel each, so that no more are held at once
        parts = [
            _along_path(question, vectors, baseline, answer, steps // panels, number / panels, 1 / panels)
            for number in range(panels)
        ]
        integrated = np.sum(parts, axis=0)
        error = float(abs(integrated.sum() - change) / max(abs(change), SMALLEST_CHANGE))
        if error <= (COMPLETENESS if steps < MOST_STEPS else HOLDS) or steps >= LAST_STEPS:
            return integrated, error
        steps *= 2


def _along_path(
    question: _Question,
    vectors: np.ndarray,
    baseline: np.ndarray,
    answer: int,
    steps: int,
    start: float,
    width: float,
) -> np.ndarray:
    """What the path from t = start on adds to the integrated gradients [P]."""
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    nodes, weights = start + width * (nodes + 1) / 2, width * weights / 2
    share, weights = nodes**2, weights * 2 * nodes
    path = baseline + share[:, None, None] * (vectors - baseline)
    _, slopes = question.gradients(path.astype(np.float32), answer)
    return (np.einsum("s,sph->ph", weights, slopes) * (vectors - baseline)).sum(axis=1)
