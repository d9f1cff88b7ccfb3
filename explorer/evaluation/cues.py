"""Cues: which words of a text decide the answer, with a prompt and without one.

A ridge regression of label scores on the presence of words and word pairs is a global surrogate of the model
(Molnar, Interpretable Machine Learning, ch. 8.6). Which terms it leans on is checked by intervention: they
are deleted from texts and the model runs again. A term is chosen on one half of the texts and tested on the
other: tested where it was chosen, chance alone would confirm it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from explorer.analysis.nulls import benjamini_hochberg, stream
from explorer.evaluation.bootstrap import LEVEL
from explorer.evaluation.progress import counted
from explorer.evaluation.scorer import Scorer, centered, check_different, parts, text_order
from explorer.evaluation.scoring import names
from explorer.evaluation.surrogate import Surrogate, fit_surrogates, presence, resampled_effects
from explorer.evaluation.text_words import TextWords, cut_out, text_words
from explorer.evaluation.verdict import MARGIN
from explorer.prompt import SoftPrompt
from explorer.results import Result
from explorer.texts.tasks import check_labels
from explorer.words.wording import count

LEAST_TEXTS = 50
TERMS, TEXTS = 12, 24
"""terms of a label that are checked, texts that one is deleted from; at most"""
FEWEST = 3
"""texts without which a mean has no interval"""
CUE_AT = 0.05
"""a term is a cue where q of its deletion is at most this"""
SMALLEST = 1e-5
"""nats; differences of scores below are rounding"""
WEAKEST = 0.05
"""of a label's largest effect; weaker terms are not what its score leans on"""
SHOWN = 3
"""cues of a label in a sentence"""
LEARNED, HAD, LOST, ALONG = "learned", "had", "lost", "goes with it"


@dataclass(frozen=True)
class Check:
    """A term that a label's score leans on, and what deleting it does."""

    prompt: int
    label: int
    term: int
    texts: int
    """that it was deleted from"""
    deletion: float
    """mean change of the label's score with the prompt, in nats: below 0 the term speaks for the label"""
    low: float
    high: float
    deletion_no_prompt: float
    low_no_prompt: float
    high_no_prompt: float
    q: float
    q_no_prompt: float
    effect: float
    effect_no_prompt: float

    @property
    def kind(self) -> str:
        """learned, had, lost, or goes with it: what deletion does not confirm."""
        held = self.effect > 0 and self.q <= CUE_AT and self.high < 0
        bare = self.effect_no_prompt > 0 and self.q_no_prompt <= CUE_AT and self.high_no_prompt < 0
        if held and 2 * self.deletion_no_prompt > self.deletion and self.low_no_prompt > self.high:
            return LEARNED
        if (
            bare
            and not held
            and 2 * self.deletion > self.deletion_no_prompt
            and self.low > self.high_no_prompt
        ):
            return LOST
        return HAD if held else ALONG


