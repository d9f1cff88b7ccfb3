"""The commands: their columns and keys, and that they show what the Python API gives."""

import csv
import io
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from explorer.analysis.neighbors import nearest_neighbors
from explorer.choices import METRICS
from explorer.cli import app
from explorer.formats import find_prompts, read_prompt
from explorer.formats.safetensors_arrays import read_safetensors
from explorer.system.files import EXAMPLES, MODELS
from explorer.words.pieces import readable

ROOT = Path(__file__).resolve().parent.parent
NEIGHBORS = [
    "prompt",
    "position",
    "rank",
    "token_id",
    "piece",
    "token",
    "similarity",
    "metric",
    "percentile",
    "p",
    "q",
    "hub",
]
PROMPTS = ["name", "path", "format", "base_model", "task", "initialization", "seed", "length", "dimension"]
LABELS = ["prompt", "position", "label", "similarity", "rank", "p", "q"]


def run(*arguments: object, code: int = 0, stdin: str | None = None):
    """Run a command in this process; a crash is a failure of the test, with its traceback."""
    result = CliRunner().invoke(
        app, [str(argument) for argument in arguments], input=stdin, prog_name="explorer"
    )
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def words(text: str) -> str:
    """Text as one line: sentences are wrapped at 100 columns."""
    return " ".join(text.split())


def as_json(*arguments: object):
    """What a command gives with --json; NaN and infinity are no JSON."""

    def refuse(constant: str):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(run(*arguments, "--json").stdout, parse_constant=refuse)


def as_csv(*arguments: object) -> list[dict[str, str]]:
    """Rows of a command's --csv on stdout."""
    return list(csv.DictReader(io.StringIO(run(*arguments, "--csv", "-").stdout)))


@pytest.fixture
def paths(tiny_prompts) -> list[str]:
    """Paths of the prompts trained for tests, in order."""
    return [str(path) for path, _ in find_prompts(tiny_prompts)]


@pytest.fixture
def label_prompt(paths) -> str:
    """A prompt that began with the class labels."""
    return next(path for path in paths if read_prompt(path).origin.initialization == "class-label")


PLANTED = [
    "<pad>",
    "</s>",
    "<unk>",
    "=1+1",
    "-2",
    "+3",
    "@x",
    "\tq",
    "\rr",
    "▁plain",
    "▁Plain",
    "\x1b[31mred",
]
"""pieces of a model made to harm spreadsheets and terminals"""


@pytest.fixture
def planted(tmp_path):
    """(prompt, model): a model folder with PLANTED pieces, orthogonal embeddings, and a prompt of its rows
    from `=1+1` on.
    """
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    folder = tmp_path / "planted-model"
    folder.mkdir()
    table = 10 * np.eye(len(PLANTED), 16, dtype=np.float32)
    save_file({"shared.weight": table}, folder / "model.safetensors")
    (folder / "config.json").write_text('{"model_type": "t5"}')
    Tokenizer(WordLevel({piece: n for n, piece in enumerate(PLANTED)}, unk_token="<unk>")).save(
        str(folder / "tokenizer.json")
    )
    np.save(tmp_path / "planted.npy", table[3:])
    return str(tmp_path / "planted.npy"), str(folder)


# the program


def test_the_version(tmp_path):
    from explorer import __version__

    assert run("--version").stdout == f"prompt-explorer {__version__}\n"


