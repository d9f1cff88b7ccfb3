"""The commands `gain`, `cues` and `layers` on a tiny model: tables, JSON with its fixed keys, texts without
labels, and what is refused in one line.
"""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import explorer
from explorer.cli import app
from explorer.errors import DataError
from explorer.prompt import Origin, SoftPrompt
from explorer.texts.unlabelled import read_task_or_texts, read_texts

WORDS = [
    "the",
    "food",
    "was",
    "good",
    "and",
    "a",
    "bad",
    "story",
    "with",
    "great",
    "music",
    "in",
    "an",
    "old",
    "house",
]


@pytest.fixture(scope="module")
def files(tmp_path_factory, tiny, tiny_t5_folder):
    """A prompt in a folder, labelled texts, and the same texts alone."""
    folder = tmp_path_factory.mktemp("learned")
    generator = np.random.default_rng(0)
    origin = Origin("test", labels=("negative", "positive"), task="tiny", base_model=str(tiny_t5_folder))
    vectors = generator.standard_normal((3, tiny.dimension)).astype(np.float32)
    SoftPrompt(vectors, "some", origin).save(folder / "some")
    texts = [" ".join(generator.choice(WORDS, 6)) for _ in range(60)]
    rows = [f"{text}\t{('negative', 'positive')[n % 2]}" for n, text in enumerate(texts)]
    (folder / "data.tsv").write_text("\n".join(["text\tlabel", *rows]) + "\n")
    (folder / "alone.csv").write_text("\n".join(["text", *texts]) + "\n")
    (folder / "alone.txt").write_text("\n".join(texts) + "\n")
    (folder / "few.txt").write_text("\n".join(texts[:9]) + "\n")
    return folder


def run(files, tiny_t5_folder, command: str, *options: str) -> str:
    result = CliRunner().invoke(
        app, [command, str(files / "some"), *options, "--model", str(tiny_t5_folder), "--device", "cpu"]
    )
    assert result.exit_code == 0, result.output
    return result.stdout


def test_gain_has_its_keys(files, tiny_t5_folder):
    data = "--data", str(files / "data.tsv")
    (row,) = json.loads(run(files, tiny_t5_folder, "gain", *data, "--json"))
    assert list(row)[:16] == [
        *("prompt", "n", "no_prompt", "prior_fitted", "accuracy", "prior", "prior_low", "prior_high"),
        *("discrimination", "discrimination_low", "discrimination_high", "auc_no_prompt", "auc"),
        *("label_mass_no_prompt", "label_mass", "fixed"),
    ]
    assert row["prior"] + row["discrimination"] == pytest.approx(row["accuracy"] - row["no_prompt"], abs=1e-3)
    assert "over no prompt" in run(files, tiny_t5_folder, "gain", *data)


def test_cues_with_labels_and_without(files, tiny_t5_folder):
    found = json.loads(run(files, tiny_t5_folder, "cues", "--data", str(files / "data.tsv"), "--json"))
    assert list(found["labels"][0])[:6] == ["prompt", "label", "n", "r2", "r2_no_prompt", "r2_gold"]
    assert list(found["terms"][0])[:14] == [
        *("prompt", "label", "term", "texts", "effect", "effect_no_prompt", "effect_gold", "deletion"),
        *("deletion_low", "deletion_high", "deletion_no_prompt", "q", "kind", "not_in_data"),
    ]
    alone = json.loads(run(files, tiny_t5_folder, "cues", "--data", str(files / "alone.csv"), "--json"))
    assert {row["effect_gold"] for row in alone["terms"]} == {None}
    assert [row["deletion"] for row in alone["terms"]] == [row["deletion"] for row in found["terms"]]
    assert "Single words explain" in run(files, tiny_t5_folder, "cues", "--data", str(files / "alone.txt"))
    one = json.loads(run(files, tiny_t5_folder, "cues", "--text", "the food was good", "--json"))
    assert [row["word"] for row in one] == ["the", "food", "was", "good"]


def test_layers_has_its_keys(files, tiny_t5_folder):
    rows = json.loads(run(files, tiny_t5_folder, "layers", "--data", str(files / "data.tsv"), "--json"))
    assert [(row["part"], row["layer"]) for row in rows] == [
        *(("encoder", 1), ("encoder", 2), ("decoder", 1), ("decoder", 2)),
    ]
    assert list(rows[0])[:10] == [
        *("prompt", "layer", "part", "accuracy", "agreement", "log_probability", "accuracy_no_prompt"),
        *("agreement_no_prompt", "log_probability_no_prompt", "knock_out"),
    ]


def test_a_file_that_cannot_be_used_is_one_line(files, tiny_t5_folder):
    result = CliRunner().invoke(
        app, ["cues", str(files / "some"), "--data", str(files / "few.txt"), "--model", str(tiny_t5_folder)]
    )
    assert result.exit_code == 1
    assert "Error: found 9 different texts; expected at least 50" in result.stderr
    result = CliRunner().invoke(
        app, ["gain", str(files / "some"), "--data", str(files / "alone.csv"), "--model", str(tiny_t5_folder)]
    )
    assert result.exit_code == 1
    assert "expected label" in result.stderr
    assert CliRunner().invoke(app, ["cues", str(files / "some")]).exit_code == 2


def test_readings_of_one_session_ask_the_model_once(files, tiny_t5_folder, monkeypatch):
    from explorer.models.frozen import FrozenModel

    asked = []
    real = FrozenModel.label_log_probabilities

    def counted(self, prompts, texts, labels, done=None):
        asked.extend(texts * len(prompts))
        return real(self, prompts, texts, labels, done)

    monkeypatch.setattr(FrozenModel, "label_log_probabilities", counted)
    session = explorer.open(files / "some", model=str(tiny_t5_folder))
    task = explorer.read_task(files / "data.tsv")
    scores = session.evaluate(task, no_prompt=True, generate=False)
    assert len(asked) == 120
    gain = session.gain(task, generate=False)
    assert len(asked) == 120
    assert scores.accuracy == (gain.to_frame().accuracy[0], gain.to_frame().no_prompt[0])
    session.cues(task)
    assert len(asked) > 120  # texts without a word
    assert not set(asked[120:]) & set(task.texts)


def test_texts_alone(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n\n{"text": "two"}\n')
    assert read_task_or_texts(str(tmp_path / "a.jsonl")) == ("one", "two")
    (tmp_path / "b.txt").write_text("one\n\ntwo\n")
    assert read_texts(tmp_path / "b.txt") == ("one", "two")
    (tmp_path / "c.tsv").write_text("other\tname\none\ttwo\n")
    with pytest.raises(DataError, match="found the columns other, name; expected text"):
        read_texts(tmp_path / "c.tsv")
    (tmp_path / "d.txt").write_text("\n")
    with pytest.raises(DataError, match="no texts; expected at least one"):
        read_texts(tmp_path / "d.txt")
    with pytest.raises(DataError, match="no such file"):
        read_texts(tmp_path / "none.txt")
    (tmp_path / "e.pdf").write_text("x")
    with pytest.raises(DataError, match=r"found the suffix .pdf; expected .tsv, .csv, .jsonl or .txt"):
        read_texts(tmp_path / "e.pdf")
    (tmp_path / "f.jsonl").write_text('{"text": 3}\n')
    with pytest.raises(DataError, match="row 1: found no text"):
        read_texts(tmp_path / "f.jsonl")
