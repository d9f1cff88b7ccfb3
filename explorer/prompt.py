"""The soft prompt: its vectors, where they came from, and how they moved while it was trained."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

from explorer.errors import PromptError
from explorer.words.wording import count


@dataclass(frozen=True)
class RowSource:
    """What one prompt token was initialized from: a class label, a vocabulary piece, or neither."""

    label: str | None = None
    piece: str | None = None

    def __str__(self) -> str:
        return f"label {self.label}" if self.label is not None else self.piece or "random"


@dataclass(frozen=True)
class Evaluation:
    """One measurement during training."""

    step: int
    loss: float | None
    """mean training loss since the last measurement, nats per example; None at step 0"""
    dev_accuracy: float | None
    """0…1"""


@dataclass(frozen=True, repr=False)
class Origin:
    """Where a prompt came from. What a format does not record stays None."""

    format: str = "memory"
    """`memory` for vectors that were not read from a file"""
    path: Path | None = None
    key: str | None = None
    """name of the array inside the file"""
    dtype: str = "float32"
    dropped_rows: int = 0
    base_model: str | None = None
    base_fingerprint: str | None = None
    task_type: str | None = None
    """what PEFT calls the kind of that model and its task: `SEQ_2_SEQ_LM`, `CAUSAL_LM`, `SEQ_CLS`, …"""
    beside: tuple[str, ...] = ()
    """what the file holds besides the prompt, in words: a classifier head, whole embedding tables"""
    task: str | None = None
    labels: tuple[str, ...] | None = None
    initialization: str | None = None
    """`random`, `sampled-vocab` or `class-label`"""
    seed: int | None = None
    step: int | None = None
    """training step these vectors were taken at"""
    rows: tuple[RowSource, ...] | None = None
    """[P] what each prompt token was initialized from"""
    template: str | None = None
    """what the model read in place of a text while the prompt was trained, `{text}` in it"""
    history: tuple[Evaluation, ...] = ()
    without_prompt: float | None = None
    """accuracy of the frozen model without a prompt on the dev set of `history`, 0…1"""
    hyperparameters: dict[str, object] = field(default_factory=dict)
    data: dict[str, object] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    uploaded: bool = False
    """whether a visitor of a server gave it: the base model that it names is then sought among the bundled
    ones only
    """

    def __repr__(self) -> str:
        """One line: format, task, initialization, seed, base model, and how much is recorded besides."""
        seed = None if self.seed is None else f"seed {self.seed}"
        told = [
            part
            for part in (self.format, self.task, self.initialization, seed, self.base_model)
            if part is not None
        ]
        return (
            f"<Origin: {', '.join(told)}; {count(len(self.history), 'measurement')}, "
            f"{count(len(self.warnings), 'warning')}>"
        )

    @property
    def read_as(self) -> str | None:
        """The sentence this prompt was pulled towards while it was trained (Khashabi et al. 2022); None for
        others.
        """
        sentence = self.hyperparameters.get("read_as")
        return sentence if isinstance(sentence, str) else None

    @property
    def dev_accuracy(self) -> float | None:
        """Accuracy on the dev set at the step these vectors were taken, 0…1."""
        at_step = [e.dev_accuracy for e in self.history if e.step == self.step and e.dev_accuracy is not None]
        return at_step[-1] if at_step else None

    @property
    def gain(self) -> float | None:
        """What the prompt adds on the dev set: its accuracy minus that without a prompt, −1…1, higher is
        better.
        """
        return (
            None
            if self.dev_accuracy is None or self.without_prompt is None
            else self.dev_accuracy - self.without_prompt
        )


@dataclass(frozen=True, eq=False, repr=False)
class Trajectory:
    """A prompt's vectors at saved training steps; the first are the initialization where `from_start` says
    so.

    Raises PromptError for shapes that do not belong together, steps that do not ascend, and NaN or infinity.
    """

    vectors: np.ndarray
    """[S, P, H] float32"""
    steps: np.ndarray
    """[S] int64, ascending"""
    from_start: bool = True
    """whether the first are the vectors before training; else training had begun when they were saved"""

    def __post_init__(self) -> None:
        if self.vectors.ndim != 3 or self.steps.shape != self.vectors.shape[:1]:
            raise PromptError(
                f"trajectory of shape {self.vectors.shape} with {self.steps.shape} steps; expected "
                "[S, P, H] and [S]"
            )
        if 0 in self.vectors.shape:
            raise PromptError(
                f"trajectory of shape {self.vectors.shape}; expected at least one step, one prompt "
                "token and one coordinate"
            )
        if (np.diff(self.steps) <= 0).any():
            raise PromptError(
                f"trajectory with the steps {', '.join(str(step) for step in self.steps[:8])}; "
                "expected ascending steps"
            )
        vectors = _single_precision(self.vectors)
        if not np.isfinite(vectors).all():
            raise PromptError(
                "trajectory holds NaN or infinity; training has probably diverged: use an earlier "
                "checkpoint or delete the trajectory"
            )
        object.__setattr__(self, "vectors", vectors)

    def __repr__(self) -> str:
        """One line: steps and shape."""
        return (
            f"<Trajectory: {len(self.steps)} steps, {self.steps[0]} to {self.steps[-1]}, of "
            f"{self.vectors.shape[1]} × {self.vectors.shape[2]}>"
        )

    @property
    def initial(self) -> np.ndarray | None:
        """[P, H] float32, the vectors before training; None when they were not saved."""
        return self.vectors[0] if self.from_start else None


Vectors: TypeAlias = "np.ndarray | SoftPrompt"
"""an array [P, H], or a prompt in its place"""


def _single_precision(array: np.ndarray) -> np.ndarray:
    """Contiguous float32; what is too large becomes infinite, which the checks after it report."""
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, np.float32)


@dataclass(frozen=True, eq=False, repr=False)
class SoftPrompt:
    """A trained soft prompt: P vectors that stand before the embedded text of a frozen model.

    Two are equal only when they are one object. Raises PromptError for vectors that are not a finite,
    non-empty [P, H] array, and for a trajectory or a record of rows that is not about P tokens.
    """

    vectors: np.ndarray
    """[P, H] float32"""
    name: str = "prompt"
    origin: Origin = Origin()
    trajectory: Trajectory | None = None
    decoder_vectors: np.ndarray | None = None
    """[D, H] float32, what stands before the decoder's input besides: of PEFT's multitask prompts of a T5"""

    def __post_init__(self) -> None:
        vectors = np.asarray(self.vectors)
        if vectors.ndim != 2 or 0 in vectors.shape:
            raise PromptError(
                f"{self.name}: found an array of shape {vectors.shape}; expected prompt tokens × "
                "embedding size, [P, H]"
            )
        if not np.issubdtype(vectors.dtype, np.floating) and vectors.dtype.name != "bfloat16":
            raise PromptError(f"{self.name}: found {vectors.dtype} values; expected floating-point vectors")
        vectors = _single_precision(vectors)
        if bad := int((~np.isfinite(vectors)).any(axis=1).sum()):
            raise PromptError(
                f"{self.name}: {bad} of {len(vectors)} prompt tokens hold NaN or infinity; "
                "training has probably diverged: use an earlier checkpoint or a lower learning rate"
            )
        if self.trajectory is not None and self.trajectory.vectors.shape[1:] != vectors.shape:
            raise PromptError(
                f"{self.name}: vectors of shape {vectors.shape} with a trajectory of shape "
                f"{self.trajectory.vectors.shape}; expected [P, H] and [S, P, H]"
            )
        if self.origin.rows is not None and len(self.origin.rows) != len(vectors):
            raise PromptError(
                f"{self.name}: {len(vectors)} prompt tokens, but the origin of "
                f"{len(self.origin.rows)} is recorded; expected one each"
            )
        object.__setattr__(self, "vectors", vectors)
        if self.decoder_vectors is not None:
            object.__setattr__(self, "decoder_vectors", _single_precision(self.decoder_vectors))

    def __repr__(self) -> str:
        """One line: name, shape, where it comes from."""
        origin = self.origin
        told = [part for part in (origin.task, origin.initialization, origin.format) if part]
        return f"<SoftPrompt {self.name}: {self.length} × {self.dimension}; {', '.join(told)}>"

    @property
    def length(self) -> int:
        """P, the number of prompt tokens."""
        return len(self.vectors)

    @property
    def dimension(self) -> int:
        """H, the embedding size."""
        return self.vectors.shape[1]

    @property
    def initial(self) -> np.ndarray | None:
        """[P, H] float32, the vectors before training, where they were saved."""
        return None if self.trajectory is None else self.trajectory.initial

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        """[P, H] the vectors: a prompt may stand wherever an array of its vectors may."""
        return np.array(self.vectors, dtype, copy=copy)

    @property
    def saved(self) -> Trajectory:
        """The trajectory. Raises PromptError when none was saved."""
        if self.trajectory is None:
            raise PromptError(
                f"{self.name} has no saved trajectory; expected trajectory.safetensors beside its weights"
            )
        return self.trajectory

    def at(self, index: int) -> "SoftPrompt":
        """The prompt as it was at saved step number `index` of its trajectory. Raises PromptError when none
        was saved.
        """
        step = int(self.saved.steps[index])
        return replace(
            self,
            vectors=self.saved.vectors[index],
            name=f"{self.name}@{step}",
            origin=replace(self.origin, step=step),
            trajectory=None,
            decoder_vectors=None,
        )

    def save(self, folder: str | Path, overwrite: bool = False) -> Path:
        """Write the prompt as an adapter folder that PEFT loads, with its record and trajectory; returns the
        folder.

        The same as `explorer.save`. Raises WriteError when the folder exists and `overwrite` is False, or
        when it cannot be written.
        """
        return saving(self, folder, overwrite)


def _unknown(prompt: SoftPrompt, folder: str | Path, overwrite: bool = False) -> Path:
    raise PromptError(f"{prompt.name}: nothing can save it yet; call explorer.save(prompt, folder)")


saving: Callable[[SoftPrompt, str | Path, bool], Path] = _unknown
"""what `SoftPrompt.save` calls: `formats` puts its writer here, since a prompt knows no formats"""


def prompt_list(given: Sequence[SoftPrompt]) -> tuple[SoftPrompt, ...]:
    """The given prompts. Raises PromptError for a string or a single prompt where a list is meant, and for
    what is no prompt.
    """
    if isinstance(given, str | SoftPrompt):
        raise PromptError(f"prompts: found {given!r}; expected a list of prompts")
    found = tuple(given)
    for one in found:
        if not isinstance(one, SoftPrompt):
            raise PromptError(
                f"prompts: found a {type(one).__name__} among them; expected prompts, as read_prompt "
                "returns them"
            )
    return found


HEADS = {
    "SEQ_CLS": "classes of texts",
    "TOKEN_CLS": "classes of words",
    "QUESTION_ANS": "answers within a text",
    "FEATURE_EXTRACTION": "features",
}
"""PEFT's task types whose models do not answer as language models, and what they give"""


