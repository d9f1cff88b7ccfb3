"""Tuning many prompts beside PEFT's prompt tuning: `python benchmarks/training.py`.

The same model, texts, batch size, number of steps and optimizer, in the same process. PEFT tunes one prompt
after the other: at its defaults (float32, batches in random order padded to their longest text) and at its
best (bfloat16 by autocast, batches of like length, as ours). Printed: the ratio of their time to ours, with
median and spread over repeats; tokens per second; the share of the device's own matrix-product rate; how far
the losses of PEFT's best run are from ours; and with --growth the cost of 1, 3, 9 and 27 runs (as a plot with
--plot FILE.html). `--model FOLDER` may be a decoder-only language model.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import torch
from peft import PromptTuningConfig, TaskType, get_peft_model
from torch.nn.utils.rnn import pad_sequence
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, T5Config, T5ForConditionalGeneration
from transformers.optimization import Adafactor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from explorer.choices import INITIALIZATIONS
from explorer.models.architecture import architecture
from explorer.models.encoder_decoder import FrozenT5
from explorer.models.fallback import TransformersNetwork
from explorer.models.frozen import FrozenModel
from explorer.models.load import load_frozen
from explorer.models.loading import DEFAULT_MODEL
from explorer.texts.tasks import Task, read_task
from explorer.tuning.loop import Tuning
from explorer.tuning.runs import PromptRun
from explorer.tuning.settings import Run, TuningConfig
from explorer.vocabulary import Vocabulary

ROOT = Path(__file__).resolve().parent.parent
SHAPES = {
    "base": {"d_model": 768, "d_kv": 64, "d_ff": 2048, "num_layers": 12, "num_heads": 12},
    "xxl": {"d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64},
}
"""T5 1.1's; weights are random, which costs the same"""


class Peft:
    """PEFT's prompt tuning of one prompt after the other."""

    def __init__(self, tuning: Tuning, module: torch.nn.Module, best: bool):
        self.tuning, self.module, self.best = tuning, module, best
        self.device = tuning.model.device
        self.precision = torch.autocast(
            self.device.type, dtype=torch.bfloat16, enabled=best and tuning.model.dtype == torch.float32
        )

    def train(self, steps: int) -> None:
        """All runs, `steps` steps each."""
        for run in self.tuning.runs:
            self.train_one(run, steps)

    def train_one(self, run: PromptRun, steps: int) -> list[float]:
        """The loss of each step of one run, from its own start."""
        config, examples, seed, losses = self.tuning.config, self.tuning.examples, run.run.seed, []
        settings = PromptTuningConfig(
            task_type=TaskType[self.tuning.model.task_type],
            num_virtual_tokens=config.length,
            num_transformer_submodules=1,
        )
        model = get_peft_model(self.module, settings)
        prompt = [weight for weight in model.parameters() if weight.requires_grad]
        prompt[0].data.copy_(run.start.view_as(prompt[0]))
        flat = torch.nn.Parameter(
            prompt[0].data.view(-1)
        )  # as ours, so that Adafactor keeps the same second moments: its cost is the same
        optimizer = Adafactor(
            [flat], lr=config.learning_rate, scale_parameter=False, relative_step=False, warmup_init=False
        )
        order = np.random.default_rng(seed)
        for step in range(steps):
            batch = (
                examples.batch(seed, step)
                if self.best
                else order.choice(len(examples), config.batch_size, replace=False)
            )
            with self.precision:
                loss = model(**self._batch(batch)).loss
            loss.backward()
            flat.grad = prompt[0].grad.view(-1)
            optimizer.step()
            prompt[0].grad = None
            losses.append(loss.item())
        return losses

    def _batch(self, batch: np.ndarray) -> dict[str, torch.Tensor]:
        """Texts and targets as a trainer of such models gives them: apart for a T5, one behind the other for
        a language model.
        """
        texts, targets = (
            [many[e] for e in batch] for many in (self.tuning.examples.texts, self.tuning.examples.targets)
        )
        asked = [torch.full_like(text, -100) for text in texts]
        if self.tuning.model.task_type == "CAUSAL_LM":
            texts = [torch.cat(pair) for pair in zip(texts, targets, strict=True)]
            targets = [torch.cat(pair) for pair in zip(asked, targets, strict=True)]
        mask = pad_sequence([torch.ones_like(text) for text in texts], batch_first=True)
        ids, labels = (
            pad_sequence(texts, batch_first=True),
            pad_sequence(targets, batch_first=True, padding_value=-100),
        )
        return {
            "input_ids": ids.to(self.device),
            "attention_mask": mask.to(self.device),
            "labels": labels.to(self.device),
        }


