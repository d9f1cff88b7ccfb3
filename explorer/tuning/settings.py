"""What is asked of a tuning call: its runs and the settings they share."""

from dataclasses import dataclass
from typing import Literal

from explorer.choices import LONGEST_INPUT, RandomRange, Schedule


@dataclass(frozen=True)
class Run:
    """One prompt to be tuned."""

    initialization: str
    seed: int


@dataclass(frozen=True)
class TuningConfig:
    """Settings shared by all runs of a call; the defaults are the paper's but for length, batches and
    steps.
    """

    length: int = 20
    steps: int = 1000
    learning_rate: float = 0.3
    """0.3 suits T5 1.1, whose embeddings have norm 297"""
    schedule: Schedule = "constant"
    """of the learning rate: `constant` as in the paper, or `linear` down to nothing at the last step"""
    batch_size: int = 32
    evaluate_every: int = 50
    patience: int | None = None
    """a run ends after this many measurements on dev without a better one; None for never"""
    saved_points: int = 10
    """points of the trajectory besides the best and the last step"""
    dev_examples: int | None = None
    """dev texts that choose the best step, drawn by a fixed seed; None for all"""
    weight_decay: float = 1e-5
    random_range: RandomRange = "symmetric"
    """of the random initialization; `released` is what the paper's released configuration draws from"""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """precision of the frozen model; the prompt and its optimizer are always float32"""
    max_length: int = LONGEST_INPUT
    """pieces of a text that are read, its end among them; longer texts are cut"""
    template: str | None = None
    """what the model reads in place of a text, `{text}` in it; None for that of its family, see
    `models.templates`
    """
    base_name: str | None = None
    """what prompts record as their base model, where it is not what the model was loaded by"""
    read_as: str | None = None
    """a sentence whose words the tokens of runs with the initialization `sentence` start as and are pulled
    towards
    """
    pull: float = 0.0
    """weight of that pull beside the task's loss, see `Tuning._pulled`"""

    def rate(self, step: int) -> float:
        """The learning rate of the optimizer step after `step` others."""
        return self.learning_rate * (1 - step / self.steps if self.schedule == "linear" else 1)

    @property
    def saved_steps(self) -> frozenset[int]:
        """The measured steps whose vectors are kept, spread evenly from the initialization to the last
        step.
        """
        measured = [*range(0, self.steps, self.evaluate_every), self.steps]
        return frozenset(
            measured[round(i * (len(measured) - 1) / max(1, self.saved_points - 1))]
            for i in range(self.saved_points)
        )
