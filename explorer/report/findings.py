"""What a prompt learned, in ten seconds: how much it answers better than no prompt, and whether its tokens
lie among words. One finding a prompt.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from explorer.analysis.clusters import Clusters
from explorer.analysis.labels_found import LabelsFound
from explorer.analysis.metric import metric_for
from explorer.analysis.nulls import SIGNIFICANT_AT
from explorer.analysis.search import search
from explorer.analysis.special import without
from explorer.analysis.vectors import directionless
from explorer.prompt import SoftPrompt
from explorer.results import Readings, Result
from explorer.session import Session
from explorer.vocabulary import Vocabulary
from explorer.words.wording import count

WORDS = 8
"""words that a finding shows"""


@dataclass(frozen=True)
class NearWord:
    """The nearest word of one token."""

    position: int
    word: str
    cosine: float
    grouped: bool
    """whether its token lies among words that belong together, significantly"""


@dataclass(frozen=True, repr=False)
class Finding(Result):
    """One prompt in short: what it learned, and what it reads as."""

    prompt: str
    accuracy: float | None
    """on dev, at the step of these vectors, 0…1; None where that is not recorded, as the next three"""
    start: float | None
    """on dev, before training"""
    without_prompt: float | None
    """on dev, of the model without a prompt"""
    texts: int | None
    """of dev"""
    grouped: int
    """tokens that lie among words that belong together, significantly"""
    inherited: int
    """of these, the tokens that began at a word of their group"""
    tokens: int
    p: float
    """of the whole prompt, see analysis.clusters"""
    words: tuple[NearWord, ...]
    """the nearest words of its tokens, those of grouped tokens first, then the nearest"""
    found: int = 0
    """tokens that found a class label while they were trained, where that is more than chance gives"""
    found_labels: tuple[str, ...] = ()
    """those labels"""

    @property
    def gain(self) -> float | None:
        """Accuracy minus that without a prompt, −1…1."""
        return (
            None
            if self.accuracy is None or self.without_prompt is None
            else self.accuracy - self.without_prompt
        )

    @property
    def learned(self) -> bool | None:
        """Whether the gain is above what as many texts give by chance (one-sided 2.5 %, normal, the two
        accuracies as if of different texts, which is cautious); None where it is not recorded.
        """
        if self.gain is None or self.accuracy is None or self.without_prompt is None or not self.texts:
            return None
        spread = sum(share * (1 - share) for share in (self.accuracy, self.without_prompt)) / self.texts
        return self.gain > 1.96 * math.sqrt(spread)

    @property
    def reads(self) -> bool:
        """Whether the whole prompt lies nearer to groups of words than random prompts of its shape do, and
        some token of it significantly.
        """
        return self.grouped > 0 and self.p <= SIGNIFICANT_AT

    @property
    def conclusion(self) -> str:
        """What to conclude, in one sentence: does it read as words, and did it learn?"""
        points = (
            None
            if self.gain is None
            else f"{abs(100 * self.gain):.0f} point{'s' * (f'{abs(100 * self.gain):.0f}' != '1')}"
        )
        kept = "; its words are those it began with" if self.reads and self.inherited == self.grouped else ""
        reads = "Reads as words" if self.reads else "Reads as noise"
        if self.found:
            labels = " and ".join(filter(None, (", ".join(self.found_labels[:-1]), *self.found_labels[-1:])))
            found = f"{self.found} of {count(self.tokens, 'token')} found {labels} while trained"
            reads = f"Reads as words, {found}" if self.reads else f"Its words are noise, but {found}"
        if self.learned is None:
            return f"{reads}{kept}; what it learned is not recorded."
        if self.learned:
            return f"{reads}; +{points} over no prompt{kept}."
        return f"{reads}; no gain over no prompt that {count(self.texts or 0, 'text')} can show{kept}."

    @property
    def grouped_in_words(self) -> str:
        """How many tokens lie in groups."""
        return (
            f"{self.grouped} of {count(self.tokens, 'token')} "
            f"{'lies' if 1 in (self.grouped, self.tokens) else 'lie'} among words that belong together"
        )

    def to_frame(self) -> pd.DataFrame:
        """One row: prompt, accuracy, start, without_prompt, gain, grouped, inherited, tokens, p, words."""
        row = {
            name: getattr(self, name)
            for name in (
                "prompt",
                "accuracy",
                "start",
                "without_prompt",
                "gain",
                "grouped",
                "inherited",
                "tokens",
                "p",
            )
        }
        return pd.DataFrame([{**row, "words": ", ".join(one.word for one in self.words)}])


def findings(session: Session) -> Readings[Finding]:
    """One finding for each prompt of a session."""
    return Readings(
        [
            _finding(prompt, groups, found, session.vocabulary_of(prompt))
            for prompt, groups, found in zip(
                session.prompts, session.clusters(), session.change(labels=None).labels_found(), strict=True
            )
        ]
    )


def _finding(prompt: SoftPrompt, groups: Clusters, labels: LabelsFound, vocabulary: Vocabulary) -> Finding:
    origin = prompt.origin
    dev = origin.data.get("dev")
    texts = dev.get("examples") if isinstance(dev, dict) else None
    begun = [one.dev_accuracy for one in origin.history if one.step == 0]
    (nearest,), (cosine,) = (
        found.T for found in search(prompt.vectors, vocabulary, 1, metric_for("auto", vocabulary))
    )
    somewhere = np.flatnonzero(~directionless(prompt.vectors) & without(groups.special, prompt.length))
    words: dict[str, NearWord] = {}
    for position in sorted(
        somewhere.tolist(), key=lambda position: (not groups.significant[position], -cosine[position])
    ):
        word = vocabulary.readable(vocabulary.pieces[nearest[position]])
        words.setdefault(
            word, NearWord(position, word, float(cosine[position]), bool(groups.significant[position]))
        )
    return Finding(
        prompt=prompt.name,
        accuracy=origin.dev_accuracy,
        start=begun[0] if begun else None,
        without_prompt=origin.without_prompt,
        texts=texts if isinstance(texts, int) else None,
        grouped=int(groups.significant.sum()),
        inherited=int(groups.inherited.sum()),
        tokens=prompt.length - len(groups.special),
        p=groups.prompt_p,
        words=tuple(words.values())[:WORDS],
        found=len(labels.tokens) if labels.found else 0,
        found_labels=labels.labels_of_tokens if labels.found else (),
    )
