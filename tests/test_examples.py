"""The examples: texts that are enough, balanced, distinct and readable as a task; a notebook and commands
that run.
"""

import csv
import os
import re
import shlex
import shutil
import subprocess
from collections import Counter
from itertools import combinations, pairwise
from pathlib import Path
from statistics import mean

import pytest
from typer.testing import CliRunner

from explorer.cli import app
from explorer.texts.tasks import read_task

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
DOMAINS = ("films", "restaurants", "products")
"""of one task, sentiment"""
FILES = dict.fromkeys(DOMAINS, ("negative", "positive"))
FILES |= {
    "opinions": ("objective", "subjective"),
    "questions": ("abbreviation", "description", "entity", "human", "location", "number"),
}
"""name -> its labels, in the order of the alphabet"""


def _rows(domain: str) -> list[dict[str, str]]:
    with open(EXAMPLES / f"{domain}.tsv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold().replace("'", ""))


def test_there_are_enough_rows_and_none_comes_twice():
    rows = {name: _rows(name) for name in FILES}
    assert all(len(found) >= 80 for found in rows.values())
    texts = [" ".join(_words(row["text"])) for found in rows.values() for row in found]
    assert [text for text, times in Counter(texts).items() if times > 1] == []


def test_domains_and_labels_are_balanced():
    for name, labels in FILES.items():
        counts = Counter(row["label"] for row in _rows(name))
        assert set(counts) == set(labels)
        average = mean(counts.values())
        assert all(abs(count - average) <= 0.1 * average for count in counts.values()), counts


@pytest.mark.parametrize("name", FILES)
def test_labels_are_mixed_without_a_pattern(name):
    answers = [row["label"] for row in _rows(name)]
    changes = sum(first != second for first, second in pairwise(answers)) / (len(answers) - 1)
    assert abs(changes - (1 - 1 / len(FILES[name]))) < 0.2, "about as often as in a drawn order"


@pytest.mark.parametrize("name", FILES)
def test_cells_are_plain_and_short(name):
    for row in _rows(name):
        assert set(row) == {"text", "label"}, row
        text = row["text"]
        assert (3 if name == "questions" else 5) <= len(text.split()) <= 40, text
        assert text == " ".join(text.split()), text
        assert '"' not in text, text
        assert text[0] not in "=+-@", text


@pytest.mark.parametrize("name", [name for name in FILES if name != "questions"])
def test_openings_differ(name):
    openings = Counter(tuple(_words(row["text"])[:4]) for row in _rows(name))
    assert [opening for opening, times in openings.items() if times > 1] == []


@pytest.mark.parametrize("name", FILES)
def test_texts_share_few_words(name):
    """Questions are short and begin alike: "what does … stand for"."""
    texts = [set(_words(row["text"])) for row in _rows(name)]
    overlaps = [len(first & second) / len(first | second) for first, second in combinations(texts, 2)]
    assert mean(overlaps) < (0.2 if name == "questions" else 0.1)
    assert max(overlaps) < (0.7 if name == "questions" else 0.4)


@pytest.mark.parametrize("name", FILES)
def test_read_task_reads_them(name):
    task = read_task(EXAMPLES / f"{name}.tsv")
    rows = _rows(name)
    assert tuple(sorted(task.labels)) == FILES[name]
    assert task.texts == tuple(row["text"] for row in rows)
    assert task.answers == tuple(row["label"] for row in rows)


@pytest.mark.slow
def test_the_tour_runs_from_top_to_bottom_and_shows_tables(tmp_path):
    """As somebody runs it: in the folder of the examples, which it leaves as it is but for `out/`."""
    import nbformat
    from nbclient import NotebookClient

    shutil.copytree(EXAMPLES, tmp_path / "examples", ignore=shutil.ignore_patterns("out"))
    notebook = nbformat.read(tmp_path / "examples" / "tour.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "the notebook is kept without outputs"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JUPYTER_PLATFORM_DIRS": "1"}
    client = NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path / "examples")}},
    )
    client.execute(env=environment)
    results = [cell.outputs[-1]["data"] for cell in notebook.cells if cell.cell_type == "code"]
    assert all("<table" in data["text/html"] for data in results)
    assert all(len(data["text/plain"].splitlines()) <= 3 for data in results)
    left = {path.name for path in (tmp_path / "examples").iterdir()} - {
        path.name for path in EXAMPLES.iterdir()
    }
    assert left <= {"out"}


@pytest.mark.slow
def test_examples_that_write_do_so_in_an_ignored_folder_and_run_twice(tmp_path, monkeypatch):
    lines = re.search(r"```sh\n(.*?)```", (EXAMPLES / "README.md").read_text(encoding="utf-8"), re.DOTALL)[
        1
    ].splitlines()
    writing = [shlex.split(line)[1:] for line in lines if " out/" in line]
    assert len(writing) >= 2
    (tmp_path / "examples").symlink_to(EXAMPLES)
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        for arguments in writing:
            result = CliRunner().invoke(app, arguments)
            assert result.exit_code == 0, result.output[-2000:]
    assert {path.name for path in tmp_path.iterdir()} == {"examples", "out"}
    ignored = subprocess.run(
        ["git", "check-ignore", "out/x", "examples/out/x"], cwd=ROOT, capture_output=True, text=True
    )
    assert not (ROOT / ".git").exists() or ignored.stdout.split() == ["out/x", "examples/out/x"]
