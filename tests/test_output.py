"""What commands write, given a frame: tables that fill the width and no more, figures as people and programs
read them.
"""

import json
import math

import numpy as np
import pandas as pd
import pytest
import typer

from explorer.cli import output
from explorer.cli.output import (
    WIDTH,
    Output,
    cell,
    concluded,
    entries,
    interval,
    paragraph,
    plain,
    records,
    table,
    width_of,
)
from explorer.errors import WriteError


@pytest.fixture(autouse=True)
def terminal(monkeypatch):
    """A terminal of 100 columns; what a pipe gets is in test_cli_output.py."""
    monkeypatch.setattr(output, "screen", lambda: WIDTH)


def lines(frame: pd.DataFrame, **how: object) -> list[str]:
    return table(frame, **how).splitlines()


def test_what_fits_is_written_out_numbers_to_the_right_and_texts_to_the_left():
    frame = pd.DataFrame({"prompt": ["a", "longer"], "rank": [1, 12], "p": [0.5, np.nan]})
    assert lines(frame) == [
        "prompt  rank      p",
        "a          1  0.500",
        "longer    12      –",
    ]
    assert lines(frame, wide=True) == lines(frame)


def test_a_table_that_is_too_wide_fills_the_width_and_takes_from_its_widest_text():
    frame = pd.DataFrame({"prompt": ["p" * 30], "text": ["t" * 90 + "end"], "rank": [7]})
    head, row = lines(frame)
    assert max(width_of(head), width_of(row)) == WIDTH == 100
    assert row.startswith("p" * 30 + "  t"), "the narrower text stays whole"
    assert row.endswith("end     7")
    assert row.count("…") == 1
    assert lines(frame, wide=True)[1] == f"{'p' * 30}  {'t' * 90}end     7"


def test_exactly_the_width_is_not_shortened():
    fits = pd.DataFrame({"a": ["x" * 49], "b": ["y" * 49]})
    assert lines(fits)[1] == "x" * 49 + "  " + "y" * 49
    over = lines(pd.DataFrame({"a": ["x" * 49], "b": ["y" * 50]}))[1]
    assert len(over) == WIDTH
    assert over == "x" * 49 + "  " + "y" * 24 + "…" + "y" * 24


def test_lists_give_way_first_at_their_end_and_keep_whole_items():
    frame = pd.DataFrame({"prompt": ["p" * 60], "neighbors": [", ".join(f"word{n}" for n in range(20))]})
    row = lines(frame, lists=["neighbors"])[1]
    assert row.startswith("p" * 60 + "  word0, word1, word2, word3")
    assert row.endswith(", …")
    assert all(part.startswith("word") for part in row[62:].split(", ")[:-1])
    assert len(row) > WIDTH - len("word19, ") - 1
    assert "…" in lines(frame)[1][:62], "asked of no list, the widest text gives way"


def test_one_long_item_of_a_list_is_cut():
    row = lines(pd.DataFrame({"words": ["w" * 120]}), lists=["words"])[1]
    assert row == "w" * 99 + "…"


def test_no_column_becomes_narrower_than_eight_or_its_name_and_numbers_are_never_cut():
    many = pd.DataFrame({f"text{n}": ["t" * 40] for n in range(12)})
    assert [len(part) for part in lines(many)[1].split("  ")] == [8] * 12
    named = pd.DataFrame({"a-long-name-of-a-column": ["t" * 200], "n": [123456789]})
    head, row = lines(named)
    assert head.startswith("a-long-name-of-a-column")
    assert row.endswith("123456789")
    numbers = pd.DataFrame({f"number{n:02}": [123456789.0] for n in range(12)})
    assert "…" not in table(numbers)


def test_wide_characters_take_two_columns_and_marks_none():
    assert [width_of(text) for text in ("abc", "電影", "e\u0301", "é", "")] == [3, 4, 1, 1, 0]
    first, second = lines(pd.DataFrame({"word": ["電影", "film"], "rank": [1, 2]}))[1:]
    assert (first, second) == ("電影     1", "film     2")
    cut = lines(pd.DataFrame({"text": ["電" * 80]}))[1]
    assert width_of(cut) in (WIDTH - 1, WIDTH)
    assert cut[0] == cut[-1] == "電"