@pytest.fixture
def script(tmp_path):
    """Runs the installed script: its file says nothing but whose `main` it is."""
    path = tmp_path / "prompt-explorer"
    path.write_text("from explorer.__main__ import main\n\nmain()\n")

    def started(*arguments: str, **environment: str) -> str:
        surroundings = os.environ | {"PYTHONPATH": str(ROOT)} | environment
        done = subprocess.run(
            [sys.executable, str(path), *arguments],
            capture_output=True,
            text=True,
            env=surroundings,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return started


def test_help_fits_one_screen_and_names_the_program(script):
    module = subprocess.run(
        [sys.executable, "-m", "explorer", "--help"], capture_output=True, text=True, cwd=ROOT, timeout=60
    ).stdout
    assert module.startswith("Usage: python -m explorer [OPTIONS] COMMAND")
    own = script("--help")
    assert own.startswith("Usage: prompt-explorer [OPTIONS] COMMAND")
    for text in (module, own):
        assert len(text.splitlines()) <= 36
        assert all(len(line) <= 80 for line in text.splitlines())
        assert "..." not in text.partition("Commands:")[2], "every command's line is whole"


def test_a_shell_completes_commands_and_bundled_names(script):
    assert "complete" in script("--show-completion", "bash")
    ask = {
        "_PROMPT_EXPLORER_COMPLETE": "complete_bash",
        "COMP_CWORD": "1",
        "COMP_WORDS": "prompt-explorer nei",
    }
    assert script(**ask).split() == ["neighbors"]
    assert script(
        **ask | {"COMP_CWORD": "2", "COMP_WORDS": "prompt-explorer neighbors sentiment/way"}
    ).split() == ["sentiment/wayward-0"]
    assert (
        script(**ask | {"COMP_CWORD": "4", "COMP_WORDS": "prompt-explorer neighbors x --model mini"}).split()[
            0
        ]
        == "mini-t5"
    )


def test_idle_threads_sleep():
    """The setting is made before the first library with OpenMP is loaded; what the user set stays."""
    code = (
        "import explorer.__main__, os, sys; print(os.environ['OMP_WAIT_POLICY'], 'numpy' in "
        "sys.modules, 'faiss' in sys.modules)"
    )
    for given, expected in ({}, "PASSIVE False False"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE False False"):
        surroundings = (
            {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
            | {"PYTHONPATH": str(ROOT)}
            | given
        )
        assert (
            subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, env=surroundings, timeout=60
            ).stdout.strip()
            == expected
        )


# prompts, inspect


def test_prompts_lists_every_prompt_found(tiny_prompts, paths):
    rows = as_json("prompts", tiny_prompts)
    assert list(rows[0])[: len(PROMPTS)] == PROMPTS
    assert [row["path"] for row in rows] == paths
    first = read_prompt(paths[0])
    assert (rows[0]["initialization"], rows[0]["seed"], rows[0]["length"]) == (
        first.origin.initialization,
        first.origin.seed,
        first.length,
    )
    assert list(as_csv("prompts", tiny_prompts)[0])[: len(PROMPTS)] == PROMPTS


def test_prompts_as_a_table_shows_a_row_each(tiny_prompts, paths):
    lines = run("prompts", tiny_prompts).stdout.splitlines()
    shown = ["name", "base_model", "task", "initialization", "seed", "length", "dev_accuracy", "gain"]
    assert lines[0].split() == shown
    assert lines[1 : 1 + len(paths)] == [line for line in lines if line.startswith("sentiment/")]
    assert lines[-1] == f"{len(paths)} prompts"
    assert run("prompts", tiny_prompts, "--wide").stdout.split()[: len(PROMPTS)] == PROMPTS


def test_prompts_shows_a_broken_prompt_with_its_error(tmp_path):
    np.save(tmp_path / "good.npy", np.ones((2, 4), np.float32))
    (tmp_path / "bad.npy").write_bytes(b"nothing")
    rows = as_json("prompts", tmp_path)
    assert [bool(row["error"]) for row in rows] == [True, False]
    text = words(run("prompts", tmp_path).stdout)
    assert "2 prompts, 1 of which cannot be read:" in text
    assert "cannot be read as a NumPy array" in text


def test_prompts_of_an_empty_folder_says_so(tmp_path):
    result = run("prompts", tmp_path)
    assert "no prompts below" in result.stderr
    assert json.loads(run("prompts", tmp_path, "--json").stdout) == []


def test_inspect_says_what_was_read(label_prompt):
    read, prompt = as_json("inspect", label_prompt), read_prompt(label_prompt)
    assert {
        "format",
        "key",
        "length",
        "dimension",
        "dtype",
        "dropped_rows",
        "origin",
        "norms",
        "warnings",
    } <= set(read)
    assert (read["format"], read["key"], read["dtype"]) == ("explorer", "prompt_embeddings", "float32")
    assert (read["length"], read["dimension"]) == prompt.vectors.shape
    assert read["norms"] == pytest.approx(np.linalg.norm(prompt.vectors, axis=1))
    assert read["origin"]["labels"] == list(prompt.origin.labels)
    assert [row["label"] for row in read["origin"]["rows"]] == [row.label for row in prompt.origin.rows]


def test_inspect_names_the_rows_that_peft_never_trains(tmp_path):
    from safetensors.numpy import save_file

    (tmp_path / "adapter_config.json").write_text(
        '{"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 3, "num_transformer_submodules": 2}'
    )
    save_file({"prompt_embeddings": np.ones((6, 4), np.float32)}, tmp_path / "adapter_model.safetensors")
    read = as_json("inspect", tmp_path)
    assert (read["length"], read["dropped_rows"]) == (3, 3)
    assert "rows dropped" in read["warnings"][0]
    assert "rows dropped" in run("inspect", tmp_path).stdout


# neighbors


@pytest.mark.parametrize("metric", METRICS)
def test_neighbors_equal_the_api(label_prompt, vocabulary, metric):
    expected = nearest_neighbors(read_prompt(label_prompt), vocabulary, k=3, metric=metric).to_frame()
    rows, lines = (
        as_json("neighbors", label_prompt, "-k", 3, "--metric", metric),
        as_csv("neighbors", label_prompt, "-k", 3, "--metric", metric),
    )
    assert list(rows[0]) == list(lines[0]) == NEIGHBORS
    assert (
        [row["token_id"] for row in rows]
        == [int(line["token_id"]) for line in lines]
        == expected["token_id"].tolist()
    )
    assert [row["similarity"] for row in rows] == [float(line["similarity"]) for line in lines]
    assert (
        np.array([row["similarity"] for row in rows], np.float32).tolist() == expected["similarity"].tolist()
    )
    assert {row["metric"] for row in rows} == {metric}


def test_neighbors_of_several_prompts_follow_their_order(paths):
    rows = as_json("neighbors", paths[1], paths[0], "-k", 1)
    assert list(dict.fromkeys(row["prompt"] for row in rows)) == [
        read_prompt(paths[1]).name,
        read_prompt(paths[0]).name,
    ]


def test_neighbors_as_a_table_says_metric_and_k(label_prompt):
    text = run("neighbors", label_prompt, "-k", 4, "--metric", "l2").stdout
    assert "4 nearest pieces of mini-t5, l2 (distance, smaller is closer)" in text
    assert "Nothing was compared with chance" in text
    rows = [line.split()[0] for line in text.splitlines() if line[:8].strip().isdigit()]
    assert rows == [str(position) for position in range(read_prompt(label_prompt).length)]


def test_neighbors_searches_special_pieces_only_when_asked(planted):
    prompt, model = planted
    ordinary, every = (
        as_json("neighbors", prompt, "--model", model, "-k", 100, *more)
        for more in ((), ("--include-special",))
    )
    assert len(ordinary) == 9 * 9
    assert len(every) == 9 * len(PLANTED)
    assert not {0, 1, 2} & {row["token_id"] for row in ordinary}


def test_neighbors_merges_variants_when_asked(planted):
    prompt, model = planted
    words = [
        row["token"].strip().casefold()
        for row in as_json("neighbors", prompt, "--model", model, "-k", 100, "--merge-variants")[:8]
    ]
    assert len(set(words)) == len(words) == 8


def test_a_piece_that_a_spreadsheet_would_run_is_disarmed_in_csv_only(planted):
    prompt, model = planted
    lines, rows = (
        as_csv("neighbors", prompt, "--model", model, "-k", 1),
        as_json("neighbors", prompt, "--model", model, "-k", 1),
    )
    assert [row["piece"] for row in rows] == PLANTED[3:]
    assert [line["piece"] for line in lines] == ["'=1+1", "'-2", "'+3", "'@x", "'\tq", "'\rr", *PLANTED[9:]]
    assert [int(line["token_id"]) for line in lines] == list(range(3, len(PLANTED)))


def test_a_table_sends_no_control_characters_to_the_terminal(planted):
    text = run("neighbors", planted[0], "--model", planted[1], "-k", 1).stdout
    assert "\x1b" not in text
    assert "\t" not in text
    assert "\\x1b[31mred" in text


# clusters, labels


def test_clusters_has_both_tables(label_prompt):
    found, prompt = as_json("clusters", label_prompt, "--nulls", 50), read_prompt(label_prompt)
    assert set(found) == {"conclusion", "positions", "prompts", "redundancy"}
    assert list(found["prompts"][0])[:2] == ["prompt", "significant"]
    assert 0 < found["prompts"][0]["p"] <= 1
    assert list(found["positions"][0])[:8] == [
        "prompt",
        "position",
        "statistic",
        "coherence",
        "coherence_merged",
        "variant_share",
        "p",
        "q",
    ]
    assert list(found["redundancy"][0])[:5] == [
        "prompt",
        "shared_first",
        "mean_cosine",
        "effective_rank",
        "p",
    ]
    assert [row["position"] for row in found["positions"]] == list(range(prompt.length))
    assert len(found["redundancy"]) == 1


def test_clusters_writes_positions_as_csv_and_repeats_itself(label_prompt):
    first, again = (as_csv("clusters", label_prompt, "--nulls", 50, "--seed", 3) for _ in range(2))
    assert first == again
    assert list(first[0])[:3] == ["prompt", "position", "statistic"]
    wide = run("clusters", label_prompt, "--nulls", 50, "--wide").stdout
    assert "coherence_merged" in wide
    assert "higher_criticism" in wide
    assert "effective_rank" in wide


def test_clusters_shows_the_words_it_judges(label_prompt, vocabulary):
    text = run("clusters", label_prompt, "-k", 3, "--nulls", 50).stdout
    found = nearest_neighbors(read_prompt(label_prompt), vocabulary, k=5, metric="whitened")
    first = next(line for line in text.splitlines() if line[:8].strip() == "0")
    assert ", ".join(map(readable, found.pieces[0][:3])) in first
    significant = sum(
        row["q"] <= 0.05 for row in as_json("clusters", label_prompt, "-k", 3, "--nulls", 50)["positions"]
    )
    assert (
        f"{significant} of 6 tokens lie{'s' if significant == 1 else ''} among words that belong together"
        in words(text)
    )


def test_decompose_writes_each_token_as_a_sum_of_words(label_prompt):
    rows, prompt = as_json("decompose", label_prompt, "--words", 3, "--nulls", 50), read_prompt(label_prompt)
    assert {"prompt", "position", "rank", "token_id", "piece", "weight", "energy", "p"} <= set(rows[0])
    assert {row["position"] for row in rows} == set(range(prompt.length))
    assert all(row["weight"] >= 0 and 0 <= row["energy"] <= 1 for row in rows)
    text = words(run("decompose", label_prompt, "--words", 3, "--nulls", 50).stdout)
    assert "3 words explain" in text
    assert "of random vectors" in text


def test_decode_lists_first_pieces_with_and_without_the_prompt(label_prompt, paths, tmp_path):
    rows = as_json("decode", label_prompt, "-k", 4)
    assert {
        "prompt",
        "text",
        "rank",
        "token_id",
        "piece",
        "probability",
        "without_prompt",
        "gain",
        "evidence",
        "divergence",
    } <= set(rows[0])
    assert [row["rank"] for row in rows] == [1, 2, 3, 4] * 3
    assert [row["text"] for row in rows[::4]] == ["", "<extra_id_0>", "mean of 4 texts"]
    assert as_csv("decode", label_prompt, "-k", 4)[0]["piece"] == rows[0]["piece"]
    result = run(
        "decode", label_prompt, paths[-1], "--text", "a film", "-k", 4, "--label-mass", tmp_path / "mass.csv"
    )
    text = words(result.stdout)
    assert "The decoder begins more often than without the prompt, alone: " in text
    assert "before 'a film'" in text
    assert "the decoder begins with one of negative, positive with probability " in text
    assert (
        (tmp_path / "mass.csv")
        .read_text()
        .startswith("text,task,labels,prompts,own,others,difference,without_prompt,p,least_p\n")
    )
    assert "evidence" in run("decode", label_prompt, "--wide").stdout


def test_labels_has_three_tables(label_prompt):
    found, prompt = as_json("labels", label_prompt, "--nulls", 50), read_prompt(label_prompt)
    tables = {"similarities", "persistence", "dispersion", "found", "found_summary"}
    assert set(found) == {"conclusion", *tables}
    assert list(found["similarities"][0]) == LABELS
    assert {row["label"] for row in found["similarities"]} == set(prompt.origin.labels)
    assert len(found["similarities"]) == prompt.length * len(prompt.origin.labels)
    assert list(found["persistence"][0]) == [
        "prompt",
        "label",
        "position",
        "initial_rank",
        "rank",
        "p",
        "initial_p",
        "p_words",
        "p_labels",
    ]
    begun = [(n, row.label) for n, row in enumerate(prompt.origin.rows) if row.label is not None]
    assert sorted((row["position"], row["label"]) for row in found["persistence"]) == begun
    assert list(found["dispersion"][0]) == ["prompt", "dispersion", "initial_dispersion"]
    assert list(as_csv("labels", label_prompt, "--nulls", 50)[0]) == LABELS


def test_labels_can_be_asked_for_by_name(paths):
    prompt = next(path for path in paths if read_prompt(path).origin.initialization == "random")
    found = as_json("labels", prompt, "--labels", "great, terrible", "--nulls", 50)
    assert {row["label"] for row in found["similarities"]} == {"great", "terrible"}
    assert found["persistence"] == []
    assert (
        "persistence: no prompt token was initialized from a class label"
        in run("labels", prompt, "--nulls", 50).stdout
    )


# files


def test_csv_in_a_file_is_the_csv_of_stdout(label_prompt, tmp_path):
    target = tmp_path / "neighbors.csv"
    result = run("neighbors", label_prompt, "-k", 2, "--csv", target)
    assert result.stdout == ""
    assert f"wrote {target}" in result.stderr
    assert target.read_bytes() == run("neighbors", label_prompt, "-k", 2, "--csv", "-").stdout_bytes
    assert list(tmp_path.iterdir()) == [target], "something partial was left"


def test_json_and_a_csv_file_go_together(label_prompt, tmp_path):
    rows = json.loads(run("neighbors", label_prompt, "-k", 1, "--json", "--csv", tmp_path / "n.csv").stdout)
    assert len(rows) == len((tmp_path / "n.csv").read_text().splitlines()) - 1


def test_overwrite_replaces_a_file(label_prompt, tmp_path):
    target = tmp_path / "neighbors.csv"
    target.write_text("mine")
    target.chmod(0o640)
    assert "exists already" in run("neighbors", label_prompt, "--csv", target, code=1).stderr
    assert target.read_text() == "mine"
    run("neighbors", label_prompt, "--csv", target, "--overwrite")
    assert target.read_text().startswith("prompt,position")
    assert target.stat().st_mode & 0o777 == 0o640


def test_a_link_is_followed_and_kept(label_prompt, tmp_path):
    (tmp_path / "real.csv").write_text("mine")
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    run("neighbors", label_prompt, "--csv", tmp_path / "link.csv", "--overwrite")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text().startswith("prompt,position")


def test_a_device_is_written_to_and_never_replaced(label_prompt):
    run("neighbors", label_prompt, "--csv", "/dev/null", "--overwrite")
    assert Path("/dev/null").is_char_device()


# which model


def test_a_prompt_without_base_model_is_read_with_the_bundled_one_of_its_width(vocabulary, tmp_path):
    np.save(tmp_path / "bare.npy", vocabulary.embedding[100:103])
    result = run("neighbors", tmp_path / "bare.npy", "-k", 1, "--json")
    assert [row["token_id"] for row in json.loads(result.stdout)] == [100, 101, 102]
    assert "records no base model; reading it with the bundled mini-t5" in result.stderr


def test_a_base_model_that_is_not_to_be_had_falls_back_with_a_warning(label_prompt, tmp_path):
    _with_record(label_prompt, tmp_path / "copy", base_model="./gone")
    result = run("neighbors", tmp_path / "copy", "-k", 1, "--json")
    assert "its base model was not found (./gone" in result.stderr
    assert "which has the same width, 256 (--model)" in result.stderr
    assert json.loads(result.stdout)


def test_a_prompt_of_another_model_of_the_same_name_is_warned_about(label_prompt, tmp_path):
    _with_record(label_prompt, tmp_path / "copy", base_fingerprint="0" * 16)
    assert "its readings may mean nothing" in run("neighbors", tmp_path / "copy", "-k", 1).stderr


def test_a_prompt_s_own_model_is_the_default(planted, tmp_path):
    from safetensors.numpy import save_file

    folder = tmp_path / "own"
    folder.mkdir()
    vectors = np.load(planted[0])
    kind = {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": len(vectors)}
    config = kind | {"base_model_name_or_path": planted[1]}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    save_file({"prompt_embeddings": vectors}, folder / "adapter_model.safetensors")
    result = run("neighbors", folder, "-k", 1, "--json")
    assert [row["piece"] for row in json.loads(result.stdout)] == PLANTED[3:]
    assert result.stderr == ""


def _with_record(prompt: str, copy, **changes: object) -> None:
    """A copy of a prompt whose record says something else."""
    import shutil

    shutil.copytree(prompt, copy)
    record = json.loads((copy / "explorer.json").read_text()) | changes
    (copy / "explorer.json").write_text(json.dumps(record))
    if "base_model" in changes:
        config = json.loads((copy / "adapter_config.json").read_text())
        (copy / "adapter_config.json").write_text(
            json.dumps(config | {"base_model_name_or_path": changes["base_model"]})
        )
    assert read_safetensors(copy / "adapter_model.safetensors")


# map, compare


def test_map_gives_places_as_csv_and_json(label_prompt):
    rows, lines = as_json("map", label_prompt), as_csv("map", label_prompt)
    assert (
        list(rows[0]) == list(lines[0]) == ["prompt", "kind", "position", "name", "x", "y", "trust", "group"]
    )
    prompt = read_prompt(label_prompt)
    assert len([row for row in rows if row["kind"] == "prompt"]) == prompt.length
    assert [row["name"] for row in rows if row["kind"] == "label"] == list(prompt.origin.labels)
    assert all(0 <= row["trust"] <= 1 for row in rows)
    assert [row["x"] for row in rows] == [float(line["x"]) for line in lines]


def test_map_draws_one_page_that_needs_no_network(label_prompt, tmp_path):
    run("map", label_prompt, "--trajectory", "--html", tmp_path / "map.html", "--csv", tmp_path / "map.csv")
    page = (tmp_path / "map.html").read_text(encoding="utf-8")
    assert page.count("Plotly.newPlot") == 1
    assert "cdn.plot.ly" not in page.partition("Plotly.newPlot")[0][:2000]
    assert "<script src=" not in page
    assert (tmp_path / "map.csv").read_text().startswith("prompt,kind,position")


@pytest.mark.slow
def test_compare_groups_prompts(paths, tmp_path):
    found = as_json("compare", *paths, "--nulls", 50)
    assert set(found) == {"conclusion", "prompts", "summary", "tests", "pairs"}
    assert {
        (row["n_a"], row["n_b"], row["p"] >= row["least_p"]) for row in found["tests"] if row["p"] is not None
    } == {(2, 2, True)}
    assert len(found["pairs"]) == 15
    assert list(found["prompts"][0])[:6] == ["prompt", "group", "task", "seed", "length", "dev_accuracy"]
    assert len(found["prompts"]) == len(paths)
    assert {row["group"] for row in found["summary"]} == {
        read_prompt(path).origin.initialization for path in paths
    }
    assert list(found["summary"][0]) == ["group", "measure", "n", "mean", "low", "high"]
    run(
        "compare",
        *paths[:2],
        "--nulls",
        50,
        "--by",
        "prompt",
        "--html",
        tmp_path / "c.html",
        "--csv",
        tmp_path / "c.csv",
    )
    page = (tmp_path / "c.html").read_text(encoding="utf-8")
    assert page.count("Plotly.newPlot") > 1
    assert "<script src=" not in page
    assert len((tmp_path / "c.csv").read_text().splitlines()) == 3


# predict, evaluate

TEXTS = ("a fine film", "dull and far too long")


def test_predict_gives_probabilities_for_every_prompt_and_text(paths, model):
    rows = as_json("predict", *paths[:2], "--text", TEXTS[0], "--text", TEXTS[1], "--no-prompt")
    assert [list(row) for row in rows] == [["prompt", "text", "label", "probabilities", "generated"]] * 6
    prompts = [read_prompt(path) for path in paths[:2]]
    assert [row["prompt"] for row in rows[::2]] == [prompts[0].name, prompts[1].name, "no prompt"]
    labels = list(prompts[0].origin.labels)
    expected = model.label_probabilities(
        [*(prompt.vectors for prompt in prompts), None], TEXTS, labels
    ).reshape(-1, 2)
    assert np.array([[row["probabilities"][label] for label in labels] for row in rows]) == pytest.approx(
        expected, abs=1e-5
    )
    assert [row["label"] for row in rows] == [labels[best] for best in expected.argmax(axis=1)]


def test_predict_reads_texts_from_a_file_or_stdin(paths, tmp_path):
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS) + "\n")
    from_file = as_json("predict", paths[0], "--text-file", tmp_path / "texts.txt")
    from_stdin = json.loads(
        run("predict", paths[0], "--text-file", "-", "--json", stdin="\n".join(TEXTS)).stdout
    )
    assert from_file == from_stdin
    assert [row["text"] for row in from_file] == list(TEXTS)


def test_predict_takes_other_labels(paths):
    rows = as_json("predict", paths[0], "--text", TEXTS[0], "--labels", "good,bad,so so")
    assert list(rows[0]["probabilities"]) == ["good", "bad", "so so"]
    assert sum(rows[0]["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_evaluate_scores_each_prompt(paths, tmp_path):
    (tmp_path / "data.tsv").write_text("text\tlabel\n" + f"{TEXTS[0]}\tpositive\n{TEXTS[1]}\tnegative\n" * 2)
    result = run("evaluate", *paths[:2], "--data", tmp_path / "data.tsv", "--no-prompt", "--json")
    rows = json.loads(result.stdout)
    assert [list(row)[:5] for row in rows] == [["prompt", "n", "accuracy", "macro_f1", "invalid_rate"]] * 3
    assert [row["n"] for row in rows] == [4, 4, 4]
    answers = as_json("predict", paths[0], "--text", TEXTS[0], "--text", TEXTS[1])
    right = np.mean(
        [row["label"] == label for row, label in zip(answers, ["positive", "negative"], strict=True)]
    )
    assert rows[0]["accuracy"] == pytest.approx(right)
    assert "accuracy" in run("evaluate", paths[0], "--data", tmp_path / "data.tsv").stdout


# faithfulness, attribution


def test_faithfulness_gives_every_reading(paths, tmp_path):
    (tmp_path / "data.tsv").write_text("text\tlabel\na fine film\tpositive\na dull film\tnegative\n")
    ask = ("faithfulness", paths[0], "--data", tmp_path / "data.tsv", "--draws", 2, "--points", 3)
    rows = as_json(*ask, "--curve", tmp_path / "curve.csv")
    assert {"reading", "accuracy", "agreement", "kl"} <= set(rows[0])
    names = [row["reading"] for row in rows if not row["reading"].endswith("-norm-kept")]
    sums = [f"sparse-{words}" for words in (1, 2, 3, 5, 10, 20)]
    assert names == [
        "soft",
        "cosine",
        "whitened",
        "l2",
        "dot",
        "csls",
        *sums,
        "none",
        "random-words",
        "initial",
        "shuffled",
        "mean",
    ]
    curve = (tmp_path / "curve.csv").read_text().splitlines()
    assert (curve[0], len(curve)) == ("share,accuracy,agreement,kl", 4)
    text = words(run(*ask).stdout)
    assert "its nearest words (cosine)" in text
    assert " the nearest words do" in text[:120]
    assert "from the soft prompt (share 0) to those words (share 1)" in run(*ask, "--wide").stdout


def test_attribution_gives_every_token(paths, tmp_path):
    rows = as_json("attribution", paths[0], "--text", "a fine film", "--orders", 5)
    assert list(rows[0]) == ["prompt", "position", "leave_one_out", "gate", "integrated_gradients"]
    assert [row["position"] for row in rows] == list(range(6))
    (tmp_path / "data.tsv").write_text("text\tlabel\na fine film\tpositive\na dull film\tnegative\n")
    text = run(
        "attribution", paths[0], "--data", tmp_path / "data.tsv", "--orders", 5, "--label", "positive"
    ).stdout
    text = words(text)
    assert "the answers to 2 texts rest" in text[:160].lower()
    assert "Answer 'positive', 2 texts" in text
    assert "Completeness error of integrated gradients" in text
    assert "against 5 random orders" in text


def test_ensemble(paths):
    members = [path for path in paths if read_prompt(path).origin.labels == ("negative", "positive")][:3]
    record = as_json("ensemble", *members, "--data", EXAMPLES / "films.tsv")
    assert {"members", "average", "best", "ensemble", "agreement"} <= set(record)
    assert run("ensemble", *members, "--data", EXAMPLES / "films.tsv").stdout.startswith(
        record["conclusion"][:60]
    )
    right = record["labels"]
    for member in record["members"]:
        assert member["accuracy"] == pytest.approx(
            np.mean([a == b for a, b in zip(member["answers"], right, strict=True)])
        )
    assert record["average"] == pytest.approx(np.mean([member["accuracy"] for member in record["members"]]))
    assert record["ensemble"] == pytest.approx(
        np.mean([a == b for a, b in zip(record["majority"], right, strict=True)])
    )
    assert np.array(record["agreement"]).shape == (3, 3)
    rows = as_csv("ensemble", *members, "--data", EXAMPLES / "films.tsv")
    assert [row["kind"] for row in rows] == ["member"] * 3 + ["average", "best", "ensemble", "ensemble"]
    assert float(rows[-2]["accuracy"]) == pytest.approx(record["ensemble"])
    assert "Fleiss'" in run("ensemble", *members, "--data", EXAMPLES / "films.tsv").stdout
    assert (
        "expected at least two to vote"
        in run("ensemble", members[0], "--data", EXAMPLES / "films.tsv", code=1).output
    )


def test_shift(paths, tmp_path):
    examples, prompts = (
        tmp_path,
        [path for path in paths if read_prompt(path).origin.labels == ("negative", "positive")][:2],
    )
    for name in ("films.tsv", "products.tsv"):
        (tmp_path / name).write_text(
            "\n".join((EXAMPLES / name).read_text(encoding="utf-8").splitlines()[:13]) + "\n",
            encoding="utf-8",
        )
    (tmp_path / "short.tsv").write_text("text\tlabel\na fine pan\tgood\nit broke\tbad\n")
    asked = [
        "shift",
        *prompts,
        "--source",
        examples / "films.tsv",
        "--target",
        examples / "products.tsv",
        "--target",
        tmp_path / "short.tsv",
        "--no-prompt",
    ]
    asked += ["--map", "good=positive", "--map", "bad=negative", "--no-generate"]
    found = as_json(*asked)
    assert [(row["source"], row["target"]) for row in found[:3]] == [
        ("films", "films"),
        ("films", "products"),
        ("films", "short"),
    ]
    assert len(found) == 3 * 3
    assert {"prompt", "source", "target", "accuracy", "macro_f1"} <= set(found[0])
    evaluated = as_json("evaluate", *prompts, "--data", examples / "products.tsv")
    assert [row["accuracy"] for row in found if row["target"] == "products"][:2] == pytest.approx(
        [row["accuracy"] for row in evaluated]
    )
    said = run(*asked, "--summary", tmp_path / "summary.csv").stdout
    assert "means over seeds" in said
    assert "accuracy falls from films" in words(said)[:60] or "Accuracy falls clearly from films" in said[:60]
    assert "over seeds and texts)" in words(said), "of one initialization, two seeds"
    assert (
        (tmp_path / "summary.csv")
        .read_text()
        .startswith("method,initialization,source,target,runs,accuracy,deviation")
    )
    assert "say what it stands for, such as bad=negative (--map)" in run(*asked[:-5], code=1).output
    assert "expected LABEL=LABEL" in run(*asked[:-1], "--map", "good", code=2).output
    assert "not a tuned model" in run(*asked, "--tuned-model", tmp_path, code=1).output


def test_train_a_whole_model_and_shift_it(tiny_t5_folder, tmp_path):
    examples = EXAMPLES
    train = [
        "train",
        "--tune",
        "model",
        "--model",
        tiny_t5_folder,
        "--data",
        examples / "films.tsv",
        "--out",
        tmp_path / "out",
        "--seeds",
        "4",
    ]
    made = run(*train, "--steps", 4, "--evaluate-every", 2, "--batch-size", 4).stdout.split()
    assert made == [str(tmp_path / "out" / "films" / "model-4")]
    train[2] = "prompt"
    (prompt,) = run(
        *train, "--steps", 4, "--evaluate-every", 2, "--batch-size", 4, "--init", "random", "--length", "2"
    ).stdout.split()
    found = as_json(
        "shift",
        prompt,
        "--source",
        examples / "films.tsv",
        "--target",
        examples / "products.tsv",
        "--tuned-model",
        made[0],
        "--no-generate",
    )
    assert [(row["prompt"], row["method"]) for row in found[::2]] == [
        (read_prompt(prompt).name, "prompt tuning"),
        ("films/model-4", "model tuning"),
    ]
    assert (
        "has no prompt" in run(*train[:1], "--tune", "model", *train[3:], "--init", "random", code=2).output
    )


def test_train_several_lengths(tiny_t5_folder, tmp_path):
    train = [
        "train",
        "--model",
        tiny_t5_folder,
        "--data",
        EXAMPLES / "films.tsv",
        "--out",
        tmp_path / "out",
        "--seeds",
        "0",
    ]
    made = run(
        *train,
        "--steps",
        2,
        "--evaluate-every",
        2,
        "--batch-size",
        4,
        "--init",
        "class-label",
        "--length",
        "1,3",
    )
    assert [read_prompt(path).length for path in made.stdout.split()] == [1, 3]
    assert "class-label with 1 token starts as the first 1 of 2 labels" in made.stderr
    frame = as_csv("compare", *made.stdout.split(), "--by", "length")
    assert [row["group"] for row in frame] == ["1", "3"]


# train, app


def test_train_makes_prompts_and_skips_finished_ones(tiny_t5_folder, tmp_path):
    (tmp_path / "films.tsv").write_text(
        "text\tlabel\n" + "a fine film\tpositive\na dull film\tnegative\n" * 10
    )
    train = ["train", "--model", tiny_t5_folder, "--data", tmp_path / "films.tsv", "--out", tmp_path / "out"]
    train += ["--length", 3, "--steps", 4, "--evaluate-every", 2, "--batch-size", 4]
    first = run(*train, "--init", "class-label,random", "--seeds", 5)
    assert "no --dev: 6 of 20 texts" in first.stderr
    found = {prompt.origin.initialization: prompt for _, prompt in find_prompts(tmp_path / "out")}
    assert set(found) == {"class-label", "random"}
    origin = found["class-label"].origin
    assert (origin.task, origin.labels, origin.seed, found["random"].length) == (
        "films",
        ("negative", "positive"),
        5,
        3,
    )
    assert origin.base_model == str(tiny_t5_folder.resolve()), "found again from everywhere"
    assert sorted(first.stdout.splitlines()) == sorted(
        str(path) for path, _ in find_prompts(tmp_path / "out")
    )
    again = run(*train, "--init", "class-label", "--init", "random", "--seeds", "5,6")
    assert "2 of 4 prompts are in" in again.stderr
    assert len(list(find_prompts(tmp_path / "out"))) == 4
    path = first.stdout.splitlines()[0]
    assert as_json("neighbors", path, "-k", 1), "a prompt is read with the model it was trained on"


def test_train_makes_a_prompt_that_reads_as_a_sentence(tiny_t5_folder, tmp_path):
    (tmp_path / "films.tsv").write_text(
        "text\tlabel\n" + "a fine film\tpositive\na dull film\tnegative\n" * 10
    )
    train = [
        "train",
        "--model",
        tiny_t5_folder,
        "--data",
        tmp_path / "films.tsv",
        "--out",
        tmp_path / "out",
        "--read-as",
        "bad",
        "--pull",
        100,
    ]
    made = run(
        *train,
        "--length",
        3,
        "--steps",
        4,
        "--evaluate-every",
        2,
        "--batch-size",
        4,
        "--seeds",
        0,
        "--lr",
        0.01,
    )
    path = made.stdout.strip()
    assert Path(path).name == "wayward-0"
    first = [row["piece"] for row in as_json("neighbors", path, "-k", 1)]
    origin = json.loads((Path(path) / "explorer.json").read_text())
    assert first == [row["piece"] for row in origin["rows"]], "it reads as its sentence"
    assert origin["hyperparameters"]["read_as"] == "bad"


def test_train_calls_a_bundled_model_by_its_name():
    from explorer.models.loading import lasting_name
    from explorer.texts.tasks import task_name

    assert lasting_name("mini-t5") == lasting_name(str(MODELS / "mini-t5")) == "mini-t5"
    assert [
        task_name(data)
        for data in ("data/mr/train.tsv", "films.tsv.xz", "hf:nyu-mll/glue/sst2:train", "train.csv")
    ] == ["mr", "films", "sst2", "train"]


@pytest.mark.parametrize(("texts", "number"), [(10, 3), (40, 13), (100, 30), (300, 30), (400, 40)])
def test_what_is_held_out_is_a_tenth_or_of_few_up_to_a_third_and_always_the_same(texts, number):
    from explorer.texts.tasks import Task, held_out

    task = Task(tuple(f"text {n}" for n in range(texts)), ("a", "b") * (texts // 2), ("a", "b", "c"), "task")
    kept, held = held_out(task)
    assert (len(kept), len(held)) == (texts - number, number)
    assert set(kept.texts) | set(held.texts) == set(task.texts)
    assert held_out(task)[1] == held
    assert held.labels == task.labels


@pytest.mark.slow
def test_app_serves_the_dashboard_until_ctrl_c(tiny_prompts):
    """A real server: it comes up on the given prompts, and Ctrl-C ends both it and the command."""
    from test_cli_errors import start

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = start(
        "app",
        "--prompts",
        tiny_prompts,
        "--model",
        "mini-t5",
        "--port",
        port,
        "--no-browser",
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert any(str(port).encode() in line for line in iter(process.stdout.readline, b"")), (
            process.stderr.read().decode()
        )
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=30) as answer:
            assert answer.read() == b"ok"
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of its processes
        _, message = process.communicate(timeout=60)
        assert process.returncode == 130
        assert message == b"interrupted\n"
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", port), timeout=5)
    finally:
        process.kill()
