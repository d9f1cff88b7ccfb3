"""Arrays that lie in a file: listed with their shapes before any is loaded, and the one that is the prompt
found among them.

Files come from strangers. Sizes are checked against the file and against a limit before memory is asked for.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from explorer.errors import PromptError
from explorer.system.bounded import check_itself

MOST_BYTES = 128 * 2**20
"""of one array that is loaded, and of everything an archive may unpack to: a prompt of 100 tokens × 4,096 in
float32 is 1.6 MB
"""
MOST_JSON = 4 * 2**20
"""bytes of a configuration or record"""
MOST_TOKENS = 1_000
"""of an array that is proposed as a prompt among others"""
PROMPT = re.compile(r"prompt|soft|virtual", re.IGNORECASE)
"""in the name of an array that is probably one"""
MODEL = re.compile(
    r"attention|attn|\bshared\b|embed_tokens|embed_in|embed_positions|\bw[tp]e\b|word_embeddings|position_embeddings|lm_head|layer_?norm|densereludense|"
    r"feed_forward|\bmlp\b|\bff[ny]?\b|\b(block|layers?|h)\.\d|lora_|classifier|optimizer|exp_avg|momentum|(mlp|lstm)_head",
    re.IGNORECASE,
)
"""in the name of an array of a model, of an optimizer, or of what a prompt is made with"""
WRAPPERS = ("_orig_mod.", "module.")
"""of a model that was compiled or spread over devices, before the names of its arrays"""
DEEPEST_JSON = 64
"""objects in objects"""
LISTED, LONGEST_KEY = 6, 200
"""arrays that a message names, and characters of their names"""


@dataclass(frozen=True)
class Stored:
    """An array that has not been loaded."""

    shape: tuple[int, ...]
    dtype: str
    """NumPy's name, or `bfloat16`"""
    load: Callable[[], np.ndarray]
    """the array as stored, in memory of its own"""

    @property
    def matrix(self) -> bool:
        """Whether it could be a prompt by its shape."""
        return len(self.shape) == 2

    @property
    def floating(self) -> bool:
        """Whether it holds floating-point numbers."""
        return self.dtype == "bfloat16" or self.dtype.startswith(
            ("float16", "float32", "float64", "float128")
        )


def unwrapped(key: str) -> str:
    """The name of an array without what `torch.compile` and data parallelism put before it."""
    while key.startswith(WRAPPERS):
        key = key.partition(".")[2]
    return key


def as_bfloat16(dtype: np.dtype) -> np.dtype:
    """bfloat16 for the bare two-byte values (`V2`) that NumPy writes for it, other types as they are."""
    import ml_dtypes

    return (
        np.dtype(ml_dtypes.bfloat16)
        if dtype.kind == "V" and dtype.itemsize == 2 and dtype.names is None
        else dtype
    )


def quantized(where: str, dtype: str) -> PromptError:
    """What to say of an array whose values are no vectors without the scales that belong to them."""
    return PromptError(
        f"{where} holds {dtype} values, which are quantized; expected float32, float16 or bfloat16: "
        "save it as one of these"
    )


def load(path: Path, key: str, stored: Stored) -> np.ndarray:
    """The array `key` of a file. Raises PromptError when it is too large to be part of a prompt."""
    if math.prod(stored.shape) * 4 > MOST_BYTES:
        raise PromptError(
            f"{path}: {key or 'the array'} has shape {shape_text(stored.shape)}, more than "
            f"{MOST_BYTES >> 20} MB in float32; "
            "expected prompt tokens × embedding size: is this a whole model?"
        )
    return stored.load()


def choose(
    path: Path, arrays: Mapping[str, Stored], key: str | None, candidates: Mapping[str, Stored] | None = None
) -> str:
    """The name of the array that is the prompt: `key`, else the only candidate (default: the only matrix).

    Raises PromptError when `key` is not there, or when none or several could be meant.
    """
    if key is not None:
        if key not in arrays:
            raise PromptError(f"{path}: no array {key[:80]}; found {listing(arrays)}")
        rows = arrays[key].shape[0] if arrays[key].matrix else 0
        if rows > MOST_TOKENS and rows > arrays[key].shape[1]:
            raise PromptError(
                f"{path}: {key[:LONGEST_KEY]} has {rows:,} rows, as a vocabulary has; expected a prompt of "
                f"at most {MOST_TOKENS:,} tokens: is this the embedding table of a model?"
            )
        return key
    if candidates is None:
        matrices = {name: stored for name, stored in arrays.items() if stored.matrix}
        candidates = {name: stored for name, stored in matrices.items() if stored.floating} or matrices
        if len(candidates) > 1:
            candidates = {
                name: stored for name, stored in candidates.items() if not _of_a_model(name, stored)
            }
            candidates = dict(sorted(candidates.items(), key=lambda one: PROMPT.search(one[0]) is None))
    if len(candidates) == 1:
        return next(iter(candidates))
    named = f"; name one, such as {path.name}#{next(iter(candidates), None)}"
    way_out = named if candidates else _ways(path, arrays)
    raise PromptError(
        f"{path}: found {listing(candidates or arrays)}; expected exactly one array of prompt tokens "
        f"× embedding size, [P, H]{way_out}",
        "key" if candidates else None,
    )


