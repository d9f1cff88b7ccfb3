"""How much accuracy survives when a prompt is replaced by its nearest words?

The frozen model is run again with every token replaced by its nearest word. A prompt whose words carry what
its vectors do answers alike; one that only lies near words does not (Khashabi et al. 2022, "Prompt
waywardness"). No drop is consistent with the reading; it proves nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from explorer.analysis.decomposition import rebuilt
from explorer.analysis.nulls import stream
from explorer.analysis.search import search
from explorer.choices import METRICS
from explorer.errors import DataError, ExplorerError
from explorer.evaluation.bootstrap import LEVEL, interval, resamples
from explorer.evaluation.crossed import crossed_interval
from explorer.evaluation.progress import counted
from explorer.evaluation.scorer import centered
from explorer.evaluation.verdict import WITHIN, span, verdict
from explorer.models.frozen import FrozenModel
from explorer.prompt import SoftPrompt, check_whole
from explorer.results import Result
from explorer.texts.tasks import Task
from explorer.vocabulary import Vocabulary
from explorer.words.wording import count

NORM_KEPT = "-norm-kept"
RANDOM_WORDS, SPARSE, TYPED = "random-words", "sparse-", "typed"
SPARSE_WORDS = (1, 2, 3, 5, 10, 20)
"""words of each token that the prompt is rebuilt from"""


@dataclass(frozen=True, eq=False, repr=False)
class Reading:
    """One way to replace a prompt, and what the model then answers on B texts."""

    name: str
    words: tuple[str, ...] | None
    """[P] the pieces it is made of; None where it is made of none"""
    probabilities: np.ndarray
    """[D, B, C] float32, rows sum to 1; D draws, more than one for random words only"""


@dataclass(frozen=True, eq=False, repr=False)
class Faithfulness(Result):
    """What the model answers with a prompt and with everything that could stand in its place."""

    prompt: str
    task: Task
    readings: tuple[Reading, ...]
    """the first is the soft prompt itself"""
    curve: tuple[float, ...]
    """shares a of the nearest words in (1 − a)·soft + a·words"""
    curve_probabilities: np.ndarray
    """[A, B, C]"""
    seed: int

    @property
    def gold(self) -> np.ndarray:
        """[B] index of each text's label."""
        return self.task.gold

    def to_frame(self) -> pd.DataFrame:
        """One row per reading: reading, accuracy, agreement, kl, low, high, difference, difference_low,
        difference_high, flips, draws, n, words.

        accuracy, agreement with the soft prompt's answers: 0…1, higher is better. kl: mean KL(soft ‖ reading)
        over the labels, in nats, 0 is the same. low, high and those of the difference in accuracy from the
        soft prompt: 95 % percentile bootstrap over the texts, paired (the same texts are drawn for both).
        Random words: means over draws; their intervals are over draws and texts (see `crossed_interval`),
        since other words could have been drawn.

        Then share: of the prompt's gain over no prompt, (accuracy − none) / (soft − none), with its bootstrap
        interval, nan where the prompt has no clear gain to share; kappa: Cohen's, agreement with the soft
        prompt beyond chance; correlation: of ℓ over the texts (Spearman, mean over labels), which no shift of
        the prior can fake. All three are 1 for the prompt itself.
        """
        draws = resamples(self.seed, len(self.gold))
        return pd.DataFrame([self._row(reading, draws) for reading in self.readings])

    def _row(self, reading: Reading, draws: np.ndarray) -> dict:
        soft, gold = self.readings[0].probabilities[0], self.gold
        given = reading.probabilities.argmax(axis=2)  # [D, B]
        right = (given == gold).astype(np.float64)
        difference = right - (soft.argmax(axis=1) == gold)
        low, high = interval(right[0], draws) if len(right) == 1 else crossed_interval([[right]], least=0)
        difference_low, difference_high = (
            interval(difference[0], draws) if len(right) == 1 else crossed_interval([[difference]])
        )
        return {
            "reading": reading.name,
            "accuracy": right.mean(),
            "agreement": (given == soft.argmax(axis=1)).mean(),
            "kl": _divergence(soft, reading.probabilities).mean(),
            "low": low,
            "high": high,
            "difference": difference.mean(),
            "difference_low": difference_low,
            "difference_high": difference_high,
            "flips": round((given != soft.argmax(axis=1)).sum(axis=1).mean()),
            "draws": len(given),
            "n": len(gold),
            "words": None if reading.words is None else " ".join(reading.words),
            **self._shares(right.mean(axis=0), draws),
            "kappa": float(np.mean([cohen_kappa(soft.argmax(axis=1), one) for one in given])),
            "correlation": float(np.mean([_rank_correlation(soft, one) for one in reading.probabilities])),
        }

    def _shares(self, right: np.ndarray, draws: np.ndarray) -> dict[str, float]:
        """The share of the gain of a reading that is right on texts [B] (0…1), and its interval."""
        bare = next(one for one in self.readings if one.name == "none").probabilities[0].argmax(axis=1)
        none = (bare == self.gold).astype(np.float64)
        gain = (self.readings[0].probabilities[0].argmax(axis=1) == self.gold) - none
        if not interval(gain, draws)[0] > 0:
            return dict.fromkeys(("share", "share_low", "share_high"), float("nan"))
        gains = gain[draws].mean(axis=1)
        kept = (right - none)[draws].mean(axis=1)[gains > 0] / gains[gains > 0]
        low, high = np.quantile(kept, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return {
            "share": float((right - none).mean() / gain.mean()),
            "share_low": float(low),
            "share_high": float(high),
        }

    @property
    def conclusion(self) -> str:
        """What to conclude, in plain words: does accuracy survive when the nearest words (cosine) stand in
        the prompt's place?
        """
        draws, texts = resamples(self.seed, len(self.gold)), len(self.gold)
        soft, words, none, random = (
            self._row(one, draws)
            for name in ("soft", "cosine", "none", RANDOM_WORDS)
            for one in self.readings
            if one.name == name
        )
        limits = words["difference_low"], words["difference_high"]
        said = {
            "more": "The nearest words do better than the prompt",
            "less": "The nearest words do not do what the prompt does",
            "equal": f"The nearest words do as well as the prompt, within {WITHIN}",
            "open": "These texts cannot tell whether the nearest words do as well as the prompt",
        }[verdict(*limits, texts)]
        changed = (
            f"accuracy {words['accuracy']:.3f} against {soft['accuracy']:.3f}, {span(*limits)} for the "
            "difference"
        )
        idle = "" if none["difference_high"] < 0 else "; the prompt is not clearly better than no prompt"
        return (
            f"{said} ({changed}){idle} ({none['accuracy']:.3f} without a prompt, "
            f"{random['accuracy']:.3f} with random words)."
        )

    def curve_frame(self) -> pd.DataFrame:
        """One row per share of words: share, accuracy, agreement, kl (see to_frame)."""
        soft = self.readings[0].probabilities[0]
        given = self.curve_probabilities.argmax(axis=2)
        return pd.DataFrame(
            {
                "share": self.curve,
                "accuracy": (given == self.gold).mean(axis=1),
                "agreement": (given == soft.argmax(axis=1)).mean(axis=1),
                "kl": _divergence(soft, self.curve_probabilities).mean(axis=1),
            }
        )

    def flips_frame(self, reading: str) -> pd.DataFrame:
        """Texts that a reading answers otherwise than the soft prompt: text, label, soft, reading (of its
        first draw).

        Raises ExplorerError for a reading that was not taken.
        """
        found = {one.name: one for one in self.readings}
        if reading not in found:
            raise ExplorerError(f"found the reading {reading!r}; expected one of {', '.join(found)}")
        soft, given = (one.probabilities[0].argmax(axis=1) for one in (self.readings[0], found[reading]))
        return pd.DataFrame(
            [
                (
                    self.task.texts[b],
                    self.task.answers[b],
                    self.task.labels[soft[b]],
                    self.task.labels[given[b]],
                )
                for b in np.flatnonzero(soft != given)
            ],
            columns=["text", "label", "soft", "reading"],
        )


def _divergence(soft: np.ndarray, other: np.ndarray) -> np.ndarray:
    """KL(soft ‖ other) over labels: soft [B, C], other [D, B, C] → [D, B] float64, in nats."""
    tiny = np.finfo(np.float32).tiny
    p, q = soft.astype(np.float64).clip(tiny), other.astype(np.float64).clip(tiny)
    return (p * (np.log(p) - np.log(q))).sum(axis=2).clip(min=0)


def cohen_kappa(first: np.ndarray, second: np.ndarray) -> float:
    """Agreement of two rows of answers [B] beyond chance (Cohen 1960): 1 where they are the same, 0 by
    chance.
    """
    agreed = (first == second).mean()
    classes = int(max(first.max(), second.max())) + 1
    chance = (np.bincount(first, minlength=classes) * np.bincount(second, minlength=classes)).sum() / len(
        first
    ) ** 2
    return 1.0 if agreed == 1 else float((agreed - chance) / (1 - chance))


def _rank_correlation(soft: np.ndarray, other: np.ndarray) -> float:
    """Spearman's correlation over the texts of ℓ from probabilities [B, C], mean over the labels whose score
    varies; nan where none does.
    """
    from scipy.stats import rankdata

    tiny = np.finfo(np.float32).tiny
    first, second = (centered(np.log(one.astype(np.float64).clip(tiny))) for one in (soft, other))
    found = [
        np.corrcoef(rankdata(first[:, c]), rankdata(second[:, c]))[0, 1]
        for c in range(soft.shape[1])
        if np.ptp(first[:, c]) > 0 and np.ptp(second[:, c]) > 0
    ]
    return float(np.mean(found)) if found else float("nan")


def discretized(prompt: SoftPrompt, vocabulary: Vocabulary) -> dict[str, tuple[np.ndarray, tuple[str, ...]]]:
    """Each token's nearest word by every metric, with the word's own norm and with the token's: name →
    (vectors [P, H], pieces [P]).
    """
    found: dict[str, tuple[np.ndarray, tuple[str, ...]]] = {}
    norms = np.linalg.norm(prompt.vectors, axis=1, keepdims=True)
    for metric in METRICS:
        ids = search(prompt.vectors, vocabulary, 1, metric)[0][:, 0]
        rows, pieces = vocabulary.embedding[ids], tuple(vocabulary.pieces[i] for i in ids)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        found[metric] = rows, pieces
        found[metric + NORM_KEPT] = rows * norms / np.where(lengths > 0, lengths, 1), pieces
    return found


def sums_of_words(prompt: SoftPrompt, vocabulary: Vocabulary) -> dict[str, np.ndarray]:
    """The prompt rebuilt from the first 1 … 20 words of each token (see analysis.decomposition): `sparse-1` …
    → vectors [P, H].
    """
    return {
        f"{SPARSE}{words}": vectors
        for words, vectors in rebuilt(prompt.vectors, vocabulary, SPARSE_WORDS).items()
    }


def stand_ins(
    prompt: SoftPrompt, vocabulary: Vocabulary, draws: int, seed: int
) -> dict[str, tuple[list[np.ndarray | None], tuple[str, ...] | None]]:
    """Everything that is put in the prompt's place: name → (one array [P, H] or None per draw, pieces [P] or
    None).
    """
    generator = stream(seed, "stand-ins")
    random = [
        vocabulary.embedding[generator.choice(vocabulary.searchable_ids, prompt.length)] for _ in range(draws)
    ]
    found: dict = {"soft": ([prompt.vectors], None)}
    found |= {
        name: ([vectors], pieces) for name, (vectors, pieces) in discretized(prompt, vocabulary).items()
    }
    found |= {name: ([vectors], None) for name, vectors in sums_of_words(prompt, vocabulary).items()}
    found |= {"none": ([None], None), RANDOM_WORDS: (random, None)}
    if prompt.initial is not None:
        found["initial"] = [prompt.initial], None
    found["shuffled"] = [prompt.vectors[generator.permutation(prompt.length)]], None
    found["mean"] = [np.repeat(prompt.vectors.mean(axis=0, keepdims=True), prompt.length, axis=0)], None
    return found


def typed_words(
    texts: Sequence[str], vocabulary: Vocabulary
) -> dict[str, tuple[list[np.ndarray | None], tuple[str, ...]]]:
    """Words that somebody typed, as the model reads text: `typed-1` … → one array [their pieces, H], pieces.
    Raises DataError for a text without a piece.
    """
    found: dict[str, tuple[list[np.ndarray | None], tuple[str, ...]]] = {}
    for number, text in enumerate(texts, start=1):
        ids = vocabulary.encode(text)
        if not text.strip() or not ids:
            raise DataError(f"found the words {text!r}; expected some that the tokenizer knows", "words")
        found[f"{TYPED}-{number}"] = [vocabulary.embedding[ids]], tuple(vocabulary.pieces[one] for one in ids)
    return found


def faithfulness(
    model: FrozenModel,
    vocabulary: Vocabulary,
    prompt: SoftPrompt,
    task: Task,
    draws: int = 5,
    points: int = 11,
    seed: int = 0,
    share: Callable[[float], None] | None = None,
    progress: Callable[[str], None] | None = None,
    typed: Sequence[str] = (),
) -> Faithfulness:
    """Run the model with the prompt, with its nearest words and with what neither is, all in shared batches.

    draws: of random words. typed: words to put in the prompt's place. points: of the curve from the soft
    prompt (a = 0) to its nearest words by cosine (a = 1). share: told how much is done, 0…1. Raises
    PromptError for another width, DataError for unusable texts or labels, ExplorerError for numbers out of
    range.
    """
    check_whole(prompt, "faithfulness")
    vocabulary.check_width(prompt.vectors, prompt.name)
    if draws < 1 or points < 2:
        raise ExplorerError(
            f"found {count(draws, 'draw')} and {count(points, 'point')}; expected at least 1 and 2"
        )
    candidates = stand_ins(prompt, vocabulary, draws, seed) | typed_words(typed, vocabulary)
    shares = np.linspace(0, 1, points)
    words = candidates["cosine"][0][0]
    between = [((1 - a) * prompt.vectors + a * words).astype(np.float32) for a in shares]
    asked = [vectors for group, _ in candidates.values() for vectors in group] + between
    if progress is not None:
        progress(
            f"{prompt.name}: {count(len(task), 'text')} with the prompt and with {len(asked) - 1} "
            "stand-ins for it"
        )
    with counted(len(asked) * len(task), "reading by running", share) as done:
        probabilities = model.label_probabilities(asked, task.texts, task.labels, done)
    readings, start = [], 0
    for name, (group, pieces) in candidates.items():
        readings.append(Reading(name, pieces, probabilities[start : start + len(group)]))
        start += len(group)
    return Faithfulness(
        prompt.name, task, tuple(readings), tuple(shares.tolist()), probabilities[start:], seed
    )


def mirrored(prompt: SoftPrompt, vocabulary: Vocabulary) -> float | None:
    """Share of positions whose nearest word (cosine) is the piece of the sentence the prompt was pulled
    towards; None for others.
    """
    if prompt.origin.read_as is None:
        return None
    wanted = np.resize(vocabulary.encode(prompt.origin.read_as), prompt.length)
    return float((search(prompt.vectors, vocabulary, 1)[0][:, 0] == wanted).mean())
