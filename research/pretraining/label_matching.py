"""Label matching: which of two to four words fits this text? Self-supervised, so that label words come to
mean something.

A prompt for classification asks a frozen model to answer with one word out of a few. Text alone teaches that
rarely; here every window of text asks it. The right word is one of the four nearest to the window's mean
embedding, taken out of the text; half of the time one of *its* nearest words stands for it, which need not
occur in the text; some are words of two pieces, as labels often are. The wrong words are right words of other
windows.
"""

import re

import numpy as np

from research.pretraining.objectives import EOS, IGNORED, PAD, Batch

TWO_PIECES_SHARE, NEAR_SHARE = 0.35, 0.5
"""of the rows: the word has two pieces; a near word stands for the right one"""
NEAREST = 4
"""words near a text, and near a word, that one is drawn from"""
WORDINGS = (("or", "", "?"), (",", "Options:", "."), (",", "Which word fits:", "?"))
"""(between options, before them, after them)"""
FREQUENT, RARE = 600, 9000
"""a word's piece has an id in this range: neither a function word nor hardly ever seen"""


class LabelMatching:
    """Draws batches of label matching from windows of text."""

    def __init__(self, tokenizer, embedding: np.ndarray):
        """embedding: [V, H], the warm-started table, by which words are near to texts and to one another."""
        vocabulary = tokenizer.get_vocab().items()
        self.words = np.array(
            sorted(
                i for piece, i in vocabulary if FREQUENT <= i < RARE and re.fullmatch("▁[a-z]{4,}", piece)
            ),
            np.int64,
        )
        self.is_word, self.begins, self.continues = (np.zeros(len(embedding), bool) for _ in range(3))
        self.is_word[self.words] = True
        for piece, i in vocabulary:
            self.begins[i] = i >= 300 and bool(re.fullmatch("▁[a-z]{2,}", piece))
            self.continues[i] = i >= 100 and bool(re.fullmatch("[a-z]{2,}", piece))
        self.unit = embedding / np.maximum(np.linalg.norm(embedding, axis=1, keepdims=True), 1e-9)
        self.near = self._nearest_words()
        self.wordings = [tuple(_ids(tokenizer, part) for part in wording) for wording in WORDINGS]

    def _nearest_words(self) -> dict[int, np.ndarray]:
        similarity = self.unit[self.words] @ self.unit[self.words].T
        np.fill_diagonal(similarity, -1)
        count = min(NEAREST, max(len(self.words) - 1, 0))
        if not count:
            return {}
        return {
            int(word): self.words[top]
            for word, top in zip(
                self.words, np.argpartition(-similarity, count - 1, axis=1)[:, :count], strict=True
            )
        }

    def draw(
        self,
        window: np.ndarray,
        input_length: int,
        generator: np.random.Generator,
        two_pieces: bool = True,
        target_length: int = 4,
    ) -> Batch:
        """One question a row. window: [B, L] ids; inputs [B, input_length], targets [B, target_length]. Rows
        without words are answered by eos alone.
        """
        words = [self._word(row, generator, two_pieces) for row in window]
        inputs = np.full((len(window), input_length), PAD, np.int64)
        targets = np.full((len(window), target_length), IGNORED, np.int64)
        for row, found in enumerate(words):
            if found is None:
                inputs[row, 0] = targets[row, 0] = EOS
                continue
            word, taken = found
            ask = self._question(row, words, window[row], generator)
            room = int(
                generator.integers(
                    min(16, max(1, input_length - len(ask) - 1)), max(2, input_length - len(ask))
                )
            )
            body = window[row][~taken & (window[row] != EOS)][:room]
            ids = np.concatenate([ask, body, [EOS]] if generator.random() < 0.5 else [body, ask, [EOS]])[
                :input_length
            ]
            inputs[row, : len(ids)] = ids
            target = np.append(word, EOS)[:target_length]
            targets[row, : len(target)] = target
        return Batch(inputs, targets)

    def _word(
        self, window: np.ndarray, generator: np.random.Generator, two_pieces: bool
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """A word (its pieces) that fits a text [L], and the places it is taken from [L] bool; None where the
        text has too few words.
        """
        taken = np.zeros(len(window), bool)
        if two_pieces and generator.random() < TWO_PIECES_SHARE:
            places = np.flatnonzero(
                self.begins[window[:-2]] & self.continues[window[1:-1]] & self.begins[window[2:]]
            )
            if len(places):
                place = int(generator.choice(places))
                taken[place : place + 2] = True
                return window[place : place + 2].copy(), taken
        found = np.unique(window[self.is_word[window]])
        if len(found) < 3:
            return None
        mean = self.unit[window[window > 300]].mean(axis=0)
        word = int(generator.choice(found[np.argsort(-(self.unit[found] @ mean))[:NEAREST]]))
        said = int(generator.choice(self.near[word])) if generator.random() < NEAR_SHARE else word
        return np.array([said]), (window == word) | (window == said)

    def _question(
        self, row: int, words: list, window: np.ndarray, generator: np.random.Generator
    ) -> np.ndarray:
        """The ids that ask which word fits row `row`: its own and one to three of other rows, in random
        order, under a random wording.
        """
        own = words[row][0]
        others = [
            found[0]
            for found in (words[i] for i in generator.permutation(len(words))[:8])
            if found is not None
        ]
        others = [word for word in others if word[0] != own[0] and not (window == word[0]).any()]
        options = [own, *others[: int(generator.integers(1, 4))]]
        options = [options[i] for i in generator.permutation(len(options))]
        between, before, after = self.wordings[int(generator.integers(len(self.wordings)))]
        return np.concatenate(
            [before, *(part for option in options[:-1] for part in (option, between)), options[-1], after]
        )


def _ids(tokenizer, text: str) -> np.ndarray:
    return np.asarray(tokenizer(text, add_special_tokens=False)["input_ids"] if text else [], np.int64)
