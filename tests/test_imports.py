"""What a command must not import: looking at neighbors needs the embedding table and FAISS, not the model."""

import subprocess
import sys

import pytest

from explorer.cli import COMMANDS
from explorer.formats import find_prompts

HEAVY = (
    "torch",
    "transformers",
    "umap",
    "sklearn",
    "scipy",
    "numba",
    "streamlit",
    "plotly",
    "datasets",
    "peft",
    "huggingface_hub",
    "rich",
)
LIGHT = ("numpy", "pandas", "faiss", "safetensors", "tokenizers")


def _imported(*arguments: str) -> set[str]:
    """Top-level packages that `python -m explorer ARGUMENTS` imports in a fresh process."""
    command = [sys.executable, "-X", "importtime", "-m", "explorer", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().split(".")[0] for line in lines}


@pytest.fixture
def prompt(tiny_prompts):
    return str(next(path for path, _ in find_prompts(tiny_prompts)))


@pytest.mark.parametrize(
    "options",
    [
        ("--csv", "-"),
        *(pytest.param(o, marks=pytest.mark.slow) for o in ((), ("--json",), ("--metric", "csls"))),
    ],
    ids=" ".join,
)
def test_neighbors_imports_nothing_heavy(prompt, options):
    imported = _imported("neighbors", prompt, *options)
    assert not imported & set(HEAVY)
    assert set(LIGHT) <= imported, "the measure has lost its sense: these are what the time is compared with"


@pytest.mark.parametrize("options", [("inspect", "--json"), ("inspect",)], ids=" ".join)
def test_inspect_imports_nothing_heavy(prompt, options):
    assert not _imported(*options, prompt) & set(HEAVY)


def test_prompts_imports_nothing_heavy(tiny_prompts):
    assert not _imported("prompts", str(tiny_prompts)) & set(HEAVY)


@pytest.mark.parametrize(
    "command",
    [
        "",
        "neighbors",
        *(pytest.param(name, marks=pytest.mark.slow) for name in COMMANDS if name != "neighbors"),
    ],
)
def test_help_imports_not_even_numpy(command):
    assert not _imported(*command.split(), "--help") & {*HEAVY, *LIGHT}


def test_the_public_package_imports_nothing_before_it_is_used():
    code = "import sys, explorer; dir(explorer); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()
    assert not {name.split(".")[0] for name in loaded} & {*HEAVY, *LIGHT}


def test_a_session_reads_vectors_without_torch(prompt):
    code = (
        "import sys, explorer; s = explorer.open(sys.argv[1]); repr(s), repr(s.neighbors()), "
        "repr(s.clusters()), repr(s.labels()), s.notes;print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code, prompt], capture_output=True, text=True, check=True, timeout=120
    ).stdout.split()
    assert not {name.split(".")[0] for name in loaded} & {*HEAVY} - {"scipy"}
