"""Texts beyond the model's limit are cut and counted on every surface; labels come from the data where no
prompt records any.
"""

from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from explorer import open as open_prompts
from explorer.cli import app
from explorer.formats import read_prompt
from explorer.texts.tasks import Task

LONG, SHORT = "a charming film " * 300, "dull and far too long"
PROMPT = "sentiment/random-0"


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text(f"text\tlabel\n{LONG}\tpositive\n{SHORT}\tnegative\n{LONG}\tpositive\n")
    return path


def run(*words):
    found = CliRunner().invoke(app, list(map(str, words)), prog_name="explorer")
    assert found.exit_code == 0, found.output
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "more", "said"),
    [
        ("evaluate", (), "2 of 3 texts were cut at 512 pieces"),
        ("evaluate", ("--max-length", 4), "3 of 3 texts were cut at 4 pieces"),
        ("evaluate", ("--max-length", 5000), None),
        (
            "faithfulness",
            ("--draws", 1, "--points", 2, "--max-length", 20),
            "2 of 3 texts were cut at 20 pieces",
        ),
    ],
)
def test_commands_count_what_they_cut_once(name, more, said, data):
    errors = run(name, PROMPT, "--data", data, *more).stderr
    assert errors.count("cut at") == (said is not None)
    assert said is None or said in errors


def test_predict_and_decode_cut_too():
    for name in ("predict", "decode"):
        assert run(name, PROMPT, "--text", LONG).stderr.count("1 of 1 text was cut at 512 pieces") == 1


def test_a_cut_text_is_answered_as_its_beginning():
    session = open_prompts(PROMPT, max_length=9)
    given = session.predict([LONG, "a charming film " * 20], generate=False).probabilities
    np.testing.assert_allclose(given[:, 0], given[:, 1], atol=1e-5)
    assert session.cut([LONG, SHORT]) == "1 of 2 texts was cut at 9 pieces"
    assert open_prompts(PROMPT).cut([SHORT]) is None


def test_labels_of_the_data_are_ranked_where_no_prompt_records_any():
    prompt = read_prompt(PROMPT)
    bare = replace(prompt, origin=replace(prompt.origin, labels=None))
    task = Task((SHORT, "a good film"), ("negative", "positive"), ("negative", "positive"), "mine")
    assert (
        open_prompts(bare).evaluate(task, generate=False).accuracy
        == open_prompts(prompt).evaluate(task, generate=False).accuracy
    )


def test_evaluate_says_that_labels_are_the_datas(data, tmp_path):
    np.save(tmp_path / "bare.npy", read_prompt(PROMPT).vectors)
    errors = run("evaluate", tmp_path / "bare.npy", "--data", data).stderr
    assert "records no class labels; taking those of" in errors
    assert "negative, positive (--labels)" in errors


def test_labels_in_another_case_are_hinted_at():
    errors = run("predict", PROMPT, "--text", SHORT, "--labels", "Negative,Positive").stderr
    assert "in another case (Negative for negative, Positive for positive); case matters" in errors
    assert (
        "case matters" not in run("predict", PROMPT, "--text", SHORT, "--labels", "negative,positive").stderr
    )
