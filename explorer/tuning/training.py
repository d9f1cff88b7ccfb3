"""The training loop of prompt tuning (Lester et al. 2021): a frozen T5, the prompt as the only parameter, many runs in shared batches.

The model is frozen, so rows of one batch may carry different prompts: all runs of a call go through the model together.
Each run keeps its own optimizer state and data order, and its gradient is that of its own rows alone, so it learns what it
would have learned by itself.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from tqdm import tqdm

from explorer.errors import PromptError
from explorer.prompt import Evaluation, RowSource
from explorer.t5 import FrozenT5, attention_mask
from explorer.tasks import Task
from explorer.tuning.initialization import SENTENCE, RandomRange, initialize, sentence_rows
from explorer.vocabulary import Vocabulary

if TYPE_CHECKING:
    import torch

IGNORED = -100
BATCHES_PER_POOL = 16
RUNS_PER_CPU_PASS = 1
"""on a processor larger passes leave the cache and are no faster; an accelerator takes all runs at once"""


@dataclass(frozen=True)
class Run:
    """One prompt to be tuned."""

    initialization: str
    seed: int


@dataclass(frozen=True)
class TuningConfig:
    """Settings shared by all runs of a call; the defaults are the paper's but for length, batches and steps."""

    length: int = 20
    steps: int = 1000
    learning_rate: float = 0.3
    """constant; 0.3 suits T5 1.1, whose embeddings have norm 297"""
    batch_size: int = 32
    evaluate_every: int = 50
    saved_points: int = 10
    """points of the trajectory besides the best and the last step"""
    dev_examples: int | None = None
    """dev texts that choose the best step, drawn by a fixed seed; None for all"""
    weight_decay: float = 1e-5
    random_range: RandomRange = "symmetric"
    """of the random initialization; `released` is what the paper's released configuration draws from"""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """precision of the matrix products; the prompt and its optimizer are always float32"""
    read_as: str | None = None
    """a sentence whose words the tokens of runs with the initialization `sentence` start as and are pulled towards"""
    pull: float = 0.0
    """weight of that pull beside the task's loss, see `Tuning._pulled`"""


