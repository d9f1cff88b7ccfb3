"""What can be chosen, each listed once: imports nothing, so that help texts come at once."""

from typing import Literal, get_args

LONGEST_INPUT, SHORTEST_INPUT = 512, 2
"""pieces of a text that a model reads, its end among them, where nothing else is asked; and the fewest that
can be asked
"""

Metric = Literal["cosine", "whitened", "l2", "dot", "csls"]
METRICS: tuple[Metric, ...] = get_args(Metric)
"""how near a prompt token is to a vocabulary row: `whitened` is the cosine after the vocabulary has the same
energy in every direction; l2 is a distance, smaller is closer
"""

MetricChoice = Literal["cosine", "whitened", "l2", "dot", "csls", "auto"]
METRIC_CHOICES: tuple[MetricChoice, ...] = get_args(MetricChoice)
"""what can be asked for: `auto` is whitened where the vocabulary's rows share a direction, else cosine"""

Null = Literal["gaussian", "isotropic", "rows", "mixtures"]
NULLS: tuple[Null, ...] = get_args(Null)
"""null distributions: `gaussian` gives the verdict; `isotropic`: random directions; `rows`: random vocabulary
rows, what a real word looks like and so the upper anchor; `mixtures`: convex combinations of a few rows
"""

Grouping = Literal["initialization", "task", "length", "prompt"]
GROUPINGS: tuple[Grouping, ...] = get_args(Grouping)
"""what puts prompts into one group when they are compared"""

Initialization = Literal["random", "sampled-vocab", "class-label"]
INITIALIZATIONS: tuple[Initialization, ...] = get_args(Initialization)
"""the strategies of the paper (Lester et al. 2021, §2.2)"""

Schedule = Literal["constant", "linear"]
"""of the learning rate: constant as in the paper, or linear down to 0 at the last step"""

RandomRange = Literal["symmetric", "released"]
"""of the random initialization: `symmetric` as the paper prints it, `released` as its configuration draws"""

Device = Literal["auto", "cpu", "cuda", "split"]
"""where a model runs: `auto` takes CUDA where there is some; `split` spreads the layers over all devices"""

Dtype = Literal["auto", "float32", "bfloat16"]
"""precision of a model's weights: `auto` is bfloat16 on CUDA and float32 on the CPU"""

PromptFormat = Literal["peft", "numpy", "safetensors"]
"""what `convert` writes"""
