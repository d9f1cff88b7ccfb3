"""Writers of other tools' checkpoints: by the tool itself or its libraries where they install, else from the
format's description.

Each writes `vectors` [P, H] below a folder and returns what `read_prompt` is to be given.
"""

import io
import json
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import ml_dtypes
import numpy as np

from explorer.formats import FORMATS

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def npy(folder: Path, vectors: np.ndarray) -> Path:
    np.save(folder / "prompt.npy", vectors)
    return folder / "prompt.npy"


def npz(folder: Path, vectors: np.ndarray) -> Path:
    np.savez_compressed(folder / "prompt.npz", prompt=vectors, steps=np.arange(3))
    return folder / "prompt.npz"


def safetensors(folder: Path, vectors: np.ndarray) -> Path:
    from safetensors.numpy import save_file

    save_file({"soft": vectors}, folder / "prompt.safetensors")
    return folder / "prompt.safetensors"


def torch_file(folder: Path, vectors: np.ndarray) -> Path:
    import torch

    torch.save(
        {"prompt": {"weight": torch.nn.Parameter(torch.tensor(vectors))}, "step": 3}, folder / "prompt.pt"
    )
    return folder / "prompt.pt"


def google(folder: Path, vectors: np.ndarray) -> Path:
    """Steps as the paper's code saves them: NumPy without a suffix, bfloat16 as bare two-byte values."""
    for step, factor in ((1_100_000, 0.0), (1_100_500, 0.5), (1_101_000, 1.0)):
        place = folder / "run" / f"checkpoint_{step}"
        place.mkdir(parents=True)
        with (place / "encoder.prompt.prompt.prompt").open("wb") as file, np.errstate(invalid="ignore"):
            np.save(file, (factor * vectors).astype(BFLOAT16).view("V2"))
    return folder / "run"


def t5x(
    folder: Path, vectors: np.ndarray, zarr_chunks: tuple[int, int] | None = None, compressor: object = "gzip"
) -> Path:
    """flax's msgpack, with the prompt inside it or beside it as zarr version 2, and things a reader must pass
    over.
    """
    import msgpack

    place = folder / "checkpoint_1000100"
    place.mkdir(parents=True)

    def inline(array: np.ndarray) -> msgpack.ExtType:
        return msgpack.ExtType(
            1, msgpack.packb((array.shape, array.dtype.name, array.tobytes()), use_bin_type=True)
        )

    leaf: object = inline(vectors)
    if zarr_chunks is not None:
        write_zarr(place / "target.encoder.prompt.prompt.prompt", vectors, zarr_chunks, compressor)
        leaf = {
            "driver": "zarr",
            "kvstore": {"driver": "file", "path": "target.encoder.prompt.prompt.prompt"},
            "dtype": "float32",
        }
    target = {
        "token_embedder": {
            "embedding": {
                "driver": "zarr",
                "kvstore": {"driver": "file", "path": "target.token_embedder.embedding"},
            }
        },
        "encoder": {
            "prompt": {"prompt": {"prompt": leaf}},
            "layers_0": {"scale": inline(np.ones(3, np.float32))},
        },
    }
    state = {
        "step": inline(np.array(1_000_100)),
        "param_states": {"0": {"m": inline(np.zeros((2, 2), np.float32))}, "n": None},
    }
    (place / "checkpoint").write_bytes(
        msgpack.packb({"version": 3, "optimizer": {"state": state, "target": target}})
    )
    return place


def write_zarr(place: Path, array: np.ndarray, chunks: tuple[int, int], compressor: object) -> None:
    import zarr
    from numcodecs import Blosc, GZip, Zstd

    codec = {"gzip": GZip(), "blosc": Blosc(), "zstd": Zstd(), None: None}[compressor]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stored = zarr.create_array(
            store=str(place),
            shape=array.shape,
            chunks=chunks,
            dtype=array.dtype,
            zarr_format=2,
            compressors=codec,
        )
        stored[:] = array


