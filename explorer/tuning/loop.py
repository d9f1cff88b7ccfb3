"""The training loop of prompt tuning (Lester et al. 2021): a frozen T5, the prompt as the only parameter,
many runs at once.

The model is frozen, so nothing but the prompt differs between runs. On an accelerator the rows of a batch
carry different prompts and all runs go through the model together; on a processor, where a larger batch is no
faster, each core has a run of its own. Either way a run keeps its own optimizer, data order and end, and its
gradient is that of its own rows alone: it learns what it would have learned by itself.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from explorer.errors import ModelError, PromptError
from explorer.models.encoder_decoder import FrozenT5
from explorer.models.frozen import Forward, FrozenModel
from explorer.models.network import Network
from explorer.models.passes import split_by_length
from explorer.models.placement import POSITIONS_PER_ROW, ROWS_PER_PASS, computes_bfloat16
from explorer.models.templates import template_for
from explorer.prompt import RowSource
from explorer.system.interruption import ctrl_c_sets
from explorer.texts.tasks import Task
from explorer.tuning.batches import IGNORED, Examples, drawn
from explorer.tuning.initialization import SENTENCE, initialize, sentence_rows
from explorer.tuning.runs import ModelRun, Progress, PromptRun
from explorer.tuning.settings import Run, TuningConfig
from explorer.vocabulary import Vocabulary
from explorer.words.wording import count


class Tuning:
    """Runs that are tuned together on one task."""

    makes = "prompt"
    """what a run makes, in words"""

    def __init__(
        self,
        model: FrozenModel,
        vocabulary: Vocabulary,
        train: Task,
        dev: Task,
        runs: Sequence[Run],
        config: TuningConfig,
        files: Sequence[Path | None] | None = None,
        settings: dict | None = None,
    ):
        """files: what each run goes on from and is saved to; settings: what they must have been begun with
        besides `config`.
        """
        config = replace(config, template=template_for(config.template, model.folder))
        self.model, self.train, self.config = (
            model.limited(config.max_length).templated(str(config.template)),
            train,
            config,
        )
        self.dev = drawn(dev, config.dev_examples)
        self.bfloat16 = uses_bfloat16(model, config)
        self.network = model.network.cast(torch.bfloat16 if self.bfloat16 else torch.float32)
        self.examples, self.held_out = (
            Examples(self.model, part, config.batch_size) for part in (train, self.dev)
        )
        for part in (self.examples, self.held_out):
            self.model.check_context(part.lengths + config.length, max(map(len, part.labels)))
        self.right = np.array([train.labels.index(answer) for answer in self.dev.answers])
        free = (
            "patience",
            "saved_points",
            "base_name",
            *(["steps"] if config.schedule == "constant" else []),
        )
        lasting = {key: value for key, value in asdict(config).items() if key not in free}
        self.settings = {**(settings or {}), **lasting, "bfloat16": self.bfloat16}
        self.runs = [
            self._begun(run, vocabulary, file)
            for run, file in zip(runs, files or [None] * len(runs), strict=True)
        ]
        for run in self.runs:
            run.restore(self.settings)
        self.rows_per_pass = ROWS_PER_PASS.get(model.device.type, ROWS_PER_PASS["cpu"])
        self.runs_per_pass = len(runs) if model.device.type == "cuda" else 1
        self._stop = threading.Event()

    def _begun(self, run: Run, vocabulary: Vocabulary, file: Path | None) -> Progress:
        return PromptRun(run, *self._start(run, vocabulary), self.config, self.model.device, file)

    def _network(self, runs: Sequence[Progress]) -> Forward:
        """What some runs go through together."""
        return self.network

    def _start(self, run: Run, vocabulary: Vocabulary) -> tuple[np.ndarray, tuple[RowSource, ...]]:
        """Initial vectors [P, H] of a run and what each came from."""
        length = self.config.length
        if run.initialization != SENTENCE:
            return initialize(
                run.initialization,
                vocabulary,
                length,
                self.train.labels,
                run.seed,
                self.config.random_range,
                self.config.template,
            )
        if self.config.read_as is None:
            raise PromptError("a run that starts as a sentence, but no sentence; give one as read_as")
        return sentence_rows(self.config.read_as, vocabulary, length)

    def run(self, progress: Callable[[str], None] | None = None) -> Iterator[Progress]:
        """Train every run to its end; yields each as it ends. Ctrl-C leaves what was measured last in the
        runs' files.
        """
        progress = progress or (lambda message: None)
        for run in self.runs:
            if run.step:
                progress(f"{run.name}: going on from step {run.step} of {self.config.steps}")
        ended = [run for run in self.runs if run.finished]
        yield from ended
        groups = [
            list(group)
            for group in _chunks([run for run in self.runs if not run.finished], self.runs_per_pass)
        ]
        steps, what = self.config.steps * len(self.runs), f"tuning {count(len(self.runs), self.makes)}"
        with (
            ctrl_c_sets(self._stop),
            tqdm(
                total=steps,
                initial=sum(run.step for run in self.runs),
                desc=what,
                unit="step",
                mininterval=1.0,
            ) as bar,
        ):
            for group in _in_parallel(groups, lambda group: self._advance(group, bar), self._stop):
                bar.set_postfix(
                    dev=f"{np.mean([run.history[-1].dev_accuracy for run in self.runs if run.history]):.3f}"
                )
                for run in [run for run in group if run.finished]:
                    group.remove(run)
                    if run.failed:
                        progress(f"{run.name}: {run.failed}; stopped, its best step so far is kept")
                    bar.total -= self.config.steps - run.step
                    yield run

    def _advance(self, group: list[Progress], bar: tqdm) -> bool:
        """Train a group up to its next measurement, measure and save; whether there is more to do."""
        while not self._stop.is_set() and not any(run.due or run.failed for run in group):
            self.train_step(group)
            bar.update(len(group))
        if self._stop.is_set():
            return False
        due = [run for run in group if run.due]
        for run, accuracy in zip(due, self.accuracies(due), strict=True):
            run.measured(accuracy)
        for run in group:
            if run in due or run.failed:
                run.save(self.settings)
        return any(not run.finished for run in group)

    def train_step(self, group: Sequence[Progress]) -> None:
        """One optimizer step of every run of a group, in as few passes as the memory allows."""
        pending = list(group)
        while pending:
            runs = pending[: self.runs_per_pass]
            try:
                losses = self._gradients(runs)
            except torch.OutOfMemoryError as error:
                if len(runs) == 1:
                    found = f"{self.model.name}: a batch of {self.config.batch_size} does not fit into memory"
                    raise ModelError(f"{found}; ask for smaller batches", "batch-size") from error
                self._forget(runs)
                self.runs_per_pass = len(runs) // 2
                continue
            for run, loss in zip(runs, losses, strict=True):
                run.learn(loss)
            pending = pending[len(runs) :]

    def _forget(self, runs: Sequence[Progress]) -> None:
        """Drop gradients of a pass that did not end, and the memory it took."""
        for run in runs:
            run.optimizer.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()

    def _gradients(self, runs: Sequence[Progress]) -> list[float]:
        """Losses of some runs at their steps, in one pass; their gradients are left at the prompts."""
        examples = np.concatenate([self.examples.batch(run.run.seed, run.step) for run in runs])
        with torch.enable_grad():
            losses = self._losses(self._network(runs), [run.prompt for run in runs], examples)
            (losses.sum() + self._pulled(runs)).backward()
        return losses.detach().tolist()

    def _losses(
        self, network: Forward, prompts: Sequence[torch.Tensor], examples: np.ndarray
    ) -> torch.Tensor:
        """Mean cross-entropy per target piece of each run, [R]; rows of run r are examples[r·B : (r+1)·B]."""
        fronts = self._fronts(network, prompts)
        which = torch.arange(len(prompts), device=fronts.device).repeat_interleave(
            self.config.batch_size
        )  # [R·B]
        ids, mask = self.examples.inputs(examples, self.config.length)
        wanted = self.examples.wanted(examples)
        encoded = network.encode_after(fronts, which, network.embed(ids), mask)
        logits = network.target_logits(encoded, mask, wanted.clamp(min=0)).float()  # [R·B, U, V]
        pieces = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), wanted.flatten().to(logits.device), reduction="none", ignore_index=IGNORED
        )
        return pieces.view(len(prompts), -1).sum(dim=1) / (wanted != IGNORED).view(len(prompts), -1).sum(
            dim=1
        )

    def _fronts(self, network: Forward, prompts: Sequence[torch.Tensor]) -> torch.Tensor:
        """Prompts of runs in the network's precision, [R, P, H]."""
        return (
            torch.stack(list(prompts))
            .view(len(prompts), self.config.length, self.model.dimension)
            .to(network.dtype)
        )

    def _pulled(self, runs: Sequence[Progress]) -> torch.Tensor | float:
        """What is added to the loss of runs that are to read as a sentence: pull · mean over tokens of ‖p_i −
        v_i‖², v_i the row of the sentence's i-th piece (after Khashabi et al. 2022, "Prompt waywardness",
        whose distance is to a discrete prompt too).
        """
        pulled = [run for run in runs if run.run.initialization == SENTENCE]
        return sum(
            self.config.pull / self.config.length * ((run.prompt - run.start) ** 2).sum() for run in pulled
        )

    def accuracies(self, runs: Sequence[Progress]) -> list[float]:
        """Share of dev texts whose likeliest label is the right one, by rank classification, for each run."""
        if not runs:
            return []
        network = self._network(runs)
        return self._accuracies(network, self._fronts(network, [run.prompt for run in runs]))

    @cached_property
    def without_prompt(self) -> float:
        """The same share for the frozen model without a prompt."""
        (accuracy,) = self._accuracies(
            self.network,
            torch.empty(1, 0, self.model.dimension, dtype=self.network.dtype, device=self.model.device),
        )
        return round(accuracy, 6)

    def _accuracies(self, network: Forward, fronts: torch.Tensor) -> list[float]:
        """For each of the prompts [R, P, H]."""
        runs, length = fronts.shape[:2]
        scores = np.empty((runs * len(self.held_out), len(self.held_out.labels)), np.float32)
        lengths = np.tile(self.held_out.lengths + length, runs)
        with torch.inference_mode():
            for rows in split_by_length(lengths, self.rows_per_pass, self.rows_per_pass * POSITIONS_PER_ROW):
                ids, mask = self.held_out.inputs(rows % len(self.held_out), length)
                which = torch.from_numpy(rows // len(self.held_out)).to(fronts.device)
                encoded = network.encode_after(fronts, which, network.embed(ids), mask)
                for column, label in enumerate(self.held_out.labels):
                    wanted = label.to(ids.device).expand(len(rows), -1)
                    pieces = network.target_logits(encoded, mask, wanted).float().log_softmax(dim=-1)
                    scores[rows, column] = (
                        pieces.gather(2, wanted.to(pieces.device)[:, :, None]).sum(dim=(1, 2)).cpu().numpy()
                    )
        answers = scores.argmax(axis=1).reshape(runs, -1)
        return (answers == self.right).mean(axis=1).tolist()


class ModelTuning(Tuning):
    """Model tuning, what the paper compares with: every weight is tuned, there is no prompt. One run at a
    time: each has its own weights.
    """

    makes = "model"

    def __init__(
        self,
        model: FrozenT5,
        vocabulary: Vocabulary,
        train: Task,
        dev: Task,
        run: Run,
        config: TuningConfig,
        file: Path | None,
        settings: dict,
    ):
        self._whole = model
        super().__init__(model, vocabulary, train, dev, [run], replace(config, length=0), [file], settings)

    def _begun(self, run: Run, vocabulary: Vocabulary, file: Path | None) -> ModelRun:
        return ModelRun(run, self._whole, self.config, file)

    def _network(self, runs: Sequence[Progress]) -> Network:
        """The run's own weights, cast anew: they have changed."""
        (run,) = runs
        assert isinstance(run, ModelRun)
        return Network(self.network.architecture, run.weights, self.network.dtype)


def uses_bfloat16(model: FrozenModel, config: TuningConfig) -> bool:
    """Whether matrix products run in bfloat16: where the device has it, unless float32 was asked for."""
    if config.dtype != "auto":
        return config.dtype == "bfloat16"
    return (
        computes_bfloat16(model.device)
        if model.device.type == "cuda"
        else torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


def _chunks(runs: Sequence[Progress], size: int) -> list[Sequence[Progress]]:
    return [runs[start : start + size] for start in range(0, len(runs), size)]


def _in_parallel(groups: list, advance: Callable[[list], bool], stop: threading.Event) -> Iterator[list]:
    """Call `advance` on every group until it says there is no more to do, groups side by side on the
    processor's cores; yields a group after each call. The caller's interruption, or an error, ends the others
    at their next step.
    """
    cores = torch.get_num_threads()
    workers = max(1, min(len(groups), cores))
    with (
        _threads(max(1, cores // workers)),
        ThreadPoolExecutor(
            workers, initializer=torch.set_num_threads, initargs=(max(1, cores // workers),)
        ) as pool,
    ):
        running: dict[Future, list] = {pool.submit(advance, group): group for group in groups}
        try:
            while running:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    group = running.pop(future)
                    if future.result():
                        yield group
                        running[pool.submit(advance, group)] = group
                    else:
                        yield group
        finally:
            stop.set()
            for future in running:
                future.cancel()


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """The number of threads of each operation, for a while: the pool's own setting would else outlast it."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(count)
        yield
    finally:
        torch.set_num_threads(before)