def test_cells_as_people_read_them():
    assert [cell(value) for value in (0.12345, -0.0001, 999.9994, 1000.04, 3, True, "a\nb")] == [
        "0.123",
        "0.000",
        "999.999",
        "1000.0",
        "3",
        "True",
        "a\\nb",
    ]
    assert [cell(value) for value in (None, "", [], {}, float("nan"), np.nan, pd.NA)] == ["–"] * 7
    assert cell([0.5, "x", None]) == "0.500, x, –"
    assert cell({"a\n": 0.25, "b": "c"}) == "a\\n 0.250, b c"
    assert cell(-1234.56) == "-1234.6"


def test_figures_as_programs_read_them():
    frame = pd.DataFrame(
        {
            "prompt": ["a", "b"],
            "similarity": np.array([0.1, np.nan], np.float32),
            "rank": pd.array([3, None], "Int64"),
            "p": [0.1, math.inf],
            "ok": [True, False],
        }
    )
    assert json.loads(json.dumps(records(frame), allow_nan=False)) == [
        {"prompt": "a", "similarity": 0.1, "rank": 3, "p": 0.1, "ok": True},
        {"prompt": "b", "similarity": None, "rank": None, "p": None, "ok": False},
    ]
    assert plain({1: (np.float64(0.5), np.int64(2)), "x": np.array([[1.0, np.nan]])}) == {
        "1": [0.5, 2],
        "x": [[1.0, None]],
    }
    assert plain(pd.NaT) is None
    assert type(plain(np.int64(2))) is int


def test_sentences_are_wrapped_and_empty_ones_left_out():
    said = paragraph("one " * 40, "", "two\nlines")
    assert [len(line) for line in said.splitlines()] == [99, 59, 10]
    assert said.endswith("two\\nlines")
    assert paragraph("a-b " * 30).splitlines()[0].endswith("a-b"), "no line ends within a word"
    assert concluded("Said.", "rest", wide=False) == "Said.\n\nrest"
    assert concluded("Said.", "rest", wide=True) == "rest\n\nSaid."


def test_names_and_what_they_stand_for():
    shown = entries({"a": "short", "longer": "word " * 30}).splitlines()
    assert shown[0] == "a       short"
    assert shown[1].startswith("longer  word word")
    assert shown[2].startswith("        word")
    assert max(map(len, shown)) <= WIDTH


def test_an_interval_is_empty_where_it_is_not_known():
    assert interval(-0.1234, 0.5) == "-0.123 … 0.500"
    assert interval(float("nan"), 0.5) == interval(0.5, math.inf) == ""


def write(capsys, **asked: object) -> tuple[str, str]:
    """What a command puts on stdout and stderr when asked for these forms."""
    Output(**asked).write(
        lambda: [{"ä": 0.5}], lambda: pd.DataFrame({"a": [1]}), lambda: "text", lambda: "<p>page</p>"
    )
    return capsys.readouterr()


def test_a_table_for_people_is_written_only_where_nothing_else_is_asked_for(capsys, tmp_path):
    assert write(capsys) == ("text\n", "")
    out, said = write(capsys, as_json=True)
    assert out == '[\n {\n  "ä": 0.5\n }\n]\n'
    assert said == ""
    assert write(capsys, csv="-").out.splitlines() == ["a", "1"]
    assert write(capsys, html="-").out == "<p>page</p>"
    target = tmp_path / "a.csv"
    assert write(capsys, csv=str(target), as_json=True) == (out, f"wrote {target}\n")
    assert target.read_text().splitlines() == ["a", "1"]
    page = tmp_path / "a.html"
    assert write(capsys, html=str(page)) == ("", f"wrote {page}\n")
    assert page.read_text() == "<p>page</p>"


def test_results_that_would_mix_and_files_that_exist_are_refused_before_the_work(tmp_path):
    target = tmp_path / "a.csv"
    target.write_text("old")
    for asked in ({"as_json": True, "csv": "-"}, {"csv": "-", "html": "-"}, {"as_json": True, "html": "-"}):
        with pytest.raises(typer.BadParameter, match="only one of --json, --csv - and --html -"):
            Output(**asked)
    with pytest.raises(typer.BadParameter, match=r"found same for two results; give each a file of its own"):
        Output(csv="same", html="same")
    with pytest.raises(typer.BadParameter, match="for two results"):
        Output(csv="same", beside=("same",))
    with pytest.raises(WriteError, match="exists already"):
        Output(csv=str(target))
    with pytest.raises(WriteError, match="exists already"):
        Output(html=str(target))
    Output(csv=str(target), overwrite=True).write(list, lambda: pd.DataFrame({"a": [1]}))
    assert target.read_text().splitlines() == ["a", "1"]
