"""A bundle: its tables are the commands' own, its page needs nobody, its record says with what it was
made.
"""

import io
import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_cli import run
from test_cli_errors import fails

from explorer.context import LocalLoader
from explorer.errors import ExplorerError
from explorer.formats import find_prompts
from explorer.report.bundle import PAGE, RECORD, Recipe, bundle
from explorer.session import Session, Settings
from explorer.system.files import safe_csv


def line(recipe: Recipe) -> str:
    """What makes a table again, where nobody types it."""
    return recipe.command


QUICK = ("-k", "4", "--nulls", "50", "--seed", "3")


@pytest.fixture(scope="module")
def paths(tiny_prompts) -> list[str]:
    return [str(path) for path, _ in list(find_prompts(tiny_prompts))[:2]]


@pytest.fixture(scope="module")
def written(tmp_path_factory, paths) -> Path:
    """A report of two prompts, made once."""
    folder = tmp_path_factory.mktemp("written") / "report"
    run("report", *paths, *QUICK, "--out", folder)
    return folder


@pytest.fixture
def out(tmp_path, written) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(written, tmp_path / "report"))


@pytest.mark.slow
def test_every_table_is_what_its_command_writes(out, paths, tmp_path):
    record = json.loads((out / RECORD).read_text())
    assert {table["file"] for table in record["tables"]} == {path.name for path in out.glob("*.csv")}
    commands, own = {}, shlex.split(record["command"])
    for table in record["tables"]:
        words = shlex.split(table["command"])
        assert words[:3] == ["python", "-m", "explorer"]
        if words == own:
            continue
        if table["key"]:
            rows = commands.setdefault(table["command"], json.loads(run(*words[3:]).stdout))[table["key"]]
            assert len(rows) == table["rows"]
            again = pd.read_csv(io.StringIO(safe_csv(pd.DataFrame(rows, columns=table["columns"]))))
            pd.testing.assert_frame_equal(
                pd.read_csv(out / table["file"]), again, check_dtype=False, rtol=1e-6
            )
        else:
            again = tmp_path / table["file"]
            run(*words[3:-1], again)
            assert again.read_bytes() == (out / table["file"]).read_bytes()
    run(*own[3:-1], tmp_path / "again")
    for path in out.glob("*.csv"):
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_the_record_says_with_what_it_was_made(out, vocabulary, paths):
    record = json.loads((out / RECORD).read_text())
    assert record["settings"] == {
        "k": 4,
        "metric": "auto",
        "nulls": 50,
        "seed": 3,
        "labels": None,
        "template": None,
        "model": None,
    }
    assert record["model"]["fingerprint"] == vocabulary.fingerprint
    assert [one["given"] for one in record["prompts"]] == paths
    assert len({one["fingerprint"] for one in record["prompts"]}) == 2
    assert {"explorer", "numpy", "faiss-cpu"} <= set(record["versions"])


def test_the_page_needs_no_network(out):
    page = (out / PAGE).read_text()
    outside = re.sub(r"<script.*?</script>", "", page, flags=re.S)
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", outside)
    assert "<script src" not in page
    links = re.findall(r'href="([^"#]+)"', outside)
    assert links
    assert all((out / link).is_file() for link in links)
    figures = re.findall(r'<figure role="img" aria-label="([^"]+)"', page)
    assert len(figures) > 8
    assert page.count("Plotly.newPlot(") >= len(figures)


def test_what_the_decoder_makes_of_the_prompts_is_there_unless_left_out(out, paths, tmp_path, vocabulary):
    page = (out / PAGE).read_text()
    assert page.count("<h3>What the decoder makes of it</h3>") == len(paths)
    assert "the decoder begins with one of negative, positive with probability " in page
    assert {"decoder.csv", "label-mass.csv", "label-mass-tasks.csv"} <= {path.name for path in out.iterdir()}
    run("report", paths[0], *QUICK, "--no-decoder", "--out", tmp_path / "r")
    assert not (tmp_path / "r" / "decoder.csv").exists()
    assert "What the decoder makes of the prompts was left out." in (tmp_path / "r" / PAGE).read_text()
    assert json.loads((tmp_path / "r" / RECORD).read_text())["command"].endswith("--no-decoder --out report")


