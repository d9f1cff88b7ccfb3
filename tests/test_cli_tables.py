"""Tables for people: no line is longer than 100 columns, whatever prompts are called; `--wide` has what CSV
has; a sentence concludes.
"""

import unicodedata

import numpy as np
import pytest
from test_cli import as_csv, run, words

from explorer.cli import COMMANDS, output
from explorer.system.files import EXAMPLES

LONG = ("subjectivity/class-label-0-length-100", "subjectivity/class-label-2-length-100")
"""bundled prompts with the longest names, of 100 tokens"""
SIX_LABELS = ("question-type/class-label-0", "question-type/sampled-vocab-1")
NULLS, LONG_TEXT = ("--nulls", 20), "a film that goes on and on " * 10
FEW, OTHER, MANY = "few.tsv", "other.tsv", "many.tsv"
"""stand for files of eight labelled texts"""
ASKED = {
    "prompts": [()],
    "inspect": [LONG[:1], SIX_LABELS[:1]],
    "neighbors": [
        LONG,
        ("sentiment/random-0", "-k", 100, "--metric", "dot"),
        (*SIX_LABELS, "--merge-variants", "--metric", "csls", "--nulls", 20),
    ],
    "decompose": [(LONG[0], *NULLS)],
    "clusters": [
        (LONG[0], "subjectivity/class-label-0-length-5", *NULLS),
        (SIX_LABELS[0], *NULLS),
        ("subjectivity/class-label-0-length-1", "-k", 100, *NULLS),
    ],
    "labels": [
        (*SIX_LABELS, *NULLS),
        (*LONG, *NULLS),
        ("sentiment/random-1", "--labels", "wonderful,dreadful,boring", *NULLS),
    ],
    "map": [(*LONG[:1], *SIX_LABELS)],
    "compare": [(*LONG, "--by", "prompt", *NULLS), (*SIX_LABELS, "sentiment/random-0", *NULLS)],
    "predict": [
        (*LONG, "--text", LONG_TEXT, "--text", "short", "--no-prompt"),
        (*SIX_LABELS, "--text", "Who wrote it?"),
    ],
    "evaluate": [(*LONG, "--data", FEW, "--no-prompt"), (*LONG[:1], "--data", FEW)],
    "gain": [(*LONG, "--data", MANY)],
    "cues": [(LONG[0], "--data", MANY), (*SIX_LABELS, "--text", "Who wrote it?")],
    "layers": [(LONG[0], "--data", FEW)],
    "shift": [(*LONG, "--source", FEW, "--target", OTHER, "--no-prompt", "--no-generate")],
    "ensemble": [(*LONG, "--data", FEW)],
    "faithfulness": [("subjectivity/class-label-2-length-5", "--data", FEW, "--draws", 1, "--points", 2)],
    "decode": [
        (*LONG, "-k", 30),
        (*SIX_LABELS, LONG[0], "--text", LONG_TEXT),
        (LONG[0], "--labels", "wonderful,dreadful,boring"),
    ],
    "attribution": [("subjectivity/class-label-2-length-5", "--text", "fine", "--orders", 2)],
}
IN_SHORT = ("prompts", "inspect", "neighbors", "decompose", "predict")
"""commands whose tables take no second"""
NO_TABLE = {"convert", "report", "train", "app"}
"""commands that write files, or nothing"""


@pytest.fixture
def ask(tmp_path):
    """Puts files of eight texts where FEW and OTHER stand."""
    header, *lines = (EXAMPLES / "opinions.tsv").read_text(encoding="utf-8").splitlines()
    (tmp_path / MANY).write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    for start, name in enumerate((FEW, OTHER)):
        (tmp_path / name).write_text("\n".join([header, *lines[start::10][:8]]) + "\n", encoding="utf-8")
    return lambda arguments: [
        tmp_path / argument if argument in (FEW, OTHER, MANY) else argument for argument in arguments
    ]


