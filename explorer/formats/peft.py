"""PEFT adapters whose vectors live among the input embeddings: prompt tuning, P-tuning, multitask prompt
tuning.

Our own checkpoints are the first kind, with `explorer.json` and a trajectory beside it.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from explorer.errors import PromptError, WriteError
from explorer.formats.declared import Format
from explorer.formats.names import number_of
from explorer.formats.record import RECORD, TRAJECTORY, Record, read_record, read_trajectory, record_of
from explorer.formats.safetensors_arrays import list_safetensors
from explorer.formats.stored import Stored, listing, load, read_json, unwrapped
from explorer.formats.torch_arrays import list_torch
from explorer.prompt import HEADS, Origin, SoftPrompt
from explorer.system.bounded import check_itself
from explorer.system.files import write_folder
from explorer.words.wording import article

CONFIG, WEIGHTS, OLD_WEIGHTS = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
TABLE, COLUMNS, ROWS = "prompt_embeddings", "prefix_task_cols", "prefix_task_rows"
UNTRAINED = "untrained"
"""the key that reads the rows PEFT never uses, a control that no training has touched"""
INITIALIZATIONS = {"RANDOM": "random", "SAMPLE_VOCAB": "sampled-vocab"}
"""PEFT's names and the paper's"""
MULTITASK = "MULTITASK_PROMPT_TUNING"
KINDS = ("PROMPT_TUNING", "P_TUNING", MULTITASK)
_REFUSED = {
    "PREFIX_TUNING": "its vectors are keys and values inside the layers, not input embeddings",
    "CPT": "its prompt is trained together with the examples before it",
}


def recognizes(path: Path) -> bool:
    """Whether `path` is a folder with an adapter configuration."""
    return path.is_dir() and (path / CONFIG).is_file()


def read(path: Path, name: str, key: str | None = None) -> SoftPrompt:
    """Read a PEFT adapter of prompt tuning, P-tuning or multitask prompt tuning.

    PEFT stores n rows for each of `num_transformer_submodules`, but only the first n are ever used: the rest
    are dropped and said so; `key` "untrained" reads them instead. A multitask adapter has a prompt for each
    task: `key` is its number; its second n rows stand before the decoder's
    input. Raises PromptError for another kind of adapter, missing or damaged files, and
    shapes that do not fit.
    """
    config, kind = read_json(path / CONFIG), kind_of(path)
    file, arrays = weights(path, (WEIGHTS, OLD_WEIGHTS))
    if TABLE not in arrays:
        raise PromptError(f"{file}: found {', '.join(sorted(arrays)[:5]) or 'nothing'}; expected {TABLE}")
    if arrays[TABLE].shape == (0,):
        raise PromptError(
            f"{file}: {TABLE} has shape (0,), as DeepSpeed ZeRO-3 leaves it: the weights were not gathered; "
            "run the zero_to_fp32.py beside the checkpoint, or save on the gathered model"
        )
    if not arrays[TABLE].matrix:
        raise PromptError(f"{file}: {TABLE} has shape {arrays[TABLE].shape}; expected two dimensions, [P, H]")
    rows = arrays[TABLE].shape[0]
    length = _length(path, config, rows)
    table, dropped = load(file, TABLE, arrays[TABLE]), rows - length
    if key == UNTRAINED and kind != MULTITASK:
        return _untrained(path, name, table, length, config)
    found_key = TABLE
    if kind == MULTITASK:
        table, found_key = _of_task(file, arrays, table, key)
    elif key not in (None, TABLE):
        raise PromptError(
            f"{path}: no array {key[:80]}; found {TABLE}" + (f" and the {UNTRAINED} half" if dropped else "")
        )
    behind = table[length:] if kind == MULTITASK and dropped == length else None
    dropped -= 0 if behind is None else len(behind)
    warnings = []
    if behind is not None:
        warnings.append(
            f"{len(behind)} of its {rows} rows stand before the decoder's input, where PEFT trains "
            "them; readings are of those before the encoder's"
        )
    elif dropped:
        warnings.append(f"{dropped} of {rows} rows dropped: PEFT never uses nor trains the decoder's half")
    beside = tuple(
        f"{_what(name)} {name} {' × '.join(map(str, stored.shape))}"
        for name, stored in sorted(arrays.items())
        if name not in (TABLE, COLUMNS, ROWS)
    )
    if beside:
        warnings.append(f"the file holds more than the prompt, which is not read: {', '.join(beside[:4])}")
    if (task_type := str(config.get("task_type") or "")) in HEADS:
        warnings.append(
            f"trained with a head for {HEADS[task_type]} ({task_type}): no command runs a model with it"
        )
    record, trajectory = read_record(path / RECORD) if (path / RECORD).is_file() else None, None
    if (path / TRAJECTORY).is_file():
        trajectory = read_trajectory(
            path / TRAJECTORY, table[:length].shape, record is None or record.from_start is not False
        )
    origin = _origin(path, config, record, found_key, arrays[TABLE].dtype, dropped, tuple(warnings))
    return SoftPrompt(table[:length], name, replace(origin, beside=beside), trajectory, behind)


def _length(path: Path, config: dict, rows: int) -> int:
    """How many of the rows stand before the (encoder's) input: `num_virtual_tokens`. Raises PromptError,
    which names both, where the rows are not as many, or as many for each half of a model with a decoder.
    """
    named, halves = config.get("num_virtual_tokens"), config.get("num_transformer_submodules")
    decoder = config.get("task_type") in (None, "", "SEQ_2_SEQ_LM")
    halves = (2 if decoder else 1) if halves is None else halves
    if all(type(number) is int and number > 0 for number in (named or 1, halves)):
        if named is None and (halves == 1 or not decoder):
            return rows
        if named is not None and rows in (named, named * halves if decoder else named):
            return named
    expected = "num_virtual_tokens as it was in training" if named is None else "as many rows"
    half = ", or twice as many of a model with a decoder of its own" if decoder and named is not None else ""
    raise PromptError(
        f"{path}: the configuration names {repr(named)[:40]} virtual tokens"
        f"{'' if halves in (1, 2) else f' for {repr(halves)[:40]} submodules'}, the weights hold {rows} "
        f"rows; expected {expected}{half}"
    )


def _what(key: str) -> str:
    """What an array beside a prompt is, by its name."""
    parts = set(key.split("."))
    if parts & {"score", "classifier", "qa_outputs", "classification_head", "pre_classifier"}:
        return "head"
    tables = {"embed_tokens", "word_embeddings", "wte", "embed_in", "shared", "lm_head", "embeddings"}
    return "embedding table" if parts & tables else "array"


def kind_of(path: Path) -> str:
    """Which of KINDS the adapter in a folder is. Raises PromptError for another kind, and for a damaged
    configuration.
    """
    kind = str(read_json(path / CONFIG).get("peft_type") or "nameless")[:40]
    if kind not in KINDS:
        why = f": {_REFUSED[kind]}" if kind in _REFUSED else ", whose vectors live among the input embeddings"
        raise PromptError(
            f"{path}: found {article(kind)} adapter; expected peft_type PROMPT_TUNING (or "
            f"{', '.join(KINDS[1:])}){why}"
        )
    return kind


def is_multitask(path: Path) -> bool:
    """Whether the adapter in a folder has a prompt for each of several tasks; False for what cannot be
    read.
    """
    try:
        return read_json(path / CONFIG).get("peft_type") == MULTITASK
    except PromptError:
        return False


def weights(path: Path, names: tuple[str, ...]) -> tuple[Path, dict[str, Stored]]:
    """The first weight file of an adapter folder that is there, and its arrays. Raises PromptError when there
    is none.
    """
    for name in names:
        if (path / name).is_file():
            check_itself(path / name, PromptError)
            arrays = (list_safetensors if name.endswith(".safetensors") else list_torch)(path / name)
            return path / name, {unwrapped(key): stored for key, stored in arrays.items()}
    raise PromptError(f"{path}: no {names[0]}; expected the adapter's weights beside {CONFIG}")


def _untrained(path: Path, name: str, table: np.ndarray, length: int, config: dict) -> SoftPrompt:
    """The rows beyond the first `length`."""
    if len(table) == length:
        raise PromptError(f"{path}: all {length} rows are in use; there is no {UNTRAINED} half")
    warning = (
        f"these are the last {len(table) - length} of {len(table)} rows, which PEFT never uses nor "
        "trains: a control, not a prompt"
    )
    origin = Origin(
        "peft", path, UNTRAINED, table.dtype.name, length, _base_model(config), warnings=(warning,)
    )
    return SoftPrompt(table[length:], name, origin)


def _of_task(
    file: Path, arrays: dict[str, Stored], table: np.ndarray, key: str | None
) -> tuple[np.ndarray, str]:
    """The prompt of one task: table ∘ (cols[t] @ rows[t]), [2n, H] (Wang et al. 2023), and what it is
    called.
    """
    shapes = {name: arrays[name].shape for name in (COLUMNS, ROWS) if name in arrays}
    tasks, ranks = (
        (shapes[COLUMNS][0], shapes[COLUMNS][-1]) if len(shapes) == 2 and shapes[COLUMNS] else (0, 0)
    )
    if not tasks or shapes != {COLUMNS: (tasks, len(table), ranks), ROWS: (tasks, ranks, table.shape[1])}:
        raise PromptError(
            f"{file}: found {listing(arrays)}; expected {COLUMNS} [T, P, r] and {ROWS} [T, r, H] that "
            f"fit {TABLE} {table.shape}"
        )
    if key is None and tasks == 1:
        key = "0"
    number = None if key is None else number_of(key)
    if number is None or number >= tasks:
        asked = "" if key is None else f" (asked for {key[:80]})"
        raise PromptError(
            f"{file}: a prompt for each of {tasks} tasks{asked}; name one by its number, 0 to "
            f"{tasks - 1}, such as {file.parent.name}#0",
            "key",
        )
    columns, rows = (load(file, name, arrays[name])[number].astype(np.float32) for name in (COLUMNS, ROWS))
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is reported as such
        return table.astype(np.float32) * (columns @ rows), f"{TABLE}, task {number}"


def _origin(
    path: Path,
    config: dict,
    record: Record | None,
    key: str,
    dtype: str,
    dropped: int,
    warnings: tuple[str, ...],
) -> Origin:
    known = record or Record()
    initialization = known.initialization
    if (
        initialization is None and record is None
    ):  # beside our record the configuration says nothing of the beginning
        named = config.get("prompt_tuning_init")
        initialization = INITIALIZATIONS.get(named) if isinstance(named, str) else None
    if initialization is None and config.get("prompt_tuning_init") == "TEXT":
        initialization = f"text: {config.get('prompt_tuning_init_text')}"
    return Origin(
        format="peft" if record is None else "explorer",
        path=path,
        key=key,
        dtype=dtype,
        dropped_rows=dropped,
        base_model=known.base_model or _base_model(config),
        base_fingerprint=known.base_fingerprint,
        task_type=str(config["task_type"])[:40] if config.get("task_type") else None,
        task=known.task,
        labels=known.labels or None,
        initialization=initialization,
        seed=known.seed,
        step=known.step,
        rows=known.sources,
        template=known.template,
        history=known.evaluations,
        without_prompt=known.without_prompt,
        hyperparameters=known.hyperparameters or {},
        data=known.data or {},
        warnings=warnings,
    )


def _base_model(config: dict) -> str | None:
    name = config.get("base_model_name_or_path")
    return name if isinstance(name, str) and name else None


def write(
    prompt: SoftPrompt, folder: Path, versions: dict[str, str] | None = None, overwrite: bool = False
) -> None:
    """Write a prompt as a PEFT adapter with our record and trajectory: a new folder appears whole or not at
    all.

    versions: of the libraries that made it. overwrite: replace the files of a prompt that is there; other
    files in its folder stay. Raises WriteError when the folder exists and `overwrite` is False, holds
    something that is not a prompt, or cannot be written.
    """
    from safetensors.numpy import save

    import explorer

    if folder.exists() and not overwrite:
        raise WriteError(f"{folder} exists already; choose another folder or overwrite it", "overwrite")
    if folder.is_dir() and any(folder.iterdir()) and not recognizes(folder):
        raise WriteError(f"{folder}: holds files that are not a prompt; choose another folder")
    record = record_of(prompt, versions or {"explorer": explorer.__version__})
    files = {
        CONFIG: (json.dumps(_adapter_config(prompt), indent=1) + "\n").encode(),
        WEIGHTS: save(_arrays(prompt)),
        RECORD: (json.dumps(record, indent=1) + "\n").encode(),
    }
    if prompt.trajectory is not None:
        moved = prompt.trajectory
        files[TRAJECTORY] = save(
            {
                "vectors": np.ascontiguousarray(moved.vectors, np.float32),
                "steps": moved.steps.astype(np.int64),
            }
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(
            f"{folder}: cannot be written ({error.strerror or error}); choose another place"
        ) from error
    write_folder(
        folder, files, overwrite, obsolete=[TRAJECTORY] if TRAJECTORY not in files else []
    )  # of the prompt that was there


def _arrays(prompt: SoftPrompt) -> dict[str, np.ndarray]:
    """What is stored of a prompt; with vectors in the decoder, as the only task of a multitask adapter."""
    if prompt.decoder_vectors is None:
        return {TABLE: prompt.vectors}
    table = np.concatenate([prompt.vectors, prompt.decoder_vectors])
    columns, rows = np.ones((1, len(table), 1), np.float32), np.ones((1, 1, prompt.dimension), np.float32)
    return {TABLE: table, COLUMNS: columns, ROWS: rows}


def _adapter_config(prompt: SoftPrompt) -> dict:
    multitask = prompt.decoder_vectors is not None
    return {
        "peft_type": MULTITASK if multitask else "PROMPT_TUNING",
        "task_type": prompt.origin.task_type or "SEQ_2_SEQ_LM",
        "base_model_name_or_path": prompt.origin.base_model,
        "num_virtual_tokens": prompt.length,
        "token_dim": prompt.dimension,
        "num_transformer_submodules": 2 if multitask else 1,
        "prompt_tuning_init": "RANDOM",
        "inference_mode": True,
    } | ({"num_tasks": 1, "num_ranks": 1} if multitask else {})


FORMAT = Format(
    "peft",
    "PEFT",
    recognizes,
    read,
    usage=(
        ("PEFT: prompt tuning, P-tuning", "my-adapter"),
        ("… its untrained second half, as a control", '"my-adapter#untrained"'),
        ("PEFT: multitask prompt tuning, task 1", '"my-adapter#1"'),
        ("… a run of the Trainer: a folder of `checkpoint-<step>` adapters, read as a trajectory", "run"),
        ("… one of its steps", "run/checkpoint-500"),
        ("… one of several adapters in a run", '"run#name"'),
        ("an adapter on the Hugging Face hub, or in its cache", "user/my-prompt@main"),
        ("tuned with this package", "my-prompts/class-label-0"),
    ),
    weights=(WEIGHTS, OLD_WEIGHTS),
)
