"""The report gathers what the readings say, CSV is safe to open, and the list of prompts keeps the broken
ones.
"""

import csv
import io

import numpy as np
import pandas as pd
import planted
import pytest

from explorer.analysis.neighbors import nearest_neighbors
from explorer.errors import PromptError
from explorer.formats import find_prompts, read_prompt
from explorer.report.tables import list_prompts, neighbor_table, reported
from explorer.session import Session, Settings
from explorer.system.files import safe_csv
from explorer.words.pieces import readable


@pytest.fixture(scope="module")
def prompt(tiny_prompts):
    return read_prompt(tiny_prompts / "sentiment" / "class-label-0")


def session(prompt, vocabulary, **settings) -> Session:
    """A session of one prompt, read with the bundled model."""
    return Session([prompt], vocabulary.name, Settings(nulls=50, **settings))


def readings(session: Session) -> dict[str, pd.DataFrame]:
    """The tables of what is read of each prompt's vectors, by name."""
    return {table.name: frame for reading, table, frame in reported(session, decoder=False) if reading.each}


def test_the_readings_hold_every_table(prompt, vocabulary):
    frames = readings(session(prompt, vocabulary, k=4, metric="l2"))
    assert list(frames) == [
        "neighbors",
        "clusters",
        "whole-prompts",
        "decomposition",
        "redundancy",
        "norms",
        "labels",
        "persistence",
        "dispersion",
        "labels-found",
        "labels-found-summary",
    ]
    pd.testing.assert_frame_equal(
        frames["neighbors"], nearest_neighbors(prompt, vocabulary, 4, "l2").to_frame()
    )
    assert len(frames["clusters"]) == len(frames["norms"]) == prompt.length
    assert len(frames["labels"]) == prompt.length * 2
    assert frames["persistence"]["label"].tolist() == ["negative", "positive"]
    assert all((frame["prompt"] == prompt.name).all() for frame in frames.values())


def test_a_prompt_without_labels_has_no_label_tables(vocabulary):
    bare = planted.prompt(np.ones((2, vocabulary.dimension)))
    assert list(readings(session(bare, vocabulary, k=3))) == [
        "neighbors",
        "clusters",
        "whole-prompts",
        "decomposition",
        "redundancy",
        "norms",
    ]
    assert set(readings(session(bare, vocabulary, k=3, labels=["good", "bad"]))["labels"]["label"]) == {
        "good",
        "bad",
    }


def test_readings_of_one_token_and_one_neighbor(vocabulary):
    frames = readings(session(planted.prompt(np.ones((1, vocabulary.dimension))), vocabulary, k=1))
    assert all(len(frame) == 1 for name, frame in frames.items() if name != "decomposition")


def test_readings_of_another_width_are_refused(vocabulary):
    with pytest.raises(
        PromptError, match="planted/prompt: vectors of width 3, but mini-t5 has embeddings of width"
    ):
        readings(session(planted.prompt(np.ones((2, 3))), vocabulary))


def test_the_neighbor_table_says_what_tokens_began_as_and_marks_hubs(prompt, vocabulary):
    found = nearest_neighbors(prompt, vocabulary, 3, nulls=50)
    table = neighbor_table(prompt, found)
    assert list(table) == ["position", "source", "1", "2", "3", "first", "last", "margin", "p", "q"]
    assert table["source"].tolist()[:2] == ["label negative", "label positive"]
    assert [cell.removesuffix(" *") for cell in table["1"]] == [readable(row[0]) for row in found.pieces]
    assert [cell.endswith(" *") for cell in table["1"]] == found.hub[:, 0].tolist()
    assert "q" not in neighbor_table(prompt, nearest_neighbors(prompt, vocabulary, 3, nulls=0))


DANGEROUS = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"]
HARMLESS = ["▁good", "a=b", "1-1", "", " =1", "'", 'say "hi", twice', "two\nlines"]


def test_cells_that_a_spreadsheet_would_run_are_disarmed():
    frame = pd.DataFrame(
        {
            "piece": DANGEROUS + HARMLESS,
            "token_id": range(14),
            "similarity": np.linspace(-1, 1, 14).astype(np.float32),
        }
    )
    rows = list(csv.DictReader(io.StringIO(safe_csv(frame), newline="")))
    assert [row["piece"] for row in rows] == [f"'{cell}" for cell in DANGEROUS] + HARMLESS
    assert [row["token_id"] for row in rows] == [str(number) for number in range(14)]
    assert rows[0]["similarity"] == "-1.0"  # a number stays a number
    np.testing.assert_array_equal([np.float32(row["similarity"]) for row in rows], frame["similarity"])


def test_csv_of_mixed_missing_and_empty_columns():
    frame = pd.DataFrame(
        {
            "seed": pd.array([1, None], "Int64"),
            "text": pd.Series(["=x", None], dtype=object),
            "mixed": pd.Series([-1, "-1"], dtype=object),
        }
    )
    assert safe_csv(frame) == "seed,text,mixed\n1,'=x,-1\n,,'-1\n"
    assert safe_csv(frame.iloc[:0]) == "seed,text,mixed\n"
    assert (
        safe_csv(frame.assign(text=frame["text"].astype("category"))) == "seed,text,mixed\n1,'=x,-1\n,,'-1\n"
    )


def test_the_frame_that_is_written_stays_as_it_was():
    frame = pd.DataFrame({"piece": ["=1"]})
    safe_csv(frame)
    assert frame["piece"].tolist() == ["=1"]


def test_every_prompt_is_listed(tiny_prompts):
    frame = list_prompts(find_prompts(tiny_prompts))
    assert list(frame.columns) == [
        *(
            "name",
            "path",
            "format",
            "base_model",
            "task",
            "initialization",
            "seed",
            "length",
            "dimension",
            "step",
        ),
        *("dev_accuracy", "without_prompt", "gain", "norm", "error"),
    ]
    assert frame["name"].tolist() == [
        f"sentiment/{name}-{seed}" for name in ("class-label", "random", "sampled-vocab") for seed in (0, 1)
    ]
    assert frame["seed"].tolist() == [0, 1] * 3
    assert frame["error"].isna().all()
    for row in frame.itertuples():
        read = read_prompt(row.path)
        assert (row.length, row.dimension, row.step, row.dev_accuracy) == (
            read.length,
            read.dimension,
            20,
            read.origin.dev_accuracy,
        )
        assert row.without_prompt == 0.55
        assert row.gain == pytest.approx(row.dev_accuracy - 0.55)
        np.testing.assert_allclose(row.norm, np.median(np.linalg.norm(read.vectors, axis=1)), rtol=1e-6)


def test_broken_and_bare_prompts_are_listed_too(tmp_path):
    folder = tmp_path / "prompts"
    folder.mkdir()
    np.save(folder / "bare.npy", np.ones((3, 4), np.float32))
    np.save(folder / "broken.npy", np.full((3, 4), np.nan, np.float32))
    frame = list_prompts(find_prompts(folder)).set_index("name")
    assert frame.loc["bare", ["length", "dimension"]].tolist() == [3, 4]
    assert frame.loc["bare", ["seed", "task", "dev_accuracy", "without_prompt", "gain", "error"]].isna().all()
    assert "NaN" in frame.loc["broken", "error"]
    assert frame.loc["broken"].drop(["path", "error"]).isna().all()


def test_no_prompts_are_an_empty_table():
    frame = list_prompts([])
    assert frame.empty
    assert "error" in frame.columns