@dataclass(frozen=True, eq=False, repr=False)
class Cues(Result):
    """What N prompts and the model without one listen to in B texts, of F terms and C labels."""

    prompts: tuple[str, ...]
    """[N]"""
    labels: tuple[str, ...]
    """[C]"""
    terms: tuple[str, ...]
    """[F]"""
    texts_with: np.ndarray
    """[F] int64: texts that hold each term"""
    n: int
    """texts"""
    surrogate: Surrogate
    """of [N + 1, C] scores, the last without a prompt"""
    gold: Surrogate | None
    """of [1, C]: whether a text has the label, 0 or 1; None without labels"""
    checks: tuple[Check, ...]
    likeness: pd.DataFrame
    """how alike two prompts' effects are, see likeness_frame"""
    note: str | None = None
    """how texts were cut into words, where that is to be said"""

    def labels_frame(self) -> pd.DataFrame:
        """One row per prompt and label: prompt, label, n, r2, r2_no_prompt, r2_gold (nan without labels):
        share of the score's variance on texts left out that single words and pairs explain, at most 1; then
        r2_null (its 95th percentile with scores permuted over the texts), p.
        """
        fit, rows = self.surrogate, []
        for n, prompt in enumerate(self.prompts):
            for c, label in enumerate(self.labels):
                gold = float("nan") if self.gold is None else self.gold.r2[0, c]
                null = fit.null[:, n, c]
                p = (1 + (null >= fit.r2[n, c]).sum()) / (1 + len(null))
                r2 = fit.r2[n, c], fit.r2[-1, c], gold, np.quantile(null, 0.95)
                rows.append((prompt, label, self.n, *r2, p))
        columns = ["prompt", "label", "n", "r2", "r2_no_prompt", "r2_gold", "r2_null", "p"]
        return pd.DataFrame(rows, columns=columns)

    def to_frame(self) -> pd.DataFrame:
        """One row per prompt, label and term that was checked, strongest first: prompt, label, term, texts,
        effect, effect_no_prompt, effect_gold (coefficients, in nats and in shares of texts), deletion (mean
        change of the label's centered log-probability when the term is deleted, in nats), deletion_low,
        deletion_high (95 % t interval over texts), deletion_no_prompt, q, kind, not_in_data (true where the
        texts' own labels have no such effect, or the contrary; empty without labels), deleted_from (texts),
        and the interval and q without a prompt.
        """
        rows = [self._row(one) for one in sorted(self.checks, key=self._order)]
        return pd.DataFrame(rows, columns=list(_COLUMNS)).astype({"not_in_data": "boolean"})

    def _order(self, one: Check) -> tuple:
        return (
            one.prompt,
            one.label,
            one.kind == ALONG,
            -self.surrogate.effects[one.prompt, one.label, one.term],
        )

    def _row(self, one: Check) -> tuple:
        place = one.label, one.term
        effect = self.surrogate.effects[one.prompt, *place]
        gold = float("nan") if self.gold is None else self.gold.effects[0, *place]
        leading = gold * np.sign(self.surrogate.effects[-1, *place] if one.kind == LOST else effect)
        wrong = None if self.gold is None else bool(one.kind != ALONG and leading < MARGIN)
        return (
            *(self.prompts[one.prompt], self.labels[one.label], self.terms[one.term]),
            *(int(self.texts_with[one.term]), effect, self.surrogate.effects[-1, *place], gold),
            *(one.deletion, one.low, one.high, one.deletion_no_prompt, one.q, one.kind, wrong, one.texts),
            *(one.low_no_prompt, one.high_no_prompt, one.q_no_prompt),
        )

    def likeness_frame(self) -> pd.DataFrame:
        """One row per pair of prompts, none among them: prompt, other, correlation (of effects over all terms
        and labels, −1 to 1), low, high (95 %, bootstrap over the texts). Empty for one prompt.
        """
        return self.likeness

    @cached_property
    def cues(self) -> dict[tuple[str, str], tuple[str, ...]]:
        """The cues with each prompt and label, strongest first, none that repeats a stronger one's words."""
        found: dict[tuple[str, str], tuple[str, ...]] = {}
        frame = self.to_frame()
        for row in frame[frame["kind"].isin((LEARNED, HAD))].itertuples():
            known = found.setdefault((row.prompt, row.label), ())
            if not set(row.term.split()) & set(" ".join(known).split()):
                found[row.prompt, row.label] = (*known, row.term)
        return found

    @property
    def conclusion(self) -> str:
        """What to conclude: words that decide for each label, and how much of the answers words explain."""
        said = [self._of(n) for n in range(len(self.prompts))]
        if len(said) > 1:
            said = [f"{name}: {one}" for name, one in zip(self.prompts, said, strict=True)]
        return "\n".join(said) + (f" ({self.note})" if self.note else "")

    def _of(self, n: int) -> str:
        listed = [
            f"{label}: {', '.join(terms[:SHOWN])}"
            for label in self.labels
            if (terms := self.cues.get((self.prompts[n], label), ()))
        ]
        learned = sum(one.kind == LEARNED for one in self.checks if one.prompt == n)
        r2, bare = (max(0.0, float(np.nan_to_num(self.surrogate.r2[row]).mean())) for row in (n, -1))
        words = "; ".join(listed) + "." if listed else "No single word was shown to decide its answers."
        mine = sorted((one for one in self.checks if one.prompt == n), key=lambda one: one.deletion)
        wrong = [row for row in map(self._row, mine) if row[12] in (LEARNED, HAD) and row[13]]
        against = (
            f" Not in the data: {', '.join(f'{row[2]} for {row[1]}' for row in wrong[:SHOWN])}."
            if wrong
            else ""
        )
        return (
            f"{words} Single words explain {100 * r2:.0f} % of its answers, {100 * bare:.0f} % without the "
            f"prompt; {count(learned, 'cue')} of {sum(one.prompt == n for one in self.checks)} terms checked "
            f"{'was' if learned == 1 else 'were'} learned.{against}"
        )

    def to_record(self) -> dict:
        """Everything: conclusion, labels, terms, likeness."""
        tables = {"labels": self.labels_frame(), "terms": self.to_frame(), "likeness": self.likeness}
        return {"conclusion": self.conclusion} | {
            name: frame.astype(object).where(frame.notna(), None).to_dict("records")
            for name, frame in tables.items()
        }