def check_runs(prompt: SoftPrompt) -> None:
    """Raise PromptError for a prompt that no language model answers with: it was trained with a head."""
    task_type, heads = (
        prompt.origin.task_type or "",
        [n for n in prompt.origin.beside if n.startswith("head ")],
    )
    if task_type in HEADS or heads:
        trained = f"a head for {HEADS[task_type]} ({task_type})" if task_type in HEADS else f"the {heads[0]}"
        raise PromptError(
            f"{prompt.name}: trained with {trained}, which is not run here, and a language model's answers "
            "with this prompt mean nothing; expected a prompt of a language model: of this one only the "
            "vectors can be read (neighbors, clusters, map, compare)"
        )


def check_whole(prompt: SoftPrompt, reading: str) -> None:
    """Raise PromptError for a prompt that a reading would change only in part: it has vectors in the decoder
    too.
    """
    check_runs(prompt)
    if prompt.decoder_vectors is not None:
        raise PromptError(
            f"{prompt.name}: {len(prompt.decoder_vectors)} of its vectors stand before the decoder's input "
            f"(multitask prompt tuning of a T5), which {reading} does not change; expected a prompt of the "
            "encoder alone: use predict or evaluate"
        )


def decoder_vectors(prompt: object) -> np.ndarray | None:
    """What a prompt puts before the decoder's input, if anything: [D, H]."""
    return prompt.decoder_vectors if isinstance(prompt, SoftPrompt) else None
