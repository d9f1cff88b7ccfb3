"""The supervised part of the mixture: labelled reviews under several wordings, as in T5's own pretraining."""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from explorer.errors import DataError
from research.pretraining.corpus import open_text
from research.pretraining.objectives import EOS, IGNORED, PAD, Batch

WORDINGS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("", " Sentiment:", {"negative": "negative", "positive": "positive"}),
    ("Review: ", " Good or bad?", {"negative": "bad", "positive": "good"}),
    ("", " All in all it was", {"negative": "terrible", "positive": "great"}),
    ("Did they like it? ", "", {"negative": "no", "positive": "yes"}),
)
"""(before the text, after the text, label -> target). Never the bare text: the model would answer as a prompt
should teach it to.
"""

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True)
class SupervisedMixture:
    """Labelled texts, split into sentences and tokenized once."""

    sentences: list[list[np.ndarray]]
    """one list of sentences (piece ids) per text"""
    labels: list[str]
    before: list[np.ndarray]
    after: list[np.ndarray]
    targets: list[dict[str, np.ndarray]]
    """per wording: label -> target ids, ending with eos"""

    def draw(
        self, batch: int, input_length: int, generator: np.random.Generator, target_length: int = 4
    ) -> Batch:
        """Cut a random run of whole sentences out of random texts, under random wordings. Shapes: [B, T], [B,
        U].
        """
        inputs = np.full((batch, input_length), PAD, np.int64)
        targets = np.full((batch, target_length), IGNORED, np.int64)
        for row in range(batch):
            text = int(generator.integers(len(self.sentences)))
            wording = int(generator.integers(len(self.before)))
            room = input_length - 1 - len(self.before[wording]) - len(self.after[wording])
            limit = int(generator.integers(min(12, room), room + 1))
            body = self._run_of_sentences(text, limit, generator)
            ids = np.concatenate([self.before[wording], body, self.after[wording], [EOS]])
            inputs[row, : len(ids)] = ids
            target = self.targets[wording][self.labels[text]][:target_length]
            targets[row, : len(target)] = target
        return Batch(inputs, targets)

    def _run_of_sentences(self, text: int, limit: int, generator: np.random.Generator) -> np.ndarray:
        sentences = self.sentences[text]
        first = int(generator.integers(len(sentences)))
        ids = sentences[first]
        for sentence in sentences[first + 1 :]:
            if len(ids) + len(sentence) > limit:
                break
            ids = np.concatenate([ids, sentence])
        return ids[:limit]


def load_supervised(path: Path, tokenizer) -> SupervisedMixture:
    """Read a TSV with `text` and `label` (negative, positive) and tokenize it.

    Raises DataError when a column is missing or a label is neither negative nor positive.
    """
    with open_text(path) as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    if not rows or not {"text", "label"} <= set(rows[0]):
        raise DataError(
            f"{path}: found columns {sorted(rows[0]) if rows else 'none'}; expected `text` and `label`"
        )
    if unknown := {row["label"] for row in rows} - {"negative", "positive"}:
        raise DataError(f"{path}: found labels {sorted(unknown)[:3]}; expected negative and positive")

    def encode(texts: list[str]) -> list[np.ndarray]:
        if not texts:
            return []
        return [np.asarray(ids, np.int64) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]

    split = [[part for part in _SENTENCE_END.split(row["text"]) if part] for row in rows]
    flat = iter(encode([part for parts in split for part in parts]))
    sentences = [[next(flat) for _ in parts] for parts in split]
    targets = [
        {label: np.append(encode([word])[0], EOS) for label, word in words.items()}
        for _, _, words in WORDINGS
    ]
    before = [encode([prefix])[0] if prefix else np.empty(0, np.int64) for prefix, _, _ in WORDINGS]
    after = [encode([suffix])[0] if suffix else np.empty(0, np.int64) for _, suffix, _ in WORDINGS]
    return SupervisedMixture(sentences, [row["label"] for row in rows], before, after, targets)