_COLUMNS = (
    *("prompt", "label", "term", "texts", "effect", "effect_no_prompt", "effect_gold", "deletion"),
    *("deletion_low", "deletion_high", "deletion_no_prompt", "q", "kind", "not_in_data", "deleted_from"),
    *("deletion_no_prompt_low", "deletion_no_prompt_high", "q_no_prompt"),
)


def cues(
    model: Scorer,
    prompts: Sequence[SoftPrompt],
    texts: Sequence[str],
    labels: Sequence[str],
    gold: np.ndarray | None = None,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Cues:
    """Fit the surrogate to all texts, then delete the terms that it leans on and run the model again.

    gold: [B] index of each text's label, where they are known. Raises DataError for fewer than 50 different
    texts and for fewer than two labels, and what `FrozenModel.label_log_probabilities` raises.
    """
    labels, texts = check_labels(labels), tuple(texts)
    check_different(texts, LEAST_TEXTS, "learn which words decide")
    cut = text_words(texts, getattr(model, "tokenizer", None))
    if progress is not None:
        progress(
            f"{count(len(texts), 'text')}, {count(len(prompts), 'prompt')} and no prompt"
            + (f"; {cut.note}" if cut.note else "")
        )
    asked = [*prompts, None]
    with counted(len(texts) * len(asked), "scoring labels") as done:
        scores = centered(model.label_log_probabilities(asked, texts, labels, done))
    terms, held = presence(texts, cut)
    part, half = parts(texts, 5, seed), parts(texts, 2, seed + 1)
    fit = fit_surrogates(held, scores, part, seed)
    known = None if gold is None else fit_surrogates(held, np.eye(len(labels))[gold][None], part, seed, 0)
    sides = [fit_surrogates(held[half == side], scores[:, half == side]).effects for side in (0, 1)]
    tested = [held[half != side].sum(axis=0) >= FEWEST for side in (0, 1)]
    wanted = [
        (n, c, *one)
        for n in range(len(prompts))
        for c in range(len(labels))
        for one in _candidates(sides, tested, n, c)
    ]
    checks = _deleted(
        model, asked, texts, labels, scores, (cut, terms, held, half), fit.effects, wanted, seed
    )
    likeness = _likeness(names(asked), fit, held, scores, seed)
    counts = held.sum(axis=0).astype(np.int64)
    return Cues(names(prompts), labels, terms, counts, len(texts), fit, known, checks, likeness, cut.note)


def _candidates(
    sides: list[np.ndarray], tested: list[np.ndarray], n: int, c: int
) -> list[tuple[int, tuple[int, ...]]]:
    """Terms to check of prompt n and label c, and the halves of the texts that each may be tested on: those
    that had no say in its choice. Two of three are chosen by the effect with the prompt, one by that without.
    """

    def chosen(side: int, most: int) -> list[int]:
        found: list[int] = []
        for row, until in ((n, -(-2 * most // 3)), (-1, most)):
            effects = np.where(tested[side], sides[side][row, c], 0)
            least = max(SMALLEST, WEAKEST * effects.max())
            order = [t for t in np.argsort(-effects, kind="stable")[: most + 1] if effects[t] > least]
            found += [int(term) for term in order if term not in found][: until - len(found)]
        return found

    lists = chosen(0, TERMS // 2), chosen(1, TERMS // 2)
    for most in range(TERMS // 2 + 1, TERMS + 1):
        more = chosen(0, most), chosen(1, most)
        if len({*more[0], *more[1]}) > TERMS:
            break
        lists = more
    return [
        (term, tuple(1 - side for side in (0, 1) if term in lists[side]))
        for term in sorted({*lists[0], *lists[1]})
    ]


def _deleted(
    model: Scorer,
    asked: Sequence[SoftPrompt | None],
    texts: Sequence[str],
    labels: Sequence[str],
    scores: np.ndarray,
    about: tuple[TextWords, tuple[str, ...], np.ndarray, np.ndarray],
    effects: np.ndarray,
    wanted: list[tuple[int, int, int, tuple[int, ...]]],
    seed: int,
) -> tuple[Check, ...]:
    """Every wanted term (prompt, label, term, halves) deleted from texts that hold it; the same texts with
    the prompt and without. A text without a term goes through the model once, whichever labels it is asked
    for.
    """
    cut, terms, held, half = about
    order = _first_of_each(texts, seed)
    holding = {
        (term, side): [b for b in order if held[b, term] and half[b] in side] for _, _, term, side in wanted
    }
    fresh: list[dict[tuple[int, int], str]] = [{} for _ in asked]
    for n, _, term, side in wanted:
        for b in holding[term, side][:TEXTS]:
            if left := cut.without(texts[b], terms[term]):
                fresh[n][b, term] = fresh[-1][b, term] = left
    changes: list[dict[tuple[int, int], np.ndarray]] = []
    with counted(sum(len(set(one.values())) for one in fresh), "deleting words") as done:
        for n, prompt in enumerate(asked):
            different = list(dict.fromkeys(fresh[n].values()))
            new = {}
            if different:
                again = centered(model.label_log_probabilities([prompt], different, labels, done)[0])
                new = dict(zip(different, again, strict=True))
            changes.append({key: new[left] - scores[n, key[0]] for key, left in fresh[n].items()})

    def changed(n: int, c: int, term: int, side: tuple[int, ...]) -> list[np.ndarray]:
        keys = [(b, term) for b in holding[term, side][:TEXTS] if (b, term) in fresh[n]]
        return [np.array([changes[row][key][c] for key in keys]) for row in (n, -1)]

    checks: list[Check] = []
    for number in range(len(asked) - 1):
        mine = [one for one in wanted if one[0] == number]
        deleted = [changed(*one) for one in mine]
        prompted, bare = ([_mean(one[row]) for one in deleted] for row in (0, 1))
        qs, bare_qs = (benjamini_hochberg(np.array([one[3] for one in side])) for side in (prompted, bare))
        for (n, c, term, _), by, one, none, q, q_bare in zip(
            mine, deleted, prompted, bare, qs.tolist(), bare_qs.tolist(), strict=True
        ):
            limits = one[0], one[1], one[2], none[0], none[1], none[2], q, q_bare
            found = Check(n, c, term, len(by[0]), *limits, effects[n, c, term], effects[-1, c, term])
            checks.append(found)
    return tuple(checks)


def _first_of_each(texts: Sequence[str], seed: int) -> list[int]:
    """Numbers of different texts in an order that is not theirs."""
    seen: dict[str, int] = {}
    for b in text_order(texts, seed + 2):
        seen.setdefault(texts[b], int(b))
    return list(seen.values())


def _mean(changes: np.ndarray) -> tuple[float, float, float, float]:
    """Mean of changes [n], its t interval, and p (two-sided); p is 1 and the interval empty of too few."""
    from scipy.special import stdtr, stdtrit

    n = len(changes)
    if n < FEWEST:
        return float(changes.mean()) if n else float("nan"), float("nan"), float("nan"), 1.0
    error = max(float(changes.std(ddof=1)), SMALLEST) / np.sqrt(n)
    mean, half = float(changes.mean()), float(stdtrit(n - 1, (1 + LEVEL) / 2)) * error
    return mean, mean - half, mean + half, float(2 * stdtr(n - 1, -abs(mean) / error))


def _likeness(
    called: Sequence[str], fit: Surrogate, held: np.ndarray, scores: np.ndarray, seed: int
) -> pd.DataFrame:
    """Correlation of every two prompts' effects, none among them, with its interval over texts; for several
    prompts only.
    """
    columns = ["prompt", "other", "correlation", "low", "high"]
    if len(called) < 3:
        return pd.DataFrame(columns=columns)
    rows = len(called)
    seen = np.corrcoef(fit.effects.reshape(rows, -1))
    draws = np.stack(
        [
            np.corrcoef(effects.reshape(rows, -1))
            for effects in resampled_effects(held, scores, fit.alphas, stream(seed, "bootstrap of effects"))
        ]
    )
    tops = np.arctanh(np.clip(seen, -0.9999, 0.9999))
    spread = np.arctanh(np.clip(draws, -0.9999, 0.9999)).std(axis=0, ddof=1)
    return pd.DataFrame(
        [
            (called[i], called[j], seen[i, j], *np.tanh(tops[i, j] + np.array([-1.96, 1.96]) * spread[i, j]))
            for i in range(rows)
            for j in range(i + 1, rows)
        ],
        columns=columns,
    )


@dataclass(frozen=True, eq=False, repr=False)
class TextCues(Result):
    """What deleting each word of one text does to the answer, with N prompts and without one."""

    prompts: tuple[str, ...]
    """[N]"""
    text: str
    spans: tuple[tuple[int, int], ...]
    """[W] where each word stands"""
    answers: tuple[str, ...]
    """[N] the answer with each prompt"""
    deletion: np.ndarray
    """[N, W] change of the answer's score, in nats: below 0 the word speaks for the answer"""
    deletion_no_prompt: np.ndarray
    """[N, W] change of the same answer's score without a prompt"""

    def to_frame(self) -> pd.DataFrame:
        """One row per prompt and word: prompt, answer, place (from 0), word, deletion, deletion_no_prompt."""
        return pd.DataFrame(
            [
                (prompt, self.answers[n], place, self.text[start:end], with_it, without)
                for n, prompt in enumerate(self.prompts)
                for place, ((start, end), with_it, without) in enumerate(
                    zip(self.spans, self.deletion[n], self.deletion_no_prompt[n], strict=True)
                )
            ],
            columns=["prompt", "answer", "place", "word", "deletion", "deletion_no_prompt"],
        )

    @property
    def conclusion(self) -> str:
        """Which word the answer leans on most."""
        lines = []
        for n, prompt in enumerate(self.prompts):
            least = int(self.deletion[n].argmin())
            word, change = self.text[slice(*self.spans[least])], self.deletion[n, least]
            said = (
                f"“{word}” decides most: without it the score of {self.answers[n]} changes by "
                f"{change:+.2f} nats ({self.deletion_no_prompt[n, least]:+.2f} without the prompt)"
                if change < -SMALLEST
                else f"no word speaks for {self.answers[n]}"
            )
            lines.append(f"{prompt}: {said}.")
        return "\n".join(lines)


def text_cues(model: Scorer, prompts: Sequence[SoftPrompt], text: str, labels: Sequence[str]) -> TextCues:
    """Delete each word of a text in turn, with every prompt and with none, in one batch."""
    labels = check_labels(labels)
    spans = text_words([text], getattr(model, "tokenizer", None)).spans(text) or [(0, len(text))]
    shorter = [cut_out(text, [span]) for span in spans]
    asked = [text, *(left or text for left in shorter)]
    scores = centered(model.label_log_probabilities([*prompts, None], asked, labels))
    answers = scores[:-1, 0].argmax(axis=1)
    change = scores[:, 1:] - scores[:, :1]  # [N + 1, W, C]
    return TextCues(
        names(prompts),
        text,
        tuple(spans),
        tuple(labels[one] for one in answers),
        np.stack([change[n, :, answer] for n, answer in enumerate(answers)]),
        np.stack([change[-1, :, answer] for answer in answers]),
    )
