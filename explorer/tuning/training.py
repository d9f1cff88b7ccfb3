"""Prompt tuning (Lester et al. 2021): a frozen T5, the prompt as the only parameter, many runs in shared batches.

The model is frozen, so rows of one batch may carry different prompts: all runs of a call go through the model together.
Each run keeps its own optimizer state and data order, and its gradient is that of its own rows alone, so it learns what it
would have learned by itself.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from tqdm import tqdm

from explorer.errors import PromptError
from explorer.formats import peft
from explorer.prompt import Evaluation, Origin, SoftPrompt, Trajectory
from explorer.t5 import FrozenT5, attention_mask
from explorer.tasks import Task
from explorer.tuning.initialization import RandomRange, initialize
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
        starts = [initialize(run.initialization, vocabulary, config.length, train.labels, run.seed, config.random_range) for run in runs]
        self.rows = [rows for _, rows in starts]
        # one-dimensional, so that Adafactor keeps a full second moment as the paper asks
        self.prompts = [torch.nn.Parameter(torch.from_numpy(vectors).flatten().to(model.device)) for vectors, _ in starts]
        self.optimizer = _adafactor(self.prompts, config)
        self.step = 0
        self.alive = [True] * len(self.runs)
        self.losses = torch.zeros(len(self.runs))
        self.since = 0
        self.history: list[list[Evaluation]] = [[] for _ in self.runs]
        self.saved: list[np.ndarray] = []
        """vectors of all runs at each evaluation: [R, P, H]"""

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
        losses.sum().backward()
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


def tune(
    model: FrozenT5,
    vocabulary: Vocabulary,
    train: Task,
    dev: Task,
    runs: Sequence[Run],
    config: TuningConfig,
    task_name: str,
    progress: Callable[[str], None] | None = None,
    checkpoint: Path | None = None,
) -> list[SoftPrompt]:
    """Tune one prompt per run on `train`; the step with the best dev accuracy is kept (ties to the earlier).

    The model's weights do not change. checkpoint: a file that lets a stopped call go on; the caller removes it.
    Raises PromptError for no runs or another width of model and vocabulary, DataError for unusable texts or labels.
    """
    if not runs:
        raise PromptError("no runs asked for; expected at least one initialization and one seed")
    if vocabulary.dimension != model.dimension:
        raise PromptError(f"{vocabulary.name} has embeddings of width {vocabulary.dimension}, {model.name} of {model.dimension}; give one model")
    tuning = Tuning(model, vocabulary, train, dev, runs, config)
    tuning.run(checkpoint, progress)
    return [_finished(tuning, number, vocabulary, task_name) for number in range(len(runs))]


def _finished(tuning: Tuning, number: int, vocabulary: Vocabulary, task_name: str) -> SoftPrompt:
    run, history, config = tuning.runs[number], tuning.history[number], tuning.config
    best = max(range(len(history)), key=lambda i: (history[i].dev_accuracy, -i))
    kept = sorted({0, best, len(history) - 1, *np.linspace(0, len(history) - 1, config.saved_points).round().astype(int).tolist()})
    trajectory = Trajectory(np.stack([tuning.saved[i][number] for i in kept]), np.array([history[i].step for i in kept]))
    origin = Origin(
        format="explorer",
        base_model=tuning.model.name,
        base_fingerprint=vocabulary.fingerprint,
        task=task_name,
        labels=tuning.train.labels,
        initialization=run.initialization,
        seed=run.seed,
        step=history[best].step,
        rows=tuning.rows[number],
        history=tuple(history),
        hyperparameters={**asdict(config), "optimizer": "Adafactor", "bfloat16": tuning.bfloat16},
        data={"train": _described(tuning.train), "dev": _described(tuning.dev)},
    )
    return SoftPrompt(tuning.saved[best][number], f"{task_name}/{prompt_folder(run, config)}", origin, trajectory)


def _drawn(task: Task, count: int | None) -> Task:
    """The task, or `count` of its examples drawn by a fixed seed, in their old order."""
    if count is None or count >= len(task):
        return task
    chosen = np.sort(np.random.default_rng(0).choice(len(task), count, replace=False))
    return replace(task, texts=tuple(task.texts[i] for i in chosen), answers=tuple(task.answers[i] for i in chosen))


def _described(task: Task) -> dict[str, object]:
    digest = hashlib.sha256(json.dumps([task.texts, task.answers]).encode()).hexdigest()
    return {"name": task.name, "examples": len(task), "sha256": digest}


def prompt_folder(run: Run, config: TuningConfig) -> str:
    """The folder name of a tuned prompt, such as `class-label-0`, or `class-label-0-length-100` for another length than 20."""
    suffix = "" if config.length == TuningConfig.length else f"-length-{config.length}"
    return f"{run.initialization}-{run.seed}{suffix}"


def tune_to_folder(
    model: FrozenT5,
    vocabulary: Vocabulary,
    train: Task,
    dev: Task,
    runs: Sequence[Run],
    config: TuningConfig,
    task_name: str,
    out: Path,
    progress: Callable[[str], None] | None = None,
) -> list[Path]:
    """Tune the runs whose prompts are not yet in `out`/<task>, and write them there; returns the folders of all runs.

    A stopped call keeps `out`/.<digest>.tuning.pt, from which the same call goes on. Raises what `tune` raises, and
    PromptError when the folder cannot be written.
    """
    folders = {run: out / task_name / prompt_folder(run, config) for run in runs}
    pending = [run for run in dict.fromkeys(runs) if not folders[run].exists()]
    if progress and len(pending) < len(folders):
        progress(f"{len(folders) - len(pending)} of {len(folders)} prompts are in {out / task_name} already and are left as they are")
    if not pending:
        return list(folders.values())
    try:
        (out / task_name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PromptError(f"{out / task_name}: cannot be made ({error.strerror}); choose another --out") from error
    settings = [task_name, vocabulary.fingerprint, asdict(config), [asdict(run) for run in pending], _described(train), _described(dev)]
    checkpoint = out / f".{hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]}.tuning.pt"
    for run, prompt in zip(pending, tune(model, vocabulary, train, dev, pending, config, task_name, progress, checkpoint), strict=True):
        peft.write(prompt, folders[run], versions())
        if progress:
            progress(f"{prompt.name}: dev accuracy {prompt.origin.dev_accuracy:.3f} at step {prompt.origin.step}")
    checkpoint.unlink(missing_ok=True)
    return list(folders.values())


def versions() -> dict[str, str]:
    """Versions of what a prompt's figures depend on."""
    import torch
    import transformers

    import explorer

    return {"explorer": explorer.__version__, "torch": torch.__version__, "transformers": transformers.__version__, "numpy": np.__version__}