def openprompt(folder: Path, vectors: np.ndarray) -> Path:
    """MixedTemplate's table, whose row 0 is never used, in a checkpoint of plain tensors."""
    import torch

    padded = torch.tensor(np.concatenate([np.full((1, vectors.shape[1]), 7, vectors.dtype), vectors]))
    torch.save(
        {"state_dict": {"template": {"soft_embedding.weight": padded}, "verbalizer": {}}, "epoch": 2},
        folder / "best.ckpt",
    )
    return folder / "best.ckpt"


def adapterhub(folder: Path, vectors: np.ndarray) -> Path:
    import torch

    place = folder / "adapter"
    place.mkdir()
    method = {
        "architecture": "prompt_tuning",
        "prompt_length": len(vectors),
        "prompt_init": "from_string",
        "prompt_init_text": "good films",
    }
    config = {
        "config": method,
        "hidden_size": vectors.shape[1],
        "model_class": "T5AdapterModel",
        "model_name": "t5-base",
        "model_type": "t5",
        "name": "films",
    }
    (place / "adapter_config.json").write_text(json.dumps(config))
    torch.save(
        {"prompt_tuning.base_model_embeddings.x.prompt_embedding.weight": torch.tensor(vectors)},
        place / "pytorch_adapter.bin",
    )
    return place


def nemo(folder: Path, vectors: np.ndarray, tasks: tuple[str, ...] = ("films",), mode: str = "w:gz") -> Path:
    import torch

    buffer = io.BytesIO()
    tables = {
        f"prompt_table.prompt_table.{task}.prompt_embeddings.weight": torch.tensor(vectors + number)
        for number, task in enumerate(tasks)
    }
    torch.save({**tables, "frozen": torch.ones(3)}, buffer)
    with tarfile.open(folder / "films.nemo", mode) as archive:
        for name, content in {
            "./model_config.yaml": b"a: 1\n",
            "./model_weights.ckpt": buffer.getvalue(),
        }.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return folder / "films.nemo"


def kobold(folder: Path, vectors: np.ndarray) -> Path:
    buffer = io.BytesIO()
    np.save(buffer, vectors.astype(BFLOAT16).view("V2"))
    with zipfile.ZipFile(folder / "softprompt.zip", "w") as archive:
        archive.writestr("tensor.npy", buffer.getvalue())
        archive.writestr(
            "meta.json",
            json.dumps({"name": "Films", "author": "me", "supported": "GPT-J", "description": "…"}),
        )
    return folder / "softprompt.zip"


def peft(
    folder: Path,
    vectors: np.ndarray,
    weights: str = "adapter_model.safetensors",
    kind: str = "PROMPT_TUNING",
    **tensors: np.ndarray,
) -> Path:
    """Two halves, of which PEFT uses the first, as it stores encoder–decoder prompts."""
    import torch
    from safetensors.numpy import save_file

    place = folder / "theirs"
    place.mkdir()
    config = {
        "peft_type": kind,
        "task_type": "SEQ_2_SEQ_LM",
        "num_virtual_tokens": len(vectors),
        "base_model_name_or_path": "t5-base",
    }
    (place / "adapter_config.json").write_text(json.dumps(config))
    content = {"prompt_embeddings": np.concatenate([vectors, np.full_like(vectors, 9)]), **tensors}
    if weights.endswith(".bin"):
        torch.save({key: torch.tensor(array) for key, array in content.items()}, place / weights)
    else:
        save_file(content, place / weights)
    return place


def trainer(folder: Path, vectors: np.ndarray) -> Path:
    """Adapters of two steps, as the Trainer saves them."""
    for step, factor in ((10, 0.5), (20, 1.0)):
        place = folder / "run" / f"checkpoint-{step}"
        place.parent.mkdir(exist_ok=True)
        peft(place.parent, factor * vectors).rename(place)
        (place / "trainer_state.json").write_text(json.dumps({"global_step": step, "log_history": []}))
    return folder / "run"


def _writer(name: str) -> Callable[[Path, np.ndarray], Path]:
    """Of a format: a function here, else `example` in the format's own test."""
    return globals().get(name) or import_module(f"test_{name}").example


torch = torch_file
WRITERS = {form.name: _writer(form.name) for form in FORMATS}
"""format as `Origin.format` calls it -> its writer"""
