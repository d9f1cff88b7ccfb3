"""What the frozen decoder makes of a prompt: the first pieces that it would write, beside the same without
the prompt.

The model itself puts the prompt into words, without a label or a training text: Patchscopes (Ghandeharioun et
al. 2024, arXiv 2401.06102) decode hidden states so, InSPEcT (Ramati et al. 2025, arXiv 2410.11660) soft
prompts. The prompt stands alone, before a gap, and before neutral texts.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from explorer.errors import DataError, ExplorerError
from explorer.evaluation.label_mass import LabelMass, label_mass
from explorer.evaluation.neutral_texts import ALONE, GAP, NEUTRAL, SEVERAL, where
from explorer.models.frozen import FrozenModel
from explorer.prompt import SoftPrompt, prompt_list
from explorer.results import Readings, Result
from explorer.vocabulary import Vocabulary
from explorer.words.arguments import as_list
from explorer.words.pieces import Mark, readable
from explorer.words.wording import count

SAME = 1e-6
"""nats; a smaller divergence is rounding"""
BYTES_AT_ONCE = 2**27
"""log-probabilities of all pieces that are held at once: of the prompts that go through the model together"""


@dataclass(frozen=True, eq=False, repr=False)
class DecoderReading(Result):
    """The first pieces that the decoder would write more often with one prompt than without it, in A
    readings: alone, in a gap, before texts.
    """

    prompt: str
    texts: tuple[str, ...]
    """[A] what stands behind the prompt: empty for nothing, `<extra_id_0>` for a gap, a text, or `mean of 4
    texts`
    """
    token_ids: np.ndarray
    """[A, K] int64, by falling evidence; ties go to the lower id"""
    pieces: tuple[tuple[str, ...], ...]
    """[A, K] as the tokenizer writes them"""
    probability: np.ndarray
    """[A, K] float64 0…1, of a piece as the first one; of several texts the mean, here and below"""
    without_prompt: np.ndarray
    """[A, K] 0…1, the same where the text stands alone, or nothing at all (eos)"""
    gain: np.ndarray
    """[A, K] log p − log q in nats, p with and q without the prompt; above 0 the prompt speaks for the
    piece
    """
    evidence: np.ndarray
    """[A, K] √p · (log p − log q), see `evidence`; what pieces are ranked by"""
    divergence: np.ndarray
    """[A] KL(p ‖ q) over all pieces in nats, 0 or more; 0: the prompt changes nothing"""
    mark: Mark = ""
    """how its pieces show where words begin or end"""

    @property
    def conclusion(self) -> str:
        """What to conclude, in one sentence."""
        if self.divergence.max() < SAME:
            return "The decoder writes the same with the prompt as without it."
        told = [
            f"{where(text)}: {', '.join(words[:3]) or 'no piece'}"
            for text, words in zip(self.texts, self.words(), strict=True)
        ]
        return f"The decoder begins more often than without the prompt, {'; '.join(told)}."

    def words(self) -> list[list[str]]:
        """[A] the listed pieces that are likelier with the prompt than without it, as people read them; at
        most K of each reading.
        """
        likelier = (self.evidence > 0) & (self.probability > self.without_prompt)
        return [
            [readable(piece, self.mark) for piece, more in zip(pieces, row, strict=True) if more]
            for pieces, row in zip(self.pieces, likelier, strict=True)
        ]

    def to_frame(self) -> pd.DataFrame:
        """One row per reading and piece: prompt, text (empty for the prompt alone), rank (from 1), token_id,
        piece, token, probability, without_prompt, gain (difference of the log-probabilities, nats), evidence,
        divergence (of the reading, the same in all its rows).
        """
        readings, ranks = self.token_ids.shape
        pieces = [piece for row in self.pieces for piece in row]
        return pd.DataFrame(
            {
                "prompt": self.prompt,
                "text": np.repeat(np.array(self.texts, object), ranks),
                "rank": np.tile(np.arange(1, ranks + 1), readings),
                "token_id": self.token_ids.ravel(),
                "piece": pieces,
                "token": [readable(piece, self.mark) for piece in pieces],
                **{
                    name: getattr(self, name).ravel()
                    for name in ("probability", "without_prompt", "gain", "evidence")
                },
                "divergence": np.repeat(self.divergence, ranks),
            }
        )


def evidence(log_p: np.ndarray, log_q: np.ndarray) -> np.ndarray:
    """√p · (log p − log q): how many standard errors the gain of a piece stands above zero, for one piece
    that is drawn from p; any shape.

    Of n draws about n·p are the piece, so that the standard error of its log-ratio is 1 / √(n·p) (the z of
    Monroe, Colaresi and Quinn 2008, with q known). The plain gain is led by pieces that nobody would ever
    write; the piece's part of the divergence, p · (log p − log q), by commas and articles.
    """
    return np.exp(0.5 * log_p) * (log_p - log_q)


def read_decoder(
    model: FrozenModel,
    vocabulary: Vocabulary,
    prompts: Sequence[SoftPrompt],
    texts: Sequence[str] = NEUTRAL,
    labels: Sequence[str] | None = None,
    k: int = 10,
    include_special: bool = False,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> "tuple[Readings[DecoderReading], LabelMass | None]":
    """The k first pieces of every prompt, and how likely class labels are among the first pieces; all prompts
    and texts in shared batches.

    texts: neutral ones, whose readings are averaged; in one that holds `<extra_id_0>` the gap is filled.
    labels: class labels, else those that each prompt records; without any there is no label mass.
    include_special: list sentinels, control pieces and padding rows too. seed: of random relabelings. Raises
    PromptError for prompts of another width and a prompt instead of a list, DataError for no texts, empty or
    overlong ones, a string instead of a list, or a label without a piece, ExplorerError for k below 1.
    """
    prompts, texts = prompt_list(prompts), as_list(texts, "texts")
    if not texts:
        raise DataError("found no texts; expected at least one to put behind the prompts")
    if k < 1:
        raise ExplorerError(f"found k = {k}; expected at least 1", "k")
    for prompt in prompts:
        vocabulary.check_width(prompt.vectors, prompt.name)
    model.text_ids(texts)  # refused by their own numbers, before anything runs
    gaps = model.tokenizer.sentinels.intersection(
        model.text_ids([GAP])[0]
    )  # none where the vocabulary has no sentinels
    groups = [[ALONE], *([[GAP]] if gaps else []), list(texts)]
    names = tuple(
        group[0] if len(group) == 1 else f"{SEVERAL}{count(len(group), 'text')}" for group in groups
    )
    if progress is not None:
        progress(
            f"asking the decoder about {count(len(prompts), 'prompt')}, alone and before "
            f"{count(len(texts), 'text')}"
        )
    asked = [text for group in groups for text in group]
    bare = _split(model.first_pieces([None], asked)[0].astype(np.float64), groups)  # A × [B, V]
    listed = np.arange(len(vocabulary)) if include_special else vocabulary.searchable_ids
    sets = _label_sets(prompts, labels) if prompts else []
    firsts = [_first_pieces(model, one) for one in sets]
    readings, mass = [], np.empty((len(prompts), len(groups), len(firsts)))
    for number, found in enumerate(_one_by_one(model, prompts, asked)):
        read = _split(found, groups)
        readings.append(_reading(prompts[number].name, names, read, bare, listed, vocabulary, k))
        mass[number] = _mass(read, firsts)
    whole = (
        label_mass(prompts, names, sets, firsts, vocabulary, mass, _mass(bare, firsts), labels is None, seed)
        if sets
        else None
    )
    return Readings(readings), whole


def _one_by_one(
    model: FrozenModel, prompts: Sequence[SoftPrompt], texts: Sequence[str]
) -> Iterator[np.ndarray]:
    """Log-probabilities [B, V] float64 of each prompt, of as many prompts at once as memory allows."""
    step = max(1, BYTES_AT_ONCE // (4 * len(texts) * len(model.network.embedding)))
    for start in range(0, len(prompts), step):
        for found in model.first_pieces(prompts[start : start + step], texts):
            yield found.astype(np.float64)


def _split(found: np.ndarray, groups: Sequence[Sequence[str]]) -> list[np.ndarray]:
    """[B, V] cut into the texts of each reading."""
    return np.split(found, np.cumsum([len(group) for group in groups])[:-1])


def _reading(
    name: str,
    names: tuple[str, ...],
    read: Sequence[np.ndarray],
    bare: Sequence[np.ndarray],
    listed: np.ndarray,
    vocabulary: Vocabulary,
    k: int,
) -> DecoderReading:
    """Of one prompt; read, bare: A × [B, V] with the prompt and without; listed: rows that may be named."""
    rows, divergence = [], []
    for log_p, log_q in zip(read, bare, strict=True):
        gain, shown = log_p - log_q, evidence(log_p, log_q).mean(axis=0)
        ids = listed[np.argsort(-shown[listed], kind="stable")[:k]]
        rows.append(
            (
                ids,
                np.exp(log_p).mean(axis=0)[ids],
                np.exp(log_q).mean(axis=0)[ids],
                gain.mean(axis=0)[ids],
                shown[ids],
            )
        )
        divergence.append(max(0.0, float((np.exp(log_p) * gain).sum(axis=1).mean())))
    ids, probability, without_prompt, gains, shares = (np.array(column) for column in zip(*rows, strict=True))
    pieces = tuple(tuple(vocabulary.pieces[token_id] for token_id in row) for row in ids)
    return DecoderReading(
        name,
        names,
        ids,
        pieces,
        probability,
        without_prompt,
        gains,
        shares,
        np.array(divergence),
        vocabulary.mark,
    )


def _label_sets(prompts: Sequence[SoftPrompt], labels: Sequence[str] | None) -> list[tuple[str, ...]]:
    """Different sets of class labels: those given, else those that prompts record. Two orders of the same
    labels are one set.
    """
    if labels is not None:
        return [tuple(labels)] if labels else []
    return list(
        {frozenset(one): one for prompt in reversed(prompts) if (one := prompt.origin.labels)}.values()
    )[::-1]


def _first_pieces(model: FrozenModel, labels: Sequence[str]) -> np.ndarray:
    """Rows that labels begin with, each once, ascending."""
    return np.unique([ids[0] for ids in model.targets(labels)])


def _mass(read: Sequence[np.ndarray], firsts: Sequence[np.ndarray]) -> np.ndarray:
    """[A, T] probability 0…1 that the first piece begins a label of each set, mean over the texts of a
    reading.
    """
    return np.array([[np.exp(log_p[:, ids]).sum(axis=1).mean() for ids in firsts] for log_p in read]).reshape(
        len(read), len(firsts)
    )