def seconds(work, *arguments) -> float:
    """Wall time of one call, waiting for the device's end."""
    start = time.perf_counter()
    work(*arguments)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def ours(tuning: Tuning, steps: int) -> None:
    """Every run of a tuning, `steps` further steps each; nothing is measured on dev."""
    from explorer.tuning.loop import _chunks, _in_parallel

    def advance(group: list) -> bool:
        for _ in range(steps):
            tuning.train_step(group)
        return False

    tuning._stop.clear()
    list(
        _in_parallel(
            [list(group) for group in _chunks(tuning.runs, tuning.runs_per_pass)], advance, tuning._stop
        )
    )


def matrix_rate(device: torch.device) -> float:
    """bfloat16 products of 2,048 × 2,048 matrices on this device, operations per second."""
    a = torch.randn(2048, 2048, device=device, dtype=torch.bfloat16)
    seconds(lambda: [a @ a for _ in range(3)])
    return 2 * 2048**3 * 10 / seconds(lambda: [a @ a for _ in range(10)])


def begun(model: FrozenModel, vocabulary: Vocabulary, task: Task, runs: int, batch: int) -> Tuning:
    """That many runs, of the three initializations by turns."""
    wanted = [Run(INITIALIZATIONS[number % 3], number // 3) for number in range(runs)]
    rate = 0.3 if model.task_type == "SEQ_2_SEQ_LM" else 0.01
    config = TuningConfig(batch_size=batch, dev_examples=2, learning_rate=rate, weight_decay=0.0)
    return Tuning(model, vocabulary, task, task, wanted, config)


def spread(ratios: list[float]) -> str:
    """Median, least and most."""
    low, middle, high = np.quantile(ratios, [0, 0.5, 1])
    return f"{middle:.2f} (least {low:.2f}, most {high:.2f}, {len(ratios)} repeats)"


def work_of(tuning: Tuning, steps: int) -> tuple[int, int]:
    """Tokens read and matrix-product operations of those steps of every run, padding not counted as
    tokens.
    """
    batches = [tuning.examples.batch(run.run.seed, step) for run in tuning.runs for step in range(steps)]
    tokens = sum(
        int(tuning.examples.lengths[batch].sum()) + len(batch) * tuning.config.length for batch in batches
    )
    with FlopCounterMode(display=False) as counter:
        tuning._gradients(tuning.runs[:1])
    tuning.runs[0].prompt.grad = None
    return tokens, counter.get_total_flops() * steps * len(tuning.runs)


def compare(
    model: FrozenModel,
    module: torch.nn.Module,
    vocabulary: Vocabulary,
    task: Task,
    arguments: argparse.Namespace,
) -> None:
    """Print the ratios. module: the same model by transformers, for PEFT."""
    tuning = begun(model, vocabulary, task, arguments.runs, arguments.batch_size)
    peers = {
        "PEFT's defaults": Peft(tuning, module, best=False),
        "PEFT's best": Peft(tuning, module, best=True),
    }
    for warm_up in (
        lambda: ours(tuning, 2),
        *(lambda peer=peer: peer.train_one(tuning.runs[0], 2) for peer in peers.values()),
    ):
        warm_up()
    mine, ratios = [], {name: [] for name in peers}
    for _ in range(arguments.repeat):
        mine.append(seconds(ours, tuning, arguments.steps))
        for name, peer in peers.items():
            ratios[name].append(seconds(peer.train, arguments.steps) / mine[-1])
    for name, found in ratios.items():
        print(f"{arguments.runs} runs, over {name}: {spread(found)} times as fast")
    fresh = begun(model, vocabulary, task, 1, arguments.batch_size)
    theirs, curve = peers["PEFT's best"].train_one(fresh.runs[0], arguments.steps), []
    for _ in range(arguments.steps):
        curve.append(fresh._gradients(fresh.runs)[0])
        fresh.runs[0].learn(curve[-1])
    apart = np.abs(np.subtract(curve, theirs))
    print(
        f"losses of {arguments.steps} steps on the same batches: ours {np.mean(curve):.3f} on "
        f"average, PEFT's best {np.mean(theirs):.3f}, ",
        end="",
    )
    print(f"{np.mean(apart):.3f} apart at a step ({apart.max():.3f} at most)")
    tokens, operations = work_of(tuning, arguments.steps)
    share = operations / np.median(mine) / matrix_rate(model.device)
    print(
        f"{tokens / np.median(mine):,.0f} tokens a second; {share:.0%} of the device's rate for 2,048 "
        "× 2,048 bfloat16 products"
    )


def growth(model: FrozenModel, vocabulary: Vocabulary, task: Task, arguments: argparse.Namespace) -> None:
    """Print, and draw where asked, what 1, 3, 9 and 27 runs cost over one."""
    counts, costs = (1, 3, 9, 27), []
    tunings = [begun(model, vocabulary, task, count, arguments.batch_size) for count in counts]
    for tuning in tunings:
        ours(tuning, 2)
    for _ in range(arguments.repeat):
        times = [seconds(ours, tuning, arguments.steps) for tuning in tunings]
        costs.append([one / times[0] for one in times])
    for count, found in zip(counts, np.transpose(costs), strict=True):
        print(f"{count} runs cost {spread(found.tolist())} times one")
    if arguments.plot:
        training_cost(counts, np.asarray(costs)).write_html(arguments.plot, include_plotlyjs=True)


def training_cost(counts: Sequence[int], costs: np.ndarray) -> go.Figure:
    """Time of several runs over the time of one, by their number; costs: [repeats, len(counts)]. The dotted
    line is one after the other.
    """
    from explorer.figures.style import COLORS, LOG_TICKS, NEUTRAL, styled

    low, middle, high = np.quantile(costs, [0, 0.5, 1], axis=0)
    figure = go.Figure()
    figure.add_scatter(
        x=list(counts),
        y=middle,
        error_y={"type": "data", "symmetric": False, "array": high - middle, "arrayminus": middle - low},
        mode="lines+markers",
        name="runs together",
        line={"color": COLORS[0], "width": 2},
        marker={"size": 9},
    )
    figure.add_scatter(
        x=list(counts),
        y=list(counts),
        mode="lines",
        name="one after the other",
        line={"color": NEUTRAL, "dash": "dot"},
    )
    figure.update_xaxes(title="Runs", type="log", tickvals=list(counts))
    figure.update_yaxes(title="Time, in times of one run", type="log", tickvals=LOG_TICKS[12:])
    return styled(figure, "What many runs cost", 380, legend=True)


def main() -> None:
    """Print the ratios of the bundled model, or of a random one of another shape."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=str(ROOT / "examples" / "films.tsv"), help="labelled texts")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--shape", choices=SHAPES, help="random weights of T5 1.1's shape instead of --model")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--growth", action="store_true", help="also the cost of 1, 3, 9 and 27 runs")
    parser.add_argument("--plot", metavar="FILE.html", help="the growth as a plot")
    arguments = parser.parse_args()
    model, vocabulary, task = (
        load_frozen(arguments.model, dtype="float32"),
        Vocabulary.load(arguments.model),
        read_task(arguments.data),
    )
    if arguments.shape:
        model, module, vocabulary = of_shape(arguments.shape, model, vocabulary)
    else:
        of = AutoModelForCausalLM if model.task_type == "CAUSAL_LM" else AutoModelForSeq2SeqLM
        module = (
            of.from_pretrained(model.folder, dtype=torch.float32, trust_remote_code=False)
            .to(model.device)
            .eval()
            .requires_grad_(False)
        )
    print(
        f"{model.name} on {model.device}, {torch.get_num_threads()} threads, batches of "
        f"{arguments.batch_size}, {arguments.data}"
    )
    compare(model, module, vocabulary, task, arguments)
    if arguments.growth or arguments.plot:
        growth(model, vocabulary, task, arguments)


def of_shape(
    shape: str, model: FrozenT5, vocabulary: Vocabulary
) -> tuple[FrozenT5, torch.nn.Module, Vocabulary]:
    """A random T5 1.1 of that shape (32,128 rows, bfloat16 on a GPU) with the given model's tokenizer, as
    transformers has it, and its vocabulary.
    """
    config = T5Config(
        vocab_size=32_128,
        feed_forward_proj="gated-gelu",
        decoder_start_token_id=0,
        dropout_rate=0.0,
        **SHAPES[shape],
    )
    with torch.device(model.device):
        torch.set_default_dtype(torch.bfloat16 if model.device.type == "cuda" else torch.float32)
        module = T5ForConditionalGeneration(config).eval().requires_grad_(False)
        torch.set_default_dtype(torch.float32)
    rows = module.get_input_embeddings().weight.float().cpu().numpy()
    pieces = (*vocabulary.pieces, *(f"▁more{i}" for i in range(len(rows) - len(vocabulary.pieces))))
    searchable = np.arange(len(rows)) < vocabulary.searchable.sum()
    network = TransformersNetwork(module, architecture(config.to_dict())).cast(module.dtype)
    return (
        FrozenT5(network, model.tokenizer, f"random {shape}"),
        module,
        Vocabulary(rows, pieces, searchable, f"random {shape}"),
    )


if __name__ == "__main__":
    main()