class Tuning:
    """The state of runs that are tuned together."""

    def __init__(self, model: FrozenT5, vocabulary: Vocabulary, train: Task, dev: Task, runs: Sequence[Run], config: TuningConfig):
        import torch

        self.model, self.train, self.runs, self.config = model, train, list(runs), config
        self.dev = _drawn(dev, config.dev_examples)
        self.texts = model.text_ids(train.texts)
        self.lengths = np.array([len(ids) for ids in self.texts])
        targets = {label: model.label_ids(label) for label in train.labels}
        self.targets = [targets[answer] for answer in train.answers]
        starts = [self._start(run, vocabulary) for run in runs]
        self.rows = [rows for _, rows in starts]
        # one-dimensional, so that Adafactor keeps a full second moment as the paper asks
        self.prompts = [torch.nn.Parameter(torch.from_numpy(vectors).flatten().to(model.device)) for vectors, _ in starts]
        self.anchors = [p.detach().clone() if run.initialization == SENTENCE else None for run, p in zip(runs, self.prompts, strict=True)]
        """[P · H] what a run is pulled towards"""
        self.optimizer = _adafactor(self.prompts, config)
        self.step = 0
        self.alive = [True] * len(self.runs)
        self.losses = torch.zeros(len(self.runs))
        self.since = 0
        self.history: list[list[Evaluation]] = [[] for _ in self.runs]
        self.saved: list[np.ndarray] = []
        """vectors of all runs at each evaluation: [R, P, H]"""

    def _start(self, run: Run, vocabulary: Vocabulary) -> tuple[np.ndarray, tuple[RowSource, ...]]:
        """Initial vectors [P, H] of a run and what each came from."""
        length = self.config.length
        if run.initialization != SENTENCE:
            return initialize(run.initialization, vocabulary, length, self.train.labels, run.seed, self.config.random_range)
        if self.config.read_as is None:
            raise PromptError("a run that starts as a sentence, but no sentence; give one as read_as")
        return sentence_rows(self.config.read_as, vocabulary, length)

    @property
    def bfloat16(self) -> bool:
        """Whether matrix products run in bfloat16: where the device has it, unless float32 was asked for."""
        import torch

        if self.config.dtype != "auto":
            return self.config.dtype == "bfloat16"
        return self.model.device.type == "cuda" or torch.ops.mkldnn._is_mkldnn_bf16_supported()

    def vectors(self) -> np.ndarray:
        """The prompts now: [R, P, H] float32."""
        return np.stack([p.detach().cpu().numpy().reshape(self.config.length, -1) for p in self.prompts]).copy()

    def train_step(self) -> None:
        """One optimizer step of every run that is alive."""
        active = [number for number, alive in enumerate(self.alive) if alive]
        together = len(active) if self.model.device.type == "cuda" else RUNS_PER_CPU_PASS
        for start in range(0, len(active), together):
            self._accumulate(active[start : start + together])
        self.step += 1
        self.since += 1
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def _accumulate(self, numbers: list[int]) -> None:
        """Add the gradients of some runs at this step; a run whose loss is no finite number is stopped."""
        import torch

        examples = np.concatenate([self._examples(self.runs[number].seed) for number in numbers])
        with self.model.lock, torch.enable_grad(), self._autocast():
            losses = self._losses([self.prompts[number] for number in numbers], examples)
        (losses.sum() + self._pulled(numbers)).backward()
        for number, loss in zip(numbers, losses.detach().cpu(), strict=True):
            self.losses[number] += loss
            if not torch.isfinite(loss):
                self.alive[number] = False
                self.prompts[number].grad = None

    def _examples(self, seed: int) -> np.ndarray:
        """The batch of a run at this step, [B]: a function of seed and step alone, so that a resumed run sees the same.

        An epoch is a permutation by the run's seed, cut into pools of many batches; within a pool texts of like length share a
        batch. Which length comes when is the same for all runs, so that runs in one pass pad little.
        """
        per_epoch = len(self.train) // self.config.batch_size
        if per_epoch == 0:
            return np.random.default_rng([seed, self.step]).choice(len(self.train), self.config.batch_size)
        epoch, place = divmod(self.step, per_epoch)
        order = np.random.default_rng([seed, epoch]).permutation(len(self.train))
        pool, place = divmod(place, BATCHES_PER_POOL)
        batches = min(BATCHES_PER_POOL, per_epoch - pool * BATCHES_PER_POOL)
        first = pool * BATCHES_PER_POOL * self.config.batch_size
        members = order[first : first + batches * self.config.batch_size]
        by_length = members[np.argsort(self.lengths[members], kind="stable")].reshape(batches, -1)
        return by_length[np.random.default_rng([epoch, pool]).permutation(batches)[place]]

    def _losses(self, prompts: "list[torch.nn.Parameter]", examples: np.ndarray) -> "torch.Tensor":
        """Mean cross-entropy per target piece of each run, [R]; rows of run r are examples[r·B : (r+1)·B]."""
        import torch
        from torch.nn.utils.rnn import pad_sequence

        device, size = self.model.device, self.config.batch_size
        front = torch.stack(prompts).view(len(prompts), self.config.length, -1).repeat_interleave(size, dim=0)  # [R·B, P, H]
        inputs = pad_sequence([torch.tensor(self.texts[e]) for e in examples], batch_first=True).to(device)  # [R·B, T]
        targets = pad_sequence([torch.tensor(self.targets[e]) for e in examples], batch_first=True, padding_value=IGNORED).to(device)
        embeds = torch.cat([front, self.model.model.get_input_embeddings()(inputs).to(front.dtype)], dim=1)
        lengths = torch.tensor([self.config.length + len(self.texts[e]) for e in examples], device=device)
        mask = attention_mask(lengths, embeds.shape[1])
        logits = self.model.target_logits(self.model.encode(embeds, mask), mask, targets.clamp(min=0)).float()  # [R·B, U, V]
        pieces = torch.nn.functional.cross_entropy(logits.transpose(1, 2), targets, reduction="none", ignore_index=IGNORED)
        return pieces.view(len(prompts), -1).sum(dim=1) / (targets != IGNORED).view(len(prompts), -1).sum(dim=1)

    def _pulled(self, numbers: list[int]) -> "torch.Tensor | float":
        """What is added to the loss of runs that are to read as a sentence: pull · mean over tokens of ‖p_i − v_i‖², v_i the row of
        the sentence's i-th piece (after Khashabi et al. 2022, "Prompt waywardness", whose distance is to a discrete prompt too).
        """
        pairs = [(self.prompts[number], self.anchors[number]) for number in numbers if self.anchors[number] is not None]
        return self.config.pull / self.config.length * sum(((prompt - anchor) ** 2).sum() for prompt, anchor in pairs)

    def evaluate(self) -> None:
        """Measure every run on dev by rank classification, all in shared batches, and keep its vectors."""
        vectors = self.vectors()
        with self._autocast():
            scores = self.model.label_log_probabilities(list(vectors), self.dev.texts, self.train.labels)
        right = np.array([self.train.labels.index(answer) for answer in self.dev.answers])
        accuracy = (scores.argmax(axis=2) == right).mean(axis=1)
        for number, history in enumerate(self.history):
            if self.alive[number]:
                loss = round(float(self.losses[number]) / self.since, 5) if self.since else None
                history.append(Evaluation(self.step, loss, round(float(accuracy[number]), 6)))
        self.saved.append(vectors)
        self.losses.zero_()
        self.since = 0

    def _autocast(self):
        import torch

        return torch.autocast(self.model.device.type, dtype=torch.bfloat16, enabled=self.bfloat16)

    def run(self, checkpoint: Path | None = None, progress: Callable[[str], None] | None = None) -> None:
        """Train to the last step, measuring as asked; with `checkpoint`, a stopped call goes on from its last measurement."""
        if checkpoint is not None and checkpoint.is_file():
            self._restore(checkpoint)
            if progress:
                progress(f"going on from step {self.step} of {self.config.steps}")
        if not self.history[0]:
            self.evaluate()
        bar = tqdm(total=self.config.steps, initial=self.step, desc=f"tuning {len(self.runs)} prompts", unit="step", mininterval=1.0)
        with bar:
            while self.step < self.config.steps and any(self.alive):
                before = list(self.alive)
                self.train_step()
                bar.update()
                for number, run in enumerate(self.runs):
                    if before[number] and not self.alive[number] and progress:
                        progress(f"{run.initialization}-{run.seed}: the loss became NaN at step {self.step}; stopped, its best step so far is kept")
                if self.step % self.config.evaluate_every == 0 or self.step == self.config.steps:
                    self.evaluate()
                    bar.set_postfix(dev=f"{np.mean([h[-1].dev_accuracy for h in self.history]):.3f}")
                    if checkpoint is not None:
                        self._save(checkpoint)

    def _save(self, path: Path) -> None:
        import torch

        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        history = [[asdict(e) for e in h] for h in self.history]
        saved = torch.from_numpy(np.stack(self.saved))
        state = {"prompts": [p.data for p in self.prompts], "optimizer": self.optimizer.state_dict(), "step": self.step, "alive": self.alive}
        torch.save({**state, "history": history, "saved": saved}, partial)
        os.replace(partial, path)

    def _restore(self, path: Path) -> None:
        import torch

        state = torch.load(path, map_location=self.model.device, weights_only=True)
        for parameter, values in zip(self.prompts, state["prompts"], strict=True):
            parameter.data.copy_(values)
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.alive = state["step"], state["alive"]
        self.history = [[Evaluation(**e) for e in h] for h in state["history"]]
        self.saved = list(state["saved"].cpu().numpy())


def _adafactor(prompts: "list[torch.nn.Parameter]", config: TuningConfig) -> "torch.optim.Optimizer":
    """Adafactor as in the paper: constant rate, no parameter scaling, decay 0.8, weight decay 1e-5."""
    from transformers.optimization import Adafactor

    return Adafactor(
        prompts, lr=config.learning_rate, scale_parameter=False, relative_step=False, warmup_init=False, decay_rate=-0.8, weight_decay=config.weight_decay
    )


def _drawn(task: Task, count: int | None) -> Task:
    """The task, or `count` of its examples drawn by a fixed seed, in their old order."""
    if count is None or count >= len(task):
        return task
    chosen = np.sort(np.random.default_rng(0).choice(len(task), count, replace=False))
    return replace(task, texts=tuple(task.texts[i] for i in chosen), answers=tuple(task.answers[i] for i in chosen))
