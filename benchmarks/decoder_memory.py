"""What nine prompts of a large language model cost in memory: `python benchmarks/decoder_memory.py`.

A random model of the shape of Llama 3.2 1B (16 layers, H 2,048, 128,256 rows) answers a text with nine
prompts of 20 tokens in one batch; printed are the bytes of its weights, the most memory that the process
held, and what is beyond the weights. --device cuda measures a GPU's memory instead.
"""

import argparse
import resource
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from explorer.models.causal_network import CausalNetwork
from explorer.models.decoder_only import FrozenDecoder
from explorer.models.loading import DEFAULT_MODEL, model_folder
from explorer.models.tokenizer import read_tokenizer
from explorer.system.files import EXAMPLES
from explorer.texts.tasks import read_task

SHAPE = {
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
}
ROWS, PROMPTS, LENGTH = 128_256, 9, 20


def random_model(dtype: torch.dtype, device: str) -> FrozenDecoder:
    """The model, with the bundled model's tokenizer: which pieces a text has does not matter here."""
    config = LlamaConfig(vocab_size=ROWS, max_position_embeddings=4096, tie_word_embeddings=True, **SHAPE)
    torch.set_default_dtype(dtype)
    with torch.device(device):
        module = LlamaForCausalLM(config)
    torch.set_default_dtype(torch.float32)
    return FrozenDecoder(CausalNetwork(module), read_tokenizer(model_folder(DEFAULT_MODEL)), "random 1B")


def most(device: str) -> float:
    """Bytes that were held at once, until now."""
    return (
        torch.cuda.max_memory_allocated()
        if device == "cuda"
        else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("--texts", type=int, default=1, help="texts, each with all nine prompts")
    arguments = parser.parse_args()
    model = random_model(getattr(torch, arguments.dtype), arguments.device)
    before = most(arguments.device)
    prompts = list(
        np.random.default_rng(0).normal(size=(PROMPTS, LENGTH, model.dimension)).astype(np.float32)
    )
    texts = read_task(EXAMPLES / "films.tsv").texts[: arguments.texts]
    probabilities = model.label_probabilities(prompts, texts, ("negative", "positive"))
    assert probabilities.shape == (PROMPTS, len(texts), 2)
    peak = most(arguments.device)
    print(
        f"{PROMPTS} prompts, {len(texts)} texts, {arguments.dtype} on {arguments.device}: weights "
        f"{model.memory / 1e9:.2f} GB, ",
        end="",
    )
    print(
        f"held {before / 1e9:.2f} GB before and {peak / 1e9:.2f} GB at most: "
        f"{(peak - model.memory) / 1e9:.2f} GB beyond the weights"
    )


if __name__ == "__main__":
    main()
