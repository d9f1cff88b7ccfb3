"""What a T5 is made of, as its `config.json` states it: sizes, variants, and the name and shape of every
weight.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from explorer.errors import ModelError
from explorer.system.bounded import check_itself
from explorer.words.wording import article

FAMILY = ("t5", "mt5", "umt5")
ACTIVATIONS = ("relu", "gelu", "gelu_new", "gelu_pytorch_tanh", "silu", "swish")
"""of the feed-forward layers, by transformers' names"""
SHARED, HEAD = "shared.weight", "lm_head.weight"
NEUTRAL = {
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "encoder_repetition_penalty": 1.0,
    "min_length": 0,
    "min_new_tokens": 0,
    "bad_words_ids": None,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
    "sequence_bias": None,
    "exponential_decay_length_penalty": None,
    "guidance_scale": None,
    "stop_strings": None,
}
"""settings of `generation_config.json` that change greedy generation, and the value with which they change
nothing
"""
MOST_LAYERS, MOST_SIZE = 1_000, 2**24
"""of a stack, and of everything else that is counted: T5 11B has 24 layers, umT5 a vocabulary of 256,384"""
MOST_JSON = 32 * 2**20
"""bytes of a configuration or of an index of weights"""


@dataclass(frozen=True)
class Architecture:
    """The sizes and variants of a T5. Two are equal when all of them are."""

    kind: str
    """`t5`, `mt5` or `umt5`"""
    rows: int
    """V, of the embedding table"""
    dimension: int
    """H"""
    heads: int
    head_dimension: int
    hidden: int
    """width of the feed-forward layers"""
    layers: int
    """of the encoder"""
    decoder_layers: int
    buckets: int
    """of relative positions"""
    longest_distance: int
    """from which on positions share the last bucket"""
    epsilon: float
    gated: bool
    """whether feed-forward layers have a gate (T5 1.1 and later)"""
    activation: str
    scaled: bool
    """whether decoder outputs are multiplied by H^−½ before the head (T5 1.0)"""
    start: int
    """the piece that the decoder begins with"""
    end: int
    """eos"""
    ends: tuple[int, ...]
    """pieces that end generated text"""
    unusual: tuple[str, ...] = ()
    """settings that only transformers' own forward follows"""

    @property
    def stacks(self) -> tuple[tuple[str, int], ...]:
        """Encoder and decoder, each with its number of layers."""
        return ("encoder", self.layers), ("decoder", self.decoder_layers)

    def biased(self, layer: int) -> bool:
        """Whether a layer has position biases of its own; in all but UMT5 the first layer's serve all."""
        return layer == 0 or self.kind == "umt5"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every weight that a checkpoint must have, by name, with its shape. A head that is not tied comes on
        top of them.
        """
        inner = self.heads * self.head_dimension
        found: dict[str, tuple[int, ...]] = {SHARED: (self.rows, self.dimension)}
        for stack, layers in self.stacks:
            for layer in range(layers):
                start = f"{stack}.block.{layer}.layer"
                attentions = ["0.SelfAttention", *(["1.EncDecAttention"] if stack == "decoder" else [])]
                for place, attention in enumerate(attentions):
                    found |= {f"{start}.{attention}.{part}.weight": (inner, self.dimension) for part in "qkv"}
                    found[f"{start}.{attention}.o.weight"] = (self.dimension, inner)
                    found[f"{start}.{place}.layer_norm.weight"] = (self.dimension,)
                if self.biased(layer):
                    found[f"{start}.0.SelfAttention.relative_attention_bias.weight"] = (
                        self.buckets,
                        self.heads,
                    )
                place = len(attentions)
                found |= {
                    f"{start}.{place}.DenseReluDense.{part}.weight": (self.hidden, self.dimension)
                    for part in self.into
                }
                found[f"{start}.{place}.DenseReluDense.wo.weight"] = (self.dimension, self.hidden)
                found[f"{start}.{place}.layer_norm.weight"] = (self.dimension,)
            found[f"{stack}.final_layer_norm.weight"] = (self.dimension,)
        return found

    @property
    def into(self) -> tuple[str, ...]:
        """Names of the weights that lead into a feed-forward layer."""
        return ("wi_0", "wi_1") if self.gated else ("wi",)


def read_architecture(folder: Path) -> Architecture:
    """What the model in a folder is made of. Raises ModelError for a damaged `config.json`, or one of another
    family.
    """
    config = read_json(folder / "config.json")
    kind = config.get("model_type")
    if kind not in FAMILY:
        raise ModelError(
            f"{folder}: found {article(str(kind or 'nameless')[:60])} model; expected one of the T5 family "
            f"({', '.join(FAMILY)})"
        )
    generation = (
        read_json(folder / "generation_config.json") if (folder / "generation_config.json").is_file() else {}
    )
    try:
        return architecture(config, generation)
    except ModelError as error:
        raise ModelError(f"{folder}: cannot be loaded as a T5 (config.json: {error})") from error


def architecture(config: Mapping, generation: Mapping | None = None) -> Architecture:
    """The same out of the two files' content. Raises ModelError for a size that is missing or no whole number
    above 0.
    """
    kind, generation = str(config["model_type"]), generation or {}
    projection = _word(config, "feed_forward_proj", "relu" if kind == "t5" else "gated-gelu")
    activation = "gelu_new" if projection == "gated-gelu" else projection.split("-")[-1]
    tied, end = (
        _switch(config, "tie_word_embeddings", True),
        _pieces(config.get("eos_token_id", 1), "eos_token_id"),
    )
    ends = (
        _pieces(generation["eos_token_id"], "eos_token_id")
        if generation.get("eos_token_id") is not None
        else end
    )
    start = next(
        (
            given
            for given in (config.get("decoder_start_token_id"), config.get("pad_token_id"))
            if given is not None
        ),
        0,
    )
    activation = _word(config, "dense_act_fn", activation)  # what is stored counts, as in transformers
    layers, rows = _size(config, "num_layers", most=MOST_LAYERS), _size(config, "vocab_size")
    if outside := [
        piece for piece in (*_pieces(start, "decoder_start_token_id"), *end, *ends) if piece >= rows
    ]:
        raise ModelError(
            f"found {outside[0]} as the piece that texts begin or end with; expected one of {rows:,} "
            "(vocab_size)"
        )
    buckets, longest = (
        _size(config, "relative_attention_num_buckets", 32),
        _size(config, "relative_attention_max_distance", 128),
    )
    if buckets < 4 or longest <= buckets // 2:
        raise ModelError(
            f"found {buckets} buckets of relative positions up to a distance of {longest}; expected 4 "
            "or more, and a distance above half of them"
        )
    quantization = config.get("quantization_config")
    if quantization is not None and not isinstance(quantization, dict):
        raise ModelError(f"found quantization_config = {_shown(quantization)}; expected an object")
    return Architecture(
        kind=kind,
        rows=rows,
        dimension=_size(config, "d_model"),
        heads=_size(config, "num_heads"),
        head_dimension=_size(config, "d_kv"),
        hidden=_size(config, "d_ff"),
        layers=layers,
        decoder_layers=_size(config, "num_decoder_layers", layers, MOST_LAYERS),
        buckets=buckets,
        longest_distance=longest,
        epsilon=_epsilon(config),
        gated=_switch(config, "is_gated_act", projection.startswith("gated-")),
        activation=activation,
        # T5 1.0 scales; T5 1.1 says so by a head that is not tied; mT5 never scales
        scaled=kind != "mt5" and _switch(config, "scale_decoder_outputs", tied),
        start=_pieces(start, "decoder_start_token_id")[0],
        end=end[0],
        ends=ends,
        unusual=_unusual(config, generation, activation),
    )


def _unusual(config: Mapping, generation: Mapping, activation: str) -> tuple[str, ...]:
    found = [] if activation in ACTIVATIONS else [f"the activation {activation[:60]}"]
    found += ["quantized weights"] if config.get("quantization_config") else []
    changed = [
        name for name, neutral in NEUTRAL.items() if generation.get(name) not in (None, neutral, [], {})
    ]
    return (*found, *(f"{name} of its generation settings" for name in changed))


def _size(config: Mapping, name: str, default: int | None = None, most: int = MOST_SIZE) -> int:
    value = config.get(name)
    value = default if value is None else value
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ModelError(f"found {name} = {_shown(value)}; expected a whole number above 0")
    if value > most:
        raise ModelError(f"found {name} = {_shown(value)}; expected at most {most:,}")
    return value


def _switch(config: Mapping, name: str, default: bool) -> bool:
    value = config.get(name)
    if value is not None and not isinstance(value, bool):
        raise ModelError(f"found {name} = {_shown(value)}; expected true or false")
    return default if value is None else value


def _word(config: Mapping, name: str, default: str) -> str:
    value = config.get(name)
    if value is not None and not isinstance(value, str):
        raise ModelError(f"found {name} = {_shown(value)}; expected a word")
    return default if value is None else value


def _shown(value: object) -> str:
    """A value of a configuration as a message shows it."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _epsilon(config: Mapping) -> float:
    value = config.get("layer_norm_epsilon", 1e-6)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1:
        raise ModelError(f"found layer_norm_epsilon = {_shown(value)}; expected a small number, such as 1e-6")
    return float(value)


def _pieces(value: object, name: str) -> tuple[int, ...]:
    found = tuple(value) if isinstance(value, list) else (value,)
    if not found or not all(
        isinstance(piece, int) and not isinstance(piece, bool) and piece >= 0 for piece in found
    ):
        raise ModelError(f"found {name} = {_shown(value)}; expected the number of a piece")
    return found


def read_json(path: Path) -> dict:
    """A JSON object. Raises ModelError for a file that cannot be read or holds something else."""
    check_itself(path, ModelError)
    try:
        if path.stat().st_size > MOST_JSON:
            raise ModelError(f"{path}: {path.stat().st_size:,} bytes of JSON; expected at most {MOST_JSON:,}")
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"{path}: cannot be read ({(str(error).splitlines() or [''])[0][:160]}); expected a JSON object"
        ) from error
    if not isinstance(found, dict):
        raise ModelError(f"{path}: found a JSON {type(found).__name__}; expected an object")
    return found