def _ways(path: Path, arrays: Mapping[str, Stored]) -> str:
    """How one slice of three dimensions, or one of several vectors, is named."""
    for key, stored in arrays.items():
        if stored.floating and len(stored.shape) == 3:
            return f"; one slice of {key or 'it'} is named {path.name}#{key}/0"
        if stored.floating and len(stored.shape) == 1 and key:
            return f"; a vector is a prompt of one token when it is named: {path.name}#{key}"
    return ""


def sliced(arrays: Mapping[str, Stored], key: str | None) -> tuple[dict[str, Stored], str | None]:
    """The arrays with the one that a key such as `key/2` names: slice 2 of a [N, P, H] array; and with a
    named one-dimensional array as a prompt of one token, [1, H]. Other keys as they are.
    """
    if key is None:
        return dict(arrays), None
    name, _, number = key.rpartition("/")
    whole = arrays.get(name)
    if key not in arrays and whole is not None and len(whole.shape) == 3 and number.isdecimal():
        index = int(number[:18])
        if index >= whole.shape[0]:
            raise PromptError(
                f"no slice {number[:18]} of {name or 'the array'} {shape_text(whole.shape)}; expected 0 to "
                f"{whole.shape[0] - 1}",
                "key",
            )
        cut = Stored(whole.shape[1:], whole.dtype, lambda: whole.load()[index])
        return {**arrays, key: cut}, key
    flat = arrays.get(key)
    if flat is not None and len(flat.shape) == 1:
        return {**arrays, key: Stored((1, *flat.shape), flat.dtype, lambda: flat.load()[None])}, key
    return dict(arrays), key


def _of_a_model(name: str, stored: Stored) -> bool:
    """Whether an array among others is a model's or an optimizer's: by its name, or by more rows than a
    prompt has tokens.
    """
    return MODEL.search(name) is not None or (stored.shape[0] > MOST_TOKENS and PROMPT.search(name) is None)


def listing(arrays: Mapping[str, Stored]) -> str:
    """The first arrays with their shapes, for messages."""
    named = [
        f"{key[:LONGEST_KEY] or 'array'} {shape_text(stored.shape)}"
        for key, stored in list(arrays.items())[:LISTED]
    ]
    more = f" and {len(arrays) - LISTED} more" if len(arrays) > LISTED else ""
    return ", ".join(named) + more if named else "no array"


def shape_text(shape: tuple[int, ...]) -> str:
    """A shape as Python writes it, of any number of dimensions."""
    return str(shape) if len(shape) <= 8 else f"({', '.join(map(str, shape[:8]))}, …)"


def read_json(path: Path) -> dict:
    """The JSON object in a file. Raises PromptError when it is too long, damaged or no object."""
    check_itself(path, PromptError)
    try:
        if path.stat().st_size > MOST_JSON:
            raise PromptError(
                f"{path}: {path.stat().st_size:,} bytes of JSON; expected at most {MOST_JSON:,}"
            )
        return parse_json(path.read_bytes(), path)
    except OSError as error:
        raise PromptError(f"{path}: cannot be read as JSON ({error})") from error


def parse_json(content: bytes, path: Path) -> dict:
    """The JSON object that `content` holds; `path` is for messages. Raises PromptError when it is damaged or
    no object.
    """
    try:
        read = json.loads(content.decode("utf-8-sig"), parse_int=_whole_number)
        _check_depth(read)
        json.dumps(
            read, ensure_ascii=False
        ).encode()  # half a surrogate pair is no text, but JSON can escape it
    except (ValueError, RecursionError) as error:
        raise PromptError(f"{path}: cannot be read as JSON ({first_line(error)})") from error
    if not isinstance(read, dict):
        raise PromptError(f"{path}: found a JSON {type(read).__name__}; expected an object")
    return read


def _whole_number(digits: str) -> int:
    """A whole number that tables can hold."""
    if len(digits) > 20 or not -(2**63) <= (number := int(digits)) < 2**64:
        raise ValueError(f"the whole number {digits[:24]}{'…' * (len(digits) > 24)} takes more than 64 bits")
    return number


def _check_depth(read: object) -> None:
    """Raise ValueError for objects in objects that code which follows them would not come back from."""
    level = [read]
    for _ in range(DEEPEST_JSON):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return
    raise ValueError(f"objects in objects, more than {DEEPEST_JSON} levels")


def first_line(error: Exception) -> str:
    """What an error says, in one short line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


def starts_with(path: Path, *openings: bytes) -> bool:
    """Whether a regular file begins with one of some bytes; False for what is no file or cannot be read."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(max(map(len, openings))).startswith(openings)
    except OSError:
        return False
