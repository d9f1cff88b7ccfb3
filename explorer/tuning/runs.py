"""How far one run has come: what is tuned, its optimizer, what was measured, and the file a stopped run goes
on from.
"""

import io
import json
import math
from abc import ABC, abstractmethod
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from transformers.optimization import Adafactor

from explorer.errors import PromptError
from explorer.models.encoder_decoder import FrozenT5
from explorer.prompt import Evaluation, RowSource
from explorer.system.files import write_file
from explorer.tuning.settings import Run, TuningConfig


class Progress(ABC):
    """One run while it is tuned: what all kinds of runs have."""

    prompt: torch.Tensor
    """[P · H] float32; of no tokens where a whole model is tuned"""
    start: torch.Tensor
    """the prompt before training"""

    def __init__(
        self,
        run: Run,
        config: TuningConfig,
        optimizer: torch.optim.Optimizer,
        device: torch.device,
        file: Path | None = None,
    ):
        self.run, self.config, self.optimizer, self.device, self.file = run, config, optimizer, device, file
        self.step = 0
        self.failed: str | None = None
        """why it ended before its time, in words"""
        self.history: list[Evaluation] = []
        self._loss, self._since = 0.0, 0

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return f"{self.run.initialization}-{self.run.seed}"

    @property
    def best(self) -> Evaluation:
        """The measurement with the best dev accuracy; ties go to the earlier."""
        return max(self.history, key=lambda evaluation: (evaluation.dev_accuracy, -evaluation.step))

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do: all steps are measured, dev has long been no better, or it
        failed.
        """
        if not self.history:
            return False
        measured, patience = self.history[-1].step, self.config.patience
        tired = (
            patience is not None
            and sum(evaluation.step > self.best.step for evaluation in self.history) >= patience
        )
        return self.failed is not None or measured >= self.config.steps or tired

    @property
    def due(self) -> bool:
        """Whether it is to be measured at this step."""
        measured = self.history[-1].step if self.history else -1
        return (
            self.failed is None
            and self.step > measured
            and (self.step % self.config.evaluate_every == 0 or self.step == self.config.steps)
        )

    def learn(self, loss: float) -> None:
        """One optimizer step by the gradient that lies at the prompt; a loss that is no finite number ends
        the run instead.
        """
        if math.isfinite(loss):
            for group in self.optimizer.param_groups:
                group["lr"] = self.config.rate(self.step)
            self.optimizer.step()
            self.step += 1
            self._loss += loss
            self._since += 1
        else:
            self.failed = f"the loss became {loss} at step {self.step + 1}"
        self.optimizer.zero_grad(set_to_none=True)

    def measured(self, accuracy: float) -> None:
        """Note the dev accuracy at this step and keep what is worth it."""
        loss = round(self._loss / self._since, 5) if self._since else None
        self.history.append(Evaluation(self.step, loss, round(accuracy, 6)))
        self._loss, self._since = 0.0, 0
        self._keep()

    @abstractmethod
    def _keep(self) -> None:
        """Keep what is tuned, as it is at the step just measured."""

    @abstractmethod
    def _tensors(self) -> dict:
        """What is tuned and what was kept of it, for the file."""

    @abstractmethod
    def _take(self, state: dict) -> None:
        """The same, out of the file."""

    def save(self, settings: dict) -> None:
        """Write the file it can go on from, whole or not at all. Raises WriteError when the disk does not
        take it.
        """
        if self.file is None:
            return
        state = {
            "settings": json.dumps(settings),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "failed": self.failed,
            "history": [asdict(evaluation) for evaluation in self.history],
            **self._tensors(),
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_file(self.file, buffer.getvalue(), overwrite=True)

    def restore(self, settings: dict) -> None:
        """Go on from the file, where there is one. Raises PromptError when it is damaged or of a run with
        other settings.
        """
        if self.file is None or not self.file.is_file():
            return
        try:
            state = torch.load(self.file, map_location=self.device, weights_only=True)
            before = json.loads(state["settings"])
        except Exception as error:  # torch names damage in many ways
            raise PromptError(
                f"{self.file}: not a run that can go on ({type(error).__name__}); remove it to begin "
                "this run anew"
            ) from error
        if changed := [key for key in settings if before.get(key) != settings[key]]:
            found, now = json.dumps(before.get(changed[0])), json.dumps(settings[changed[0]])
            what = f"a run that was begun with other settings ({changed[0]}: {found}, now {now})"
            raise PromptError(f"{self.file}: {what}; give the same, or remove it to begin this run anew")
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.failed = state["step"], state["failed"]
        self.history = [Evaluation(**evaluation) for evaluation in state["history"]]
        self._take(state)


class PromptRun(Progress):
    """One prompt while it is tuned."""

    def __init__(
        self,
        run: Run,
        vectors: np.ndarray,
        rows: tuple[RowSource, ...],
        config: TuningConfig,
        device: torch.device,
        file: Path | None = None,
    ):
        # one-dimensional, so that Adafactor keeps a full second moment as the paper asks
        self.prompt = torch.nn.Parameter(torch.from_numpy(vectors).flatten().to(device))
        self.start, self.rows = self.prompt.detach().clone(), rows
        self.saved: dict[int, np.ndarray] = {}
        """vectors [P, H] at the measured steps that are kept: the planned ones, the best, the last"""
        super().__init__(run, config, adafactor([self.prompt], config), device, file)

    def vectors(self) -> np.ndarray:
        """The prompt now: [P, H] float32."""
        return self.prompt.detach().cpu().numpy().reshape(self.config.length, -1).copy()

    def _keep(self) -> None:
        self.saved[self.step] = self.vectors()
        kept = self.config.saved_steps | {0, self.best.step, self.step}
        self.saved = {step: vectors for step, vectors in self.saved.items() if step in kept}

    def _tensors(self) -> dict:
        return {
            "prompt": self.prompt.data,
            "saved": {step: torch.from_numpy(vectors) for step, vectors in self.saved.items()},
        }

    def _take(self, state: dict) -> None:
        self.prompt.data.copy_(state["prompt"])
        self.saved = {step: vectors.cpu().numpy() for step, vectors in state["saved"].items()}


class ModelRun(Progress):
    """A whole model while it is tuned: copies of all its weights, float32."""

    def __init__(self, run: Run, model: FrozenT5, config: TuningConfig, file: Path | None = None):
        frozen = model.network.cast(model.dtype).tensors
        self.weights = {
            name: torch.nn.Parameter(tensor.detach().to(torch.float32, copy=True))
            for name, tensor in frozen.items()
        }
        """by the names of checkpoints; a head that is the embedding table is not among them"""
        self.prompt = self.start = torch.empty(0, device=model.device)
        self.best_weights: dict[str, torch.Tensor] = {}
        super().__init__(run, config, adafactor(list(self.weights.values()), config), model.device, file)

    def _keep(self) -> None:
        if self.best.step == self.step:
            self.best_weights = {name: weight.detach().clone() for name, weight in self.weights.items()}

    def _tensors(self) -> dict:
        return {
            "weights": {name: weight.detach() for name, weight in self.weights.items()},
            "best_weights": self.best_weights,
        }

    def _take(self, state: dict) -> None:
        for name, weight in self.weights.items():
            weight.data.copy_(state["weights"][name])
        self.best_weights = state["best_weights"]


def adafactor(parameters: list[torch.nn.Parameter], config: TuningConfig) -> torch.optim.Optimizer:
    """Adafactor as in the paper: constant rate, no parameter scaling, decay 0.8, weight decay 1e-5."""
    return Adafactor(
        parameters,
        lr=config.learning_rate,
        scale_parameter=False,
        relative_step=False,
        warmup_init=False,
        decay_rate=-0.8,
        weight_decay=config.weight_decay,
    )