def columns(line: str) -> int:
    """Columns that a line takes in a terminal."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)


def test_every_command_is_asked_or_shows_no_table():
    assert set(ASKED) | NO_TABLE == set(COMMANDS)


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        pytest.param(name, arguments, marks=() if name in IN_SHORT else pytest.mark.slow)
        for name in ASKED
        for arguments in ASKED[name]
    ],
    ids=lambda given: str(given)[:40],
)
def test_no_line_is_longer_than_the_terminal(command, arguments, ask, monkeypatch):
    """That a table fills it is asked of tables themselves: test_output.py."""
    monkeypatch.setattr(output, "screen", lambda: 80)
    text = run(command, *ask(arguments)).stdout
    assert text.strip()
    assert max(map(columns, text.splitlines())) <= 80


SHORT = ("subjectivity/class-label-0-length-1", "subjectivity/class-label-1-length-5")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "more"),
    [
        ("prompts", ()),
        ("clusters", (*SHORT, *NULLS)),
        ("labels", (*SHORT, *NULLS)),
        ("map", SHORT),
        ("compare", (*SHORT, *NULLS)),
        ("predict", (*SHORT, "--text", "fine")),
        ("evaluate", (*SHORT, "--data", FEW)),
        ("shift", (*SHORT, "--source", FEW, "--target", OTHER)),
    ],
    ids=lambda given: str(given)[:10],
)
def test_wide_has_every_column_of_the_csv(command, more, ask):
    arguments = ask(more)
    found = set(as_csv(command, *arguments)[0])
    header = run(command, *arguments, "--wide").stdout.splitlines()[0].split()
    assert found - set(header) <= {"error"}, "an empty column of errors is left out"


def test_wide_neighbors_are_all_there():
    rows = [
        line
        for line in run("neighbors", SHORT[0], "-k", 60, "--wide", *NULLS).stdout.splitlines()
        if line[:8].strip() == "0"
    ]
    assert len(rows) == 1
    assert rows[0].count(", ") >= 59
    assert "…" not in rows[0]


def test_names_that_are_too_long_lose_their_middle_and_wide_characters_count_twice(tmp_path, monkeypatch):
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    folder, pieces = tmp_path / "model", ["<pad>", "</s>", "<unk>", *(f"▁電影評論{n}" for n in range(40))]
    folder.mkdir()
    save_file(
        {"shared.weight": np.random.default_rng(0).normal(size=(len(pieces), 16)).astype(np.float32)},
        folder / "model.safetensors",
    )
    (folder / "config.json").write_text('{"model_type": "t5"}')
    Tokenizer(WordLevel({piece: n for n, piece in enumerate(pieces)}, unk_token="<unk>")).save(
        str(folder / "tokenizer.json")
    )
    for end in ("one", "two"):
        np.save(
            tmp_path / f"a-prompt-{'with-a-long-name-' * 5}{end}.npy",
            np.random.default_rng(1).normal(size=(3, 16)).astype(np.float32),
        )
    prompts = sorted(tmp_path.glob("*.npy"))
    near = run("neighbors", *prompts, "--model", folder, *NULLS).stdout
    assert "電影評論" in near
    assert max(map(columns, near.splitlines())) <= 100
    assert prompts[0].stem in run("prompts", tmp_path).stdout, "names are whole in a pipe"
    monkeypatch.setattr(output, "screen", lambda: 100)
    listed = run("prompts", tmp_path).stdout
    assert max(map(columns, listed.splitlines())) <= 100
    assert "a-prompt-with" in listed
    assert "…" in listed
    assert [line.split()[0][-3:] for line in listed.splitlines()[1:3]] == ["one", "two"]


# what the sentences conclude


@pytest.mark.slow
def test_compare_of_one_group_says_so():
    said = words(run("compare", *SHORT, "subjectivity/class-label-0-length-5", "--by", "task", *NULLS).stdout)
    assert said.endswith(
        "all 3 prompts are in one group, subjectivity; nothing to compare: choose another grouping (--by)"
    )
    assert words(run("compare", SHORT[0], "subjectivity/random-0", *NULLS).stdout).endswith(
        "No tests: they need two prompts in each of two groups."
    )


def test_compare_names_the_differences_that_are_significant(tmp_path):
    """Planted: prompts far longer than the vocabulary's rows beside prompts far shorter."""
    from dataclasses import replace

    from explorer.formats import read_prompt

    paths = []
    for n in range(8):
        prompt = read_prompt(f"sentiment/{'random' if n % 2 else 'class-label'}-{n % 3}")
        vectors, origin = (
            prompt.vectors[:4] * (10 + n if n % 2 else 0.1 + n / 100),
            replace(prompt.origin, rows=prompt.origin.rows[:4]),
        )
        scaled = replace(prompt, vectors=vectors, origin=origin, trajectory=None)
        paths.append(scaled.save(tmp_path / str(n)))
    said = words(run("compare", *paths, *NULLS).stdout)
    assert "Significant differences (permutation test, FDR 5 %):" in said
    assert "in norm_ratio (by" in said


def test_evaluate_and_ensemble_say_who_is_best(ask):
    data = ask([FEW])[0]
    rows = as_csv(
        "evaluate", "subjectivity/class-label-0", "subjectivity/random-0", "--data", data, "--no-prompt"
    )
    best = max(rows[:2], key=lambda row: float(row["accuracy"]))
    said = words(
        run(
            "evaluate", "subjectivity/class-label-0", "subjectivity/random-0", "--data", data, "--no-prompt"
        ).stdout
    )
    right, bare = round(8 * float(best["accuracy"])), round(8 * float(rows[2]["accuracy"]))
    assert said.startswith(
        f"Best of 2 prompts, picked after the fact: {best['prompt']} is right on {right} of 8 texts; "
        "on average they are on "
    )
    assert f"; without a prompt the model is on {bare}: " in said
    voted = words(
        run("ensemble", "subjectivity/class-label-0", "subjectivity/random-0", "--data", data).stdout
    )
    assert voted.startswith("The majority vote of 2 prompts is right on ")
    assert (
        f"The best member (chosen by hindsight) is right on {float(best['accuracy']):.3f} of the texts"
        in voted
    )


def test_predict_says_how_many_agree():
    said = words(
        run("predict", "sentiment/class-label-0", "sentiment/random-0", "--text", "a wonderful film").stdout
    )
    assert said.startswith(("Both prompts answer positive (probability 0.", "The 2 prompts do not agree: "))


def test_one_token_and_one_label_read_as_english():
    said = words(run("clusters", "subjectivity/class-label-0-length-1", *NULLS).stdout)
    assert "of 1 token lie" in said
    assert "effective rank" not in said, "one token shares nothing with others"


@pytest.mark.slow
def test_compare_says_which_prompts_are_alike():
    said = run("compare", "question-type/random-0", "question-type/random-1", "--wide").stdout
    assert "1 of 1 pair of prompts is alike beyond chance: " in words(said)