def test_where_no_model_can_run_the_rest_is_there(tiny_prompts, vocabulary):
    class ReadOnly(LocalLoader):
        def frozen(self, model):
            raise ExplorerError("runs no model")

    told, prompt = [], next(prompt for _, prompt in find_prompts(tiny_prompts))
    files = bundle(
        Session([prompt], vocabulary.name, Settings(k=3, nulls=20), ReadOnly(), told.append),
        [prompt.name],
        line,
    )
    assert "left out: what the decoder makes of the prompts (runs no model)" in told
    assert "decoder.csv" not in files
    assert b"was left out." in files[PAGE]


def test_text_of_a_checkpoint_is_text(tiny_prompts, tmp_path, vocabulary):
    from dataclasses import replace

    prompt = next(prompt for _, prompt in find_prompts(tiny_prompts))
    evil = "<img src=x onerror=alert(1)>"
    prompt = replace(
        prompt, name=evil, origin=replace(prompt.origin, task=evil, warnings=(evil,), initialization=evil)
    )
    page = bundle(Session([prompt], vocabulary.name, Settings(k=3, nulls=20)), [evil], line)[PAGE].decode()
    assert "<img" not in re.sub(r"<script.*?</script>", "", page, flags=re.S)
    assert "&lt;img" in page


def test_one_prompt_of_one_token_and_no_labels(tmp_path, vocabulary):
    np.save(tmp_path / "one.npy", vocabulary.embedding[100:101])
    folder = tmp_path / "report"
    run("report", tmp_path / "one.npy", *QUICK, "--out", folder)
    assert not (folder / "labels.csv").exists()
    assert not (folder / "comparison.csv").exists()
    assert (folder / PAGE).is_file()


@pytest.mark.slow
def test_what_is_there_is_not_overwritten(out, paths, tmp_path):
    before = (out / PAGE).read_bytes()
    assert "exists already and is not empty" in fails("report", *paths, "--out", out)
    assert (out / PAGE).read_bytes() == before
    (tmp_path / "file").write_text("mine")
    assert "is a file; expected the name of a folder" in fails("report", *paths, "--out", tmp_path / "file")
    assert "there is no folder" in fails("report", *paths, "--out", tmp_path / "no" / "report")
    (out / "mine.txt").write_text("mine")
    run("report", *paths, "-k", "2", "--nulls", "50", "--out", out, "--overwrite")
    assert (out / "mine.txt").read_text() == "mine"
    assert json.loads((out / RECORD).read_text())["settings"]["k"] == 2


def test_two_prompts_of_one_name_are_refused(paths, tmp_path):
    assert "is given twice; expected different prompts" in fails(
        "report", paths[0], paths[0], "--out", tmp_path / "r"
    )
    assert not (tmp_path / "r").exists()


def test_commands_name_every_setting_that_was_typed(paths, tmp_path):
    run(
        "report",
        paths[0],
        *QUICK,
        "--metric",
        "csls",
        "--labels",
        "warm,so so",
        "--model",
        "mini-t5",
        "--out",
        tmp_path / "r",
    )
    record = json.loads((tmp_path / "r" / RECORD).read_text())
    settings = "-k 4 --metric csls --nulls 50 --seed 3"
    assert record["command"] == (
        f"python -m explorer report {paths[0]} {settings} --labels 'warm,so so' --model mini-t5 --out report"
    )
    made = {table["file"]: table["command"] for table in record["tables"]}
    assert (
        made["neighbors.csv"]
        == f"python -m explorer neighbors {paths[0]} {settings} --model mini-t5 --csv neighbors.csv"
    )
    assert made["persistence.csv"] == (
        f"python -m explorer labels {paths[0]} --nulls 50 --seed 3 --labels 'warm,so so' --model "
        "mini-t5 --json"
    )


def test_given_labels_reach_every_table_that_has_them(tmp_path, paths):
    run("report", paths[0], *QUICK, "--labels", "warm,cold", "--out", tmp_path / "r")
    assert "warm" in (tmp_path / "r" / "labels.csv").read_text()
    assert "warm" in (tmp_path / "r" / "map.csv").read_text()
