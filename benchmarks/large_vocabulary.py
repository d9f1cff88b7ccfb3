"""Host memory that opening and searching a large vocabulary takes: a random table of mT5-XXL's shape, and T5
XXL's as one of two shards.

Writes the tables to a temporary folder (2.3 GB), runs `python -m explorer neighbors` in a fresh process and
prints its peak memory. Usage: python benchmarks/large_vocabulary.py [--folder DIR] [--shape NAME] [--metric
METRIC]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models

ROOT = Path(__file__).resolve().parent.parent
SHAPES = {"mT5-XXL": (250_112, 4096, 12.0), "T5 XXL": (32_128, 4096, 2.0)}
"""name -> rows, width, GiB that it may take"""
METRICS = ("cosine", "whitened")
MEASURE = (
    "import resource, runpy, sys; sys.argv[0] = 'explorer'\n"
    "try: runpy.run_module('explorer', run_name='__main__')\n"
    "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, file=sys.stderr)"
)


def write_model(folder: Path, rows: int, width: int, sharded: bool) -> None:
    """A folder with a vocabulary of made-up words and a random bfloat16 table, beside a shard that must not
    be read.
    """
    folder.mkdir()
    (folder / "config.json").write_text(
        json.dumps({"model_type": "t5", "d_model": width, "vocab_size": rows})
    )
    vocabulary = {"<pad>": 0, "</s>": 1, "<unk>": 2} | {f"▁word{number}": number for number in range(3, rows)}
    Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>")).save(str(folder / "tokenizer.json"))
    table = np.empty((rows, width), ml_dtypes.bfloat16)
    generator = np.random.default_rng(0)
    for start in range(0, rows, 4096):
        table[start : start + 4096] = generator.standard_normal(table[start : start + 4096].shape, np.float32)
    if not sharded:
        save_file({"shared.weight": table}, folder / "model.safetensors")
        return
    save_file({"shared.weight": table}, folder / "model-00001-of-00002.safetensors")
    (folder / "model-00002-of-00002.safetensors").write_bytes(b"not to be read")
    shards = {
        "shared.weight": "model-00001-of-00002.safetensors",
        "lm_head.weight": "model-00002-of-00002.safetensors",
    }
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))


def peak(folder: Path, prompt: Path, metric: str) -> float:
    """GiB of memory that the neighbor table of 100 tokens takes in a fresh process, 4,000 null vectors
    included.
    """
    command = [
        sys.executable,
        "-c",
        MEASURE,
        "neighbors",
        str(prompt),
        "--model",
        str(folder),
        "--metric",
        metric,
        "--csv",
        "-",
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    if done.stdout.count("\n") != 1001:
        raise SystemExit(f"expected 1,000 neighbors, found {done.stdout.count(chr(10)) - 1}")
    return int(done.stderr.splitlines()[-1]) / 2**30


def main() -> None:
    """Write, measure, print; exit with 1 when more memory was taken than may be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", help="where the tables are written for the time of the measurement")
    parser.add_argument("--shape", choices=SHAPES, action="append", help="only this one")
    parser.add_argument("--metric", choices=METRICS, action="append", help="only this one")
    options = parser.parse_args()
    worst = 0.0
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        for name in options.shape or SHAPES:
            rows, width, allowed = SHAPES[name]
            folder, prompt = Path(scratch) / name.replace(" ", "-"), Path(scratch) / "prompt.npy"
            write_model(folder, rows, width, sharded=name == "T5 XXL")
            np.save(prompt, np.random.default_rng(1).standard_normal((100, width)).astype(np.float32))
            for metric in options.metric or METRICS:
                taken = peak(folder, prompt, metric)
                worst = max(worst, taken / allowed)
                print(
                    f"{name}, {rows:,} × {width:,}, {metric}: {taken:.2f} GiB at most, allowed {allowed:g}",
                    flush=True,
                )
    sys.exit(worst > 1)


if __name__ == "__main__":
    main()
