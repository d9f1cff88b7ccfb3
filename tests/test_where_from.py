"""docs/formats.md, "where your prompt comes from → what to type": each line is typed as it stands there,
beside a checkpoint of that kind.
"""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import foreign
import numpy as np
import pytest
from test_cli import run
from test_trainer import adapter, state

from explorer.formats import FORMATS, peft, read_prompt
from explorer.prompt import Origin, SoftPrompt

VECTORS = np.random.default_rng(3).standard_normal((5, 12)).astype(np.float32)
DOCUMENT = (Path(__file__).resolve().parent.parent / "docs" / "formats.md").read_text(encoding="utf-8")
TABLE = DOCUMENT.partition("| where your prompt comes from")[2].partition("\n\n")[0]
LINES = re.findall(r"^\| (.+?) \| `(prompt-explorer .+?)`(?: \((.+)\))? \|$", TABLE, re.MULTILINE)


def multitask(here: Path) -> None:
    """PEFT's prompt of each task: the shared one times that task's product of low rank."""
    shared = {
        "prefix_task_cols": np.ones((2, 10, 1), np.float32),
        "prefix_task_rows": np.ones((2, 1, 12), np.float32),
    }
    foreign.peft(here, VECTORS, kind="MULTITASK_PROMPT_TUNING", **shared).rename(here / "my-adapter")


def trainer(here: Path) -> None:
    for step in (500, 1000):
        state(adapter(here / "run" / f"checkpoint-{step}", VECTORS * step / 1000), step, 500)


def several(here: Path) -> None:
    for name in ("name", "other"):
        adapter(here / "run" / "checkpoint-10" / name, VECTORS)


def hub(here: Path) -> None:
    folder, commit = here / "hub" / "models--user--my-prompt", "b" * 40
    adapter(folder / "snapshots" / commit, VECTORS)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(commit)


def released(here: Path) -> None:
    np.save(here / "sst2.npy", VECTORS)


def tuned_here(here: Path) -> None:
    peft.write(
        SoftPrompt(VECTORS, "texts/class-label-0", Origin("explorer", labels=("bad", "good"))),
        here / "my-prompts" / "class-label-0",
    )


def two_matrices(here: Path) -> None:
    np.savez(here / "prompt.npz", NAME=VECTORS, other=2 * VECTORS)


def renamed(writer: Callable, name: str, **more: object) -> Callable[[Path], None]:
    return lambda here: writer(here, VECTORS, **more).rename(here / name)


def array(here: Path) -> None:
    """Four files; the line names one of them, the others are typed likewise."""
    for writer in (foreign.npy, foreign.npz, foreign.safetensors, foreign.torch_file):
        writer(here, VECTORS)


MADE: dict[str, tuple[Callable[[Path], object], str]] = {
    "PEFT: prompt tuning, P-tuning": (renamed(foreign.peft, "my-adapter"), "peft"),
    "… its untrained second half, as a control": (renamed(foreign.peft, "my-adapter"), "peft"),
    "PEFT: multitask prompt tuning, task 1": (multitask, "peft"),
    "… a run of the Trainer: a folder of `checkpoint-<step>` adapters, read as a trajectory": (
        trainer,
        "peft",
    ),
    "… one of its steps": (trainer, "peft"),
    "… one of several adapters in a run": (several, "peft"),
    "an adapter on the Hugging Face hub, or in its cache": (hub, "peft"),
    "Google's prompt-tuning code: one released file": (released, "npy"),
    "… a folder of `checkpoint_<step>` folders, read as a trajectory": (
        lambda here: foreign.google(here, VECTORS),
        "google",
    ),
    "… one of its steps, in that folder": (lambda here: foreign.google(here, VECTORS), "google"),
    "T5X (needs the extra `t5x`, see below)": (renamed(foreign.t5x, "checkpoint_1100100"), "t5x"),
    "OpenPrompt, a checkpoint of plain tensors": (
        lambda here: foreign.openprompt(here, VECTORS),
        "openprompt",
    ),
    "AdapterHub": (renamed(foreign.adapterhub, "my-adapter"), "adapterhub"),
    "NeMo, the prompt of one task": (renamed(foreign.nemo, "prompts.nemo", tasks=("other", "task")), "nemo"),
    "KoboldAI": (lambda here: foreign.kobold(here, VECTORS), "kobold"),
    "`.npy`, `.npz`, `.safetensors`, `.pt` with one matrix": (array, "npz"),
    "… with several matrices": (two_matrices, "npz"),
    "tuned with this package": (tuned_here, "explorer"),
    "any of them, to another format": (lambda here: foreign.openprompt(here, VECTORS), "openprompt"),
}


def kind(place: int) -> str:
    """What a line is about; of two lines with the same words the second is told apart."""
    said = LINES[place][0]
    return said if said not in [line[0] for line in LINES[:place]] else f"{said}, in that folder"


MADE |= {
    said: (lambda here, form=form: foreign.WRITERS[form.name](here, VECTORS), form.name)
    for form in FORMATS
    for said, _ in form.usage
    if said not in MADE
}
"""a format that brings an example of its own is read from that example"""


def test_the_table_is_what_the_formats_declare():
    from research.documents import filled
    from research.formats import tables

    assert filled(DOCUMENT, lambda module: {"research.formats": tables()}[module]) == DOCUMENT, (
        "python -m research.documents docs/formats.md"
    )
    assert {kind(place) for place in range(len(LINES))} == {*MADE}


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """An empty folder that commands are typed in, with a hub cache of its own and no connection."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path


@pytest.mark.parametrize("place", range(len(LINES)), ids=kind)
def test_a_line_reads_what_it_says(place, here):
    _, typed, also = LINES[place]
    make, form = MADE[kind(place)]
    make(here)
    program, command, *arguments = shlex.split(typed)
    assert program == "prompt-explorer"
    if command == "inspect":
        read = json.loads(run(command, *arguments, "--json").stdout)
        assert (read["format"], read["length"], read["dimension"]) == (form, 5, 12)
        run(command, *arguments)
    else:
        for to in (arguments[-1], *re.findall(r"`(\w+)`", also)):
            out = f"{arguments[1]}-{to}"
            run(command, arguments[0], out, "--to", to)
            np.testing.assert_array_equal(read_prompt(out).vectors, VECTORS)


@pytest.mark.parametrize("name", ["prompt.npy", "prompt.npz", "prompt.safetensors", "prompt.pt"])
def test_files_with_one_matrix_are_typed_alike(name, here):
    array(here)
    assert json.loads(run("inspect", name, "--json").stdout)["length"] == 5


def test_steps_tasks_and_halves_are_the_ones_asked_for(here):
    trainer(here)
    np.testing.assert_array_equal(read_prompt("run/checkpoint-500").vectors, VECTORS / 2)
    assert read_prompt("run").trajectory.steps.tolist() == [500, 1000]
    foreign.nemo(here, VECTORS, tasks=("other", "task"))
    np.testing.assert_array_equal(read_prompt("films.nemo#task").vectors, VECTORS + 1)
    foreign.peft(here, VECTORS)
    np.testing.assert_array_equal(read_prompt("theirs#untrained").vectors, np.full_like(VECTORS, 9))
