"""The commands: their columns and keys, and that they show what the Python API gives."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from explorer.analysis.neighbors import METRICS, nearest_neighbors
from explorer.cli import app
from explorer.formats import find_prompts, read_prompt
from explorer.formats.arrays import read_safetensors

NEIGHBORS = ["prompt", "position", "rank", "token_id", "piece", "token", "similarity", "metric"]
PROMPTS = ["name", "path", "format", "base_model", "task", "initialization", "seed", "length", "dimension"]
LABELS = ["prompt", "position", "label", "similarity", "rank", "p"]


def run(*arguments: object, code: int = 0, stdin: str | None = None):
    """Run a command in this process; a crash is a failure of the test, with its traceback."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin, prog_name="explorer")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


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


@pytest.fixture
def cached_map(tmp_path, monkeypatch):
    """Maps are kept in a folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


PLANTED = ["<pad>", "</s>", "<unk>", "=1+1", "-2", "+3", "@x", "\tq", "\rr", "▁plain", "▁Plain", "\x1b[31mred"]
"""pieces of a model made to harm spreadsheets and terminals"""


@pytest.fixture
def planted(tmp_path):
    """(prompt, model): a model folder with PLANTED pieces, orthogonal embeddings, and a prompt of its rows from `=1+1` on."""
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    folder = tmp_path / "planted-model"
    folder.mkdir()
    table = 10 * np.eye(len(PLANTED), 16, dtype=np.float32)
    save_file({"shared.weight": table}, folder / "model.safetensors")
    (folder / "config.json").write_text('{"model_type": "t5"}')
    Tokenizer(WordLevel({piece: n for n, piece in enumerate(PLANTED)}, unk_token="<unk>")).save(str(folder / "tokenizer.json"))
    np.save(tmp_path / "planted.npy", table[3:])
    return str(tmp_path / "planted.npy"), str(folder)


# prompts, inspect


def test_prompts_lists_every_prompt_found(tiny_prompts, paths):
    rows = as_json("prompts", tiny_prompts)
    assert list(rows[0])[: len(PROMPTS)] == PROMPTS
    assert [row["path"] for row in rows] == paths
    first = read_prompt(paths[0])
    assert (rows[0]["initialization"], rows[0]["seed"], rows[0]["length"]) == (first.origin.initialization, first.origin.seed, first.length)
    assert list(as_csv("prompts", tiny_prompts)[0])[: len(PROMPTS)] == PROMPTS


def test_prompts_as_a_table_shows_a_row_each(tiny_prompts, paths):
    lines = run("prompts", tiny_prompts).stdout.splitlines()
    assert lines[0].split()[:3] == ["name", "format", "base_model"]
    assert len(lines) == 1 + len(paths)


def test_prompts_shows_a_broken_prompt_with_its_error(tmp_path):
    np.save(tmp_path / "good.npy", np.ones((2, 4), np.float32))
    (tmp_path / "bad.npy").write_bytes(b"nothing")
    rows = as_json("prompts", tmp_path)
    assert [bool(row["error"]) for row in rows] == [True, False]
    assert "cannot be read as a NumPy array" in run("prompts", tmp_path).stdout


def test_prompts_of_an_empty_folder_says_so(tmp_path):
    result = run("prompts", tmp_path)
    assert "no prompts below" in result.stderr
    assert json.loads(run("prompts", tmp_path, "--json").stdout) == []


def test_inspect_says_what_was_read(label_prompt):
    read, prompt = as_json("inspect", label_prompt), read_prompt(label_prompt)
    assert {"format", "key", "length", "dimension", "dtype", "dropped_rows", "origin", "norms", "warnings"} <= set(read)
    assert (read["format"], read["key"], read["dtype"]) == ("explorer", "prompt_embeddings", "float32")
    assert (read["length"], read["dimension"]) == prompt.vectors.shape
    assert read["norms"] == pytest.approx(np.linalg.norm(prompt.vectors, axis=1))
    assert read["origin"]["labels"] == list(prompt.origin.labels)
    assert [row["label"] for row in read["origin"]["rows"]] == [row.label for row in prompt.origin.rows]


def test_inspect_names_the_rows_that_peft_never_trains(tmp_path):
    from safetensors.numpy import save_file

    (tmp_path / "adapter_config.json").write_text('{"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 3, "num_transformer_submodules": 2}')
    save_file({"prompt_embeddings": np.ones((6, 4), np.float32)}, tmp_path / "adapter_model.safetensors")
    read = as_json("inspect", tmp_path)
    assert (read["length"], read["dropped_rows"]) == (3, 3)
    assert "rows dropped" in read["warnings"][0]
    assert "rows dropped" in run("inspect", tmp_path).stdout


# neighbors


@pytest.mark.parametrize("metric", METRICS)
def test_neighbors_equal_the_api(label_prompt, vocabulary, metric):
    expected = nearest_neighbors(read_prompt(label_prompt), vocabulary, k=3, metric=metric).to_frame()
    rows, lines = as_json("neighbors", label_prompt, "-k", 3, "--metric", metric), as_csv("neighbors", label_prompt, "-k", 3, "--metric", metric)
    assert list(rows[0]) == list(lines[0]) == NEIGHBORS
    assert [row["token_id"] for row in rows] == [int(line["token_id"]) for line in lines] == expected["token_id"].tolist()
    assert [row["similarity"] for row in rows] == [float(line["similarity"]) for line in lines]
    assert np.array([row["similarity"] for row in rows], np.float32).tolist() == expected["similarity"].tolist()
    assert {row["metric"] for row in rows} == {metric}


def test_neighbors_of_several_prompts_follow_their_order(paths):
    rows = as_json("neighbors", paths[1], paths[0], "-k", 1)
    assert list(dict.fromkeys(row["prompt"] for row in rows)) == [read_prompt(paths[1]).name, read_prompt(paths[0]).name]


def test_neighbors_as_a_table_says_metric_and_k(label_prompt):
    text = run("neighbors", label_prompt, "-k", 4, "--metric", "l2").stdout
    assert "4 nearest pieces of mini-t5, l2 (distance, smaller is closer)" in text
    assert len(text.splitlines()) == 2 + read_prompt(label_prompt).length


def test_neighbors_searches_special_pieces_only_when_asked(planted):
    prompt, model = planted
    ordinary, every = (as_json("neighbors", prompt, "--model", model, "-k", 100, *more) for more in ((), ("--include-special",)))
    assert len(ordinary) == 9 * 9
    assert len(every) == 9 * len(PLANTED)
    assert not {0, 1, 2} & {row["token_id"] for row in ordinary}


def test_neighbors_merges_variants_when_asked(planted):
    prompt, model = planted
    words = [row["token"].strip().casefold() for row in as_json("neighbors", prompt, "--model", model, "-k", 100, "--merge-variants")[:8]]
    assert len(set(words)) == len(words) == 8


def test_a_piece_that_a_spreadsheet_would_run_is_disarmed_in_csv_only(planted):
    prompt, model = planted
    lines, rows = as_csv("neighbors", prompt, "--model", model, "-k", 1), as_json("neighbors", prompt, "--model", model, "-k", 1)
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
    assert set(found) == {"positions", "redundancy"}
    assert list(found["positions"][0])[:7] == ["prompt", "position", "coherence", "coherence_merged", "variant_share", "p", "q"]
    assert list(found["redundancy"][0])[:5] == ["prompt", "shared_first", "mean_cosine", "effective_rank", "p"]
    assert [row["position"] for row in found["positions"]] == list(range(prompt.length))
    assert len(found["redundancy"]) == 1


def test_clusters_writes_positions_as_csv_and_repeats_itself(label_prompt):
    first, again = (as_csv("clusters", label_prompt, "--nulls", 50, "--seed", 3) for _ in range(2))
    assert first == again
    assert list(first[0])[:3] == ["prompt", "position", "coherence"]
    text = run("clusters", label_prompt, "--nulls", 50).stdout
    assert "mean coherence of the null" in text
    assert "effective_rank" in text


def test_labels_has_three_tables(label_prompt):
    found, prompt = as_json("labels", label_prompt, "--nulls", 50), read_prompt(label_prompt)
    assert set(found) == {"similarities", "persistence", "dispersion"}
    assert list(found["similarities"][0]) == LABELS
    assert {row["label"] for row in found["similarities"]} == set(prompt.origin.labels)
    assert len(found["similarities"]) == prompt.length * len(prompt.origin.labels)
    assert list(found["persistence"][0]) == ["prompt", "label", "position", "initial_rank", "rank", "p"]
    begun = [(n, row.label) for n, row in enumerate(prompt.origin.rows) if row.label is not None]
    assert sorted((row["position"], row["label"]) for row in found["persistence"]) == begun
    assert list(found["dispersion"][0]) == ["prompt", "dispersion"]
    assert list(as_csv("labels", label_prompt, "--nulls", 50)[0]) == LABELS


def test_labels_can_be_asked_for_by_name(paths):
    prompt = next(path for path in paths if read_prompt(path).origin.initialization == "random")
    found = as_json("labels", prompt, "--labels", "great, terrible", "--nulls", 50)
    assert {row["label"] for row in found["similarities"]} == {"great", "terrible"}
    assert found["persistence"] == []
    assert "persistence: no prompt token was initialized from a class label" in run("labels", prompt, "--nulls", 50).stdout


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
    assert "its base model is not to be had (./gone" in result.stderr
    assert json.loads(result.stdout)


def test_a_prompt_of_another_model_of_the_same_name_is_warned_about(label_prompt, tmp_path):
    _with_record(label_prompt, tmp_path / "copy", base_fingerprint="0" * 16)
    assert "its readings may mean nothing" in run("neighbors", tmp_path / "copy", "-k", 1).stderr


def test_a_prompt_s_own_model_is_the_default(planted, tmp_path):
    from safetensors.numpy import save_file

    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "PROMPT_TUNING", "base_model_name_or_path": planted[1]}))
    save_file({"prompt_embeddings": np.load(planted[0])}, folder / "adapter_model.safetensors")
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
        (copy / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": changes["base_model"]}))
    assert read_safetensors(copy / "adapter_model.safetensors")
