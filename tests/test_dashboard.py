"""The dashboard in AppTest: every page with no prompt, one, several and a broken one; what it says before any
number.
"""

import gc
import importlib.util
import json
import os
import re
import subprocess
import sys
import threading
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from browsing import PAGES
from planted import plant_map
from streamlit.testing.v1 import AppTest

from explorer.analysis import labels
from explorer.analysis.neighbors import nearest_neighbors
from explorer.context import LocalLoader
from explorer.dashboard import browser, cache, focus, preload, streamlit_internals
from explorer.dashboard.markdown import model_name, safe, slug
from explorer.errors import ExplorerError, ModelError
from explorer.evaluation.ensemble import ensemble
from explorer.formats import find_prompts, peft, read_prompt
from explorer.models.encoder_decoder import FrozenT5
from explorer.prompt import SoftPrompt
from explorer.session import Session
from explorer.texts.tasks import read_task
from explorer.vocabulary import Vocabulary
from explorer.words.pieces import readable

ROOT = Path(__file__).resolve().parent.parent
TABS = ("Verdict", "Measures", "Neighbors", "All prompts", "Model size", "Map")
NAMES = ["sentiment/class-label-0", "sentiment/random-0", "sentiment/sampled-vocab-0"]


@pytest.fixture
def house(tmp_path, monkeypatch, vocabulary, components_sought_once):
    """An empty prompts folder for the app, and a map that needs no fitting."""
    folder = tmp_path / "prompts"
    folder.mkdir()
    monkeypatch.setenv("EXPLORER_PROMPTS", str(folder))
    monkeypatch.delenv("EXPLORER_MODEL", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    plant_map(vocabulary)
    st.cache_data.clear()
    st.cache_resource.clear()
    return folder


@pytest.fixture
def put(house, tiny_prompts):
    """Put some of the small prompts into the app's folder: `put(1)`, `put()` for all of them."""

    def copy(count: int | None = None) -> None:
        for path, prompt in list(find_prompts(tiny_prompts))[:count]:
            peft.write(prompt, house / path.relative_to(tiny_prompts), {"explorer": "test"})

    return copy


def open_page(page: str, **query: object) -> AppTest:
    """The app at one page, opened by its address and run once."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
    for key, value in query.items():
        app.query_params[key] = value
    return app.switch_page(f"explorer/dashboard/pages/{page}.py").run() if page != "prompts" else app.run()


def run(app: AppTest) -> AppTest:
    """Ask the model, where a page waits to be asked."""
    for button in app.button:
        if button.label.startswith("Run: "):
            return button.click().run()
    return app


def texts(elements) -> str:
    """What a kind of element says on a page, without Markdown's escapes."""
    return "\n".join(str(element.value) for element in elements).replace("\\", "")


def pages(*quick: str, without: tuple[str, ...] = ()) -> list:
    """Every page; those that are not named are left to the slow tests."""
    shown = [page for page in PAGES if page not in without]
    return [page if page in quick else pytest.param(page, marks=pytest.mark.slow) for page in shown]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_without_prompts_says_what_makes_some(house, page):
    app = open_page(page)
    assert not app.exception
    assert not app.error
    assert (
        "explorer train" in texts(app.info) if page == "prompts" else "no prompts here yet" in texts(app.info)
    )


@pytest.mark.parametrize(
    ("page", "count"),
    [
        *((page, None) for page in PAGES),
        *(
            pytest.param(page, 1, marks=() if page in ("compare", "ensemble") else pytest.mark.slow)
            for page in PAGES
        ),
    ],
    ids=lambda value: "one" if value == 1 else value or "several",
)
def test_a_page_shows_prompts(put, page, count):
    put(count)
    app = open_page(page)
    assert not app.exception
    assert not app.error
    assert app.title[0].value
    if page in ("compare", "ensemble") and count == 1:
        assert "at least two" in texts(app.info)
    else:
        if page == "faithfulness":  # reads one prompt at a time
            assert not app.dataframe, "nothing runs before it is asked for"
            if count is None:
                return
        if count is None:
            assert sorted(app.sidebar.multiselect[0].value) == NAMES, "one prompt of each initialization"
        app = run(app)
        assert not app.exception
        assert not [button for button in app.button if button.label == "Stop"], "nothing is running any more"
        assert len(app.dataframe) >= (page != "training")
        assert app.get("plotly_chart")
        assert len(app.get("download_button")) >= 1
        assert app.caption


@pytest.mark.parametrize("page", pages("prompts", "neighbors"))
def test_a_broken_prompt_is_listed_and_the_rest_lives(put, house, page):
    put(2)
    (house / "sentiment" / "class-label-0" / "adapter_model.safetensors").write_bytes(b"no tensors")
    app = open_page(page)
    assert not app.exception
    assert not app.error
    assert app.sidebar.multiselect[0].options == ["sentiment/class-label-1"]
    assert "1 cannot be read" in texts(app.sidebar.caption)
    if page == "prompts":
        assert "1 checkpoint cannot be read" in texts(app.warning)
        assert "cannot be read as safetensors" in app.dataframe[1].value["error"].iloc[0]


RUNS_THE_MODEL = ("playground", "faithfulness", "ensemble")


@pytest.mark.parametrize("page", pages("prompts", "map", "shift", without=RUNS_THE_MODEL))
def test_a_read_only_page_shows_prompts_and_offers_nothing_that_runs_the_model(put, page, monkeypatch):
    """The loader refuses, which a page that asked for the model all the same would show as an error."""
    put(1)
    monkeypatch.setenv("EXPLORER_READ_ONLY", "1")
    app = open_page(page)
    assert not app.exception
    assert not app.error
    assert app.title[0].value
    assert not app.get("file_uploader")
    assert not app.text_area
    assert not [button for button in app.button if button.label.startswith("Run: ")]
    led_to = {str(link.proto.page) for link in app.sidebar.get("page_link")}
    assert not led_to & set(RUNS_THE_MODEL)
    assert "neighbors" in led_to


def test_a_read_only_list_tells_no_path_of_the_server(put, house, monkeypatch):
    put(2)
    (house / "sentiment" / "class-label-0" / "adapter_model.safetensors").write_bytes(b"no tensors")
    monkeypatch.setenv("EXPLORER_READ_ONLY", "1")
    app = open_page("prompts")
    assert not app.exception
    whole, broken = app.dataframe[0].value, app.dataframe[1].value
    assert len(whole) == len(broken) == 1
    assert broken["error"].iloc[0].startswith("sentiment/class-label-0")
    assert "path" not in whole
    assert str(house) not in whole.to_csv() + broken.to_csv()


@pytest.mark.parametrize("name", preload.READING + preload.RUNNING)
def test_what_is_preloaded_exists(name):
    assert importlib.util.find_spec(name)


def test_the_scripts_that_the_browser_fetches_early_exist():
    assert [name.split(".")[0] for name in browser.script_names()] == list(streamlit_internals.SCRIPTS)


def test_a_read_only_dashboard_refuses_to_load_the_model(house, monkeypatch):
    monkeypatch.setenv("EXPLORER_READ_ONLY", "1")
    with pytest.raises(ExplorerError, match="read-only and runs no model"):
        cache.loader().frozen("mini-t5")


@pytest.mark.parametrize("page", pages("neighbors", "ensemble", without=("prompts",)))
def test_nothing_chosen_leads_to_the_sidebar(put, page):
    put(2)
    app = open_page(page)
    app.sidebar.multiselect[0].set_value([]).run()
    assert not app.exception
    assert "Choose a prompt in the sidebar" in texts(app.info)


@pytest.mark.parametrize("page", pages("neighbors", "playground"))
def test_a_prompt_of_another_width_is_named_before_any_number(put, house, page):
    put(1)
    np.save(house / "narrow.npy", np.ones((3, 8), np.float32))
    app = open_page(page)
    app.sidebar.multiselect[0].set_value(["sentiment/class-label-0", "narrow"]).run()
    assert not app.exception
    message = texts(app.error)
    assert "narrow: vectors of width 8" in message
    assert "width 256" in message
    app.sidebar.multiselect[0].set_value(["narrow"]).run()
    assert not app.exception
    assert "width 8" in texts([*app.error])


def test_a_missing_model_is_one_line_and_the_list_lives(put, house, monkeypatch):
    put(1)
    monkeypatch.setenv("EXPLORER_MODEL", str(house / "nowhere"))
    app = open_page("prompts")
    assert not app.exception
    assert "no such folder" in texts(app.error)
    assert len(app.dataframe[0].value) == 1


def test_a_missing_folder_is_one_line(house, monkeypatch):
    monkeypatch.setenv("EXPLORER_PROMPTS", str(house / "nowhere"))
    app = open_page("prompts")
    assert not app.exception
    assert "no such folder; expected a folder with trained prompts" in texts(app.error)


def test_another_model_of_the_same_width_is_doubted(put, house):
    put(1)
    record = house / "sentiment" / "class-label-0" / "explorer.json"
    text = record.read_text()
    record.write_text(text.replace('"base_fingerprint": "', '"base_fingerprint": "0'))
    app = open_page("neighbors")
    assert not app.exception
    assert "with other embeddings than mini-t5 has now" in texts(app.warning)


def test_the_first_choice_is_of_the_task_that_prompts_gained_most_on():
    from explorer.dashboard.choice import _default
    from explorer.prompt import Evaluation, Origin, SoftPrompt

    def made(name, model, task, initialization, dev, alone, read_as=None):
        record = {"read_as": read_as} if read_as else {}
        origin = Origin(
            "test",
            None,
            base_model=model,
            task=task,
            initialization=initialization,
            seed=0,
            step=1,
            history=(Evaluation(1, None, dev),),
        )
        return SoftPrompt(
            np.ones((2, 4), np.float32), name, replace(origin, without_prompt=alone, hyperparameters=record)
        )

    small = [made("small", "nano", "b", "class-label", 0.9, 0.1)]
    plain = [
        made("a-random", "big", "a", "random", 0.7, 0.6),
        made("a-label", "big", "a", "class-label", 0.7, 0.6),
    ]
    gained = [
        made("b-random", "big", "b", "random", 0.8, 0.5),
        made("b-label", "big", "b", "class-label", 0.8, 0.5),
        made("b-1", "big", "b", "random", 0.9, 0.5),
    ]
    wayward = [made("wayward", "big", "b", "sentence", 1.0, 0.0, "bake the bread")]
    assert _default([*wayward, *small, *plain, *gained]) == ["b-random", "b-label"]
    assert _default([*small, *plain]) == ["a-random", "a-label"]
    assert _default(wayward) == ["wayward"]
    unknown = [
        replace(prompt, origin=replace(prompt.origin, without_prompt=None)) for prompt in (*plain, *gained)
    ]
    assert _default(unknown) == ["a-random", "a-label"], "nothing recorded: the first kind"
    assert _default([]) == []


def test_a_link_holds_the_choice_metric_k_and_filters(put):
    put()
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
    for key, value in {"prompts": ["sentiment/random-1"], "metric": "l2", "k": "4", "merge": "true"}.items():
        app.query_params[key] = value
    app.switch_page("explorer/dashboard/pages/neighbors.py").run()
    assert not app.exception
    assert app.sidebar.multiselect[0].value == ["sentiment/random-1"]
    assert app.number_input(key="k").value == 4
    assert app.toggle(key="merge").value
    assert [column for column in app.dataframe[0].value if column.isdigit()] == ["1", "2", "3", "4"]
    assert "Metric l2 (a distance: smaller is closer), k = 4" in texts(app.caption)


@pytest.mark.parametrize(
    "value", ["inf", "-inf", "nan", "1e400", "-1", "0", "31", "4.5", "٣", "9" * 5000, ""]
)
def test_numbers_of_the_address_are_checked_before_a_widget_sees_them(value, put):
    put(1)
    app = open_page("neighbors", k=value, words=value)
    assert not app.exception
    assert app.number_input(key="k").value == 10
    app = open_page("training", at="-1" if value in ("0", "31") else value)
    assert not app.exception
    assert app.slider(key="at").value == app.session_state["at"]


def test_a_prompt_replaced_by_one_of_equal_size_and_time_is_read_again(put, house):
    put(1)
    cache.state.clear()
    (prompt,) = cache.collection()
    file = next(house.rglob("adapter_model.safetensors"))
    before, content = file.stat(), bytearray(file.read_bytes())
    content[-2] ^= 1
    file.write_bytes(bytes(content))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    cache.state.clear()
    assert not np.array_equal(cache.collection()[0].vectors, prompt.vectors)


def test_captions_say_numbers_and_those_of_the_result(put, vocabulary):
    put(1)
    app = open_page("labels", labels="good, bad, old, new, great")
    assert not app.exception
    said = texts(app.caption)
    (prompt,) = (one for one in cache.collection())
    draws = labels.read_labels(prompt, vocabulary, ["good", "bad", "old", "new", "great"]).draws
    assert f"p against {draws:,} vectors drawn" in said
    for page in ("labels", "map"):
        said = texts([*(app := open_page(page)).markdown, *app.caption])
        assert not re.search(r"\bnan\b|\{[A-Za-z_]+\}", said), page


@pytest.mark.slow
def test_neighbor_rows_are_the_analysis_and_change_with_the_metric(put, vocabulary, tiny_prompts):
    put(1)
    app = open_page("neighbors")
    prompt = read_prompt(tiny_prompts / "sentiment" / "class-label-0")
    for metric in ("cosine", "l2", "dot", "csls"):
        app.segmented_control(key="metric").set_value(metric).run()
        found, shown = nearest_neighbors(prompt, vocabulary, 10, metric), app.dataframe[0].value
        assert list(shown["1"]) == [readable(row[0]) for row in found.pieces]
        assert np.allclose(shown["first"], found.similarity[:, 0])
        assert ("p" in shown) == (metric in ("cosine", "csls"))


def test_every_table_says_metric_k_and_null(put):
    put()
    for page in ("neighbors", "clusters"):
        said = texts(open_page(page).caption)
        assert "osine" in said
        assert "k = 10" in said
        assert "1,000 vectors drawn from" in said


def test_labels_can_be_typed_for_a_prompt_that_records_none(house):
    np.save(house / "bare.npy", np.random.default_rng(0).normal(size=(3, 256)).astype(np.float32))
    app = open_page("labels")
    assert not app.exception
    assert "type them above" in texts(app.info)
    app.text_input(key="labels").set_value("good, bad").run()
    assert not app.exception
    assert set(app.dataframe[-1].value["label"]) == {"good", "bad"}
    app.text_input(key="labels").set_value("good, 龘龘").run()
    assert not app.exception
    assert "龘" in texts(app.error)


@pytest.mark.parametrize(
    ("customdata", "title"),
    [
        (["prompt", "sentiment/class-label-0", 2, 0.5], "Neighbors of token 2 of sentiment/class-label-0"),
        (["label", "", 1, 0.5], "Neighbors of the label “positive”"),
        (500, "Neighbors of the word"),
    ],
)
def test_a_chosen_point_shows_its_neighbors_and_leaves_the_figure_alone(put, customdata, title):
    put(1)
    app = open_page("map")
    before = app.get("plotly_chart")[0].proto.spec
    app.session_state["map"] = {
        "selection": {"points": [{"customdata": customdata}], "point_indices": [0], "box": [], "lasso": []}
    }
    app.run()
    assert not app.exception
    assert title in texts(app.subheader)
    assert app.get("plotly_chart")[0].proto.spec == before


def test_the_map_draws_paths_and_beginnings_on_demand(put):
    put(2)
    app = open_page("map")
    for key in ("before", "paths", "names"):
        app.toggle(key=key).set_value(True)
    app.run()
    assert not app.exception
    assert "before training" in app.get("plotly_chart")[0].proto.spec


@pytest.mark.slow
def test_compare_says_how_many_seeds_and_warns_of_one(put):
    put()
    app = open_page("compare")
    assert "class-label: 2 prompts, 2 seeds" in texts(app.markdown)
    app.segmented_control(key="scope").set_value("chosen only").run()
    assert not app.exception
    assert "nothing can be concluded from one seed" in texts(app.warning)


def test_the_playground_opens_with_an_example_answered_and_keeps_the_question_over_pages(put):
    put()
    app = open_page("playground")
    assert app.text_area(key="text").value == read_task(ROOT / "examples" / "films.tsv").texts[0]
    assert [metric.label for metric in app.metric] == NAMES
    app.text_area(key="text").set_value("a film to forget")
    app.button[0].click().run()
    app.switch_page("explorer/dashboard/pages/neighbors.py").run()
    app.switch_page("explorer/dashboard/pages/playground.py").run()
    assert not app.exception
    assert app.text_area(key="text").value == "a film to forget"
    again = open_page("playground", text="a film to forget")
    assert again.text_area(key="text").value == "a film to forget"
    assert again.dataframe[0].value.equals(app.dataframe[0].value)


def test_a_changed_text_is_answered_beside_the_one_that_was_asked(put):
    put()
    app = open_page("playground", text="a fine film")
    assert "Change a word above" in texts(app.caption)
    app.text_area(key="edited").set_value("a dull film")
    next(button for button in app.button if button.label == "Answer both").click().run()
    assert not app.exception
    assert "of 3 prompts answer otherwise now" in texts(app.markdown)
    assert len(app.get("plotly_chart")) == 3


def test_a_prompt_without_labels_writes_all_the_same(house):
    np.save(house / "bare.npy", np.random.default_rng(0).normal(size=(3, 256)).astype(np.float32))
    app = open_page("playground", text="a fine film")
    assert not app.exception
    assert "What the model writes stands below" in texts(app.info)
    assert "bare: **" in texts(app.markdown)
    assert "no prompt: **" in texts(app.markdown)


def test_the_playground_answers_with_every_prompt_and_without_one(put):
    put()
    app = open_page("playground")
    app.selectbox(key="example").set_value(0).run()
    assert app.text_area(key="text").value
    app.button[0].click().run()
    assert not app.exception
    shown = app.dataframe[0].value
    assert sorted(shown["prompt"]) == sorted([*NAMES, "no prompt"])
    assert np.allclose(shown["p(negative)"] + shown["p(positive)"], 100, atol=0.01)
    app.text_area(key="text").set_value("   ")
    app.button[0].click().run()
    assert not app.exception
    assert "The text is empty" in texts(app.warning)


def test_the_playground_shows_what_the_decoder_makes_of_the_prompts(put):
    put()
    app = open_page("playground")
    assert len(app.dataframe) == 1
    app.session_state["decoder"] = True
    app.run()
    assert not app.exception
    pieces, masses = (frame.value for frame in app.dataframe[1:])
    assert list(pieces["read"][:3]) == ["alone", "in a gap", "before 4 texts"]
    assert set(pieces["prompt"]) == set(NAMES)
    assert "the decoder begins with one of negative, positive with probability " in texts(app.markdown)
    assert masses["own"].between(0, 1).all()
    app.text_area(key="behind").set_value("one text\n\n").run()
    assert app.dataframe[1].value["read"][2] == "before 'one text'"
    app.text_area(key="behind").set_value(" ").run()
    assert "There is no text" in texts(app.warning)


STRANGE = {
    "long": "a very long film " * 117,
    "a thousand lines": "good\n" * 399,
    "right to left": "\u202eסרט נהדר\u202c and فيلم رائع",
    "emoji": "👩\u200d👩\u200d👧 loved it 🎬💯",
    "odd": "a\u0000b\u200b\ufeff\u0301\U0001d54f \x1b[31m",
    "markup": "<img src=x onerror=alert(1)> **bold** $x$ [link](http://x) :red[y]",
}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(text, id=name, marks=() if name in ("odd", "markup") else pytest.mark.slow)
        for name, text in STRANGE.items()
    ],
)
def test_strange_texts_are_answered_and_shown_as_text(put, text):
    put(1)
    app = open_page("playground")
    app.text_area(key="text").set_value(text)
    app.button[0].click().run()
    assert not app.exception
    assert not app.error
    (shown,) = [frame.value for frame in app.dataframe if "prompt" in frame.value]
    assert len(shown) == 2
    probabilities = shown[[column for column in shown if column.startswith("p(")]]
    np.testing.assert_allclose(probabilities.sum(axis=1), 100, atol=0.1)
    assert all("<img" not in element.value for element in [*app.markdown, *app.caption, *app.subheader])
    app.switch_page("explorer/dashboard/pages/words.py").run()
    app.text_input(key="word").set_value(text[:60]).run()
    assert not app.exception
    assert not app.error


def test_the_playground_answers_each_set_of_labels_by_itself(put, house):
    put(2)
    record = house / "sentiment" / "class-label-1" / "explorer.json"
    record.write_text(record.read_text().replace('"positive"', '"good"'))
    app = open_page("playground")
    app.sidebar.multiselect[0].set_value(["sentiment/class-label-0", "sentiment/class-label-1"]).run()
    app.text_area(key="text").set_value("a fine film")
    app.button[0].click().run()
    assert not app.exception
    assert "different labels" in texts(app.warning)
    assert len(app.dataframe) == 2


def test_a_changed_file_is_read_again(put, house):
    put(1)
    assert open_page("prompts").sidebar.multiselect[0].options == ["sentiment/class-label-0"]
    put_again = house / "other.npy"
    np.save(put_again, np.ones((3, 256), np.float32))
    st.cache_data.clear()  # the folder is looked at again after some seconds; here at once
    assert "other" in open_page("prompts").sidebar.multiselect[0].options


@pytest.mark.slow
def test_prompts_of_one_name_in_two_folders_stay_apart(house):
    for folder in ("a", "b"):
        (house.parent / "runs" / folder).mkdir(parents=True)
        np.save(house.parent / "runs" / folder / "same.npy", np.ones((3, 256), np.float32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPLORER_PROMPTS", str(house.parent / "runs"))
        app = open_page("prompts")
    assert not app.exception
    assert app.sidebar.multiselect[0].options == ["a/same.npy", "b/same.npy"]


def test_text_of_a_checkpoint_is_never_markup(put, house):
    put(1)
    record = house / "sentiment" / "class-label-0" / "explorer.json"
    evil = "**bold** <b>x</b> [l](http://e.com) $x$ :red[r]"
    record.write_text(record.read_text().replace('"positive"', f'"{evil}"'))
    app = open_page("labels")
    assert not app.exception
    for said in [*app.caption, *app.markdown, *app.error, *app.warning, *app.subheader]:
        assert "**bold**" not in said.value
        assert "<b>x" not in said.value


@pytest.mark.slow
def test_the_first_pages_import_nothing_heavy(tiny_prompts):
    code = (
        "import sys\nfrom streamlit.testing.v1 import AppTest\nfrom explorer.dashboard import "
        "preload\npreload.HEAD_START = 1e6\n"
        f"app = AppTest.from_file({str(ROOT / 'app.py')!r}, default_timeout=120).run()\n"
        "app.switch_page('explorer/dashboard/pages/neighbors.py').run()\n"
        "assert not app.exception and app.dataframe\n"
        "print(*{name.split('.')[0] for name in sys.modules} & {'torch', 'transformers', 'umap', "
        "'sklearn', 'numba'})\n"
    )
    environment = {"EXPLORER_PROMPTS": str(tiny_prompts), "PATH": "", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=ROOT, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("sentiment/class-label-0", "sentiment/class-label-0"),
        ("*a* _b_ `c`", r"\*a\* \_b\_ \`c\`"),
        ("# no heading", r"\# no heading"),
        ("1. no list", r"1\. no list"),
        ("<b>$x$\n:red[y]", r"\<b\>\$x\$ \:red\[y\]"),
    ],
)
def test_markdown_is_escaped(text, escaped):
    assert safe(text) == escaped


def test_files_and_models_have_short_names():
    assert slug("sentiment/random-0", "neighbors", "l2", "k5") == "sentiment-random-0-neighbors-l2-k5"
    assert model_name("/long/path/mini-t5/") == model_name("mini-t5") == "mini-t5"


@pytest.mark.slow
def test_the_ensemble_page_gives_what_the_command_gives(put, house):
    put()
    app = open_page("ensemble", prompts=",".join(NAMES))
    app.selectbox(key="texts").set_value("products").run()
    assert not app.dataframe, "nothing runs before it is asked for"
    app = run(app)
    given = app.dataframe[0].value
    members = given.loc[given["kind"] == "member", "prompt"].tolist()
    assert set(members) >= set(NAMES)
    assert given["kind"].tolist() == ["member"] * len(members) + ["average", "best", "ensemble", "ensemble"]
    task = read_task(ROOT / "examples" / "products.tsv")
    expected = ensemble(FrozenT5.load(), [read_prompt(house / name) for name in members], task).to_frame()
    np.testing.assert_allclose(given["accuracy"], expected["accuracy"])
    assert app.metric[0].value == f"{expected['accuracy'].iloc[-2]:.1%}"
    app.button(key="time").click().run()
    assert not app.exception
    assert f"ms** in one batch of {len(members)}" in texts(app.markdown)


@pytest.mark.slow
def test_the_shift_page_has_the_source_and_its_targets(put):
    put()
    app = run(open_page("shift"))
    summary = app.dataframe[0].value
    assert summary["target"].unique().tolist() == ["films", "products", "restaurants"]
    assert set(summary["method"]) == {"prompt tuning", "no tuning"}
    app.selectbox(key="source").set_value("products").run()
    app = run(app.pills(key="targets").set_value(["films"]).run())
    assert not app.exception
    summary = app.dataframe[0].value
    assert summary["target"].unique().tolist() == ["products", "films"]
    assert (summary.loc[summary["target"] == "products", "drop"] == 0).all()


@pytest.mark.slow
def test_a_token_in_focus_is_marked_on_every_page_and_part_of_the_address(put):
    put()
    for page in ("neighbors", "clusters", "labels", "map", "training"):
        app = open_page(page, prompt=NAMES[1], token="3")
        assert not app.exception
        assert app.selectbox(key="token").value == "3"
        assert f"**Token 3** of {NAMES[1]}" in texts(app.markdown)
        if page != "training":
            assert "token 3" in app.get("plotly_chart")[0].proto.spec
    app.button(key="out-of-focus").click().run()
    assert app.selectbox(key="token").value == "none"
    assert "**Token 3**" not in texts(app.markdown)


def test_a_token_that_the_prompt_does_not_have_is_no_focus(put):
    put()
    app = open_page("neighbors", prompt=NAMES[0], token="77")
    assert not app.exception
    assert app.selectbox(key="token").value == "none"


def test_a_word_leads_to_the_tokens_near_to_it(put, vocabulary, tiny_prompts):
    put()
    prompt = next(prompt for _, prompt in find_prompts(tiny_prompts) if prompt.name == NAMES[0])
    piece = nearest_neighbors(prompt, vocabulary, 10, "cosine").pieces[0][0]
    app = open_page("words", word=piece.replace("▁", ""))
    assert not app.exception
    pieces, near = (frame.value for frame in app.dataframe[:2])
    assert pieces["near"].iloc[0] == len(near) >= 1
    assert ((near["prompt"] == NAMES[0]) & (near["position"] == 0) & (near["rank"] == 1)).any()
    app = open_page("words", word="zzzzqqqq")
    assert not app.exception
    assert "No piece" in texts(app.info)


def test_a_word_in_the_address_is_looked_up(put):
    put(1)
    app = open_page("words", word="good")
    assert not app.exception
    assert app.text_input(key="word").value == "good"
    assert app.get("plotly_chart")


def test_prompts_stay_the_same_objects_until_a_file_changes(put, house):
    put(2)
    first = cache.collection()
    assert all(one is other for one, other in zip(first, cache.collection(), strict=True))
    assert len({prompt.name for prompt in first}) == 2
    np.save(house / "other.npy", np.ones((3, 256), np.float32))
    st.cache_data.clear()
    assert len(cache.collection()) == 3


def test_a_comparison_holds_up_nobody(vocabulary, tiny_prompts):
    """Somebody reads neighbors, known ones and others, while another visitor's comparison is in the
    middle.
    """
    prompts = [replace(prompt, name=f"{prompt.name}-held") for _, prompt in find_prompts(tiny_prompts)]
    begun, go_on = threading.Event(), threading.Event()

    def slow(message: str) -> None:
        if "(2 of" in message:
            begun.set()
            assert go_on.wait(60)

    loader = LocalLoader()
    comparing = Session(prompts, loader=loader, progress=slow)
    reading = Session(prompts[:1], loader=loader)
    known = reading.neighbors()
    other = threading.Thread(target=comparing.compare)
    other.start()
    try:
        assert begun.wait(60)
        assert reading.neighbors()[0] is known[0]
        assert len(reading.change(k=4).neighbors()[0].pieces[0]) == 4
        assert reading.clusters()[0].prompt == prompts[0].name
    finally:
        go_on.set()
        other.join(60)
    assert not other.is_alive()
    assert len(comparing.compare().to_frame()) == len(prompts)


def test_what_was_read_of_an_uploaded_prompt_does_not_keep_it(vocabulary):
    prompt = SoftPrompt(vocabulary.embedding[vocabulary.searchable_ids[500:503]].copy(), "uploaded/mine")
    gone = weakref.ref(prompt)
    Session([prompt]).neighbors()
    Session([prompt]).compare("prompt")
    del prompt
    gc.collect()
    assert gone() is None


@pytest.mark.slow
def test_one_frozen_model_is_in_memory_and_can_be_unloaded(house, tiny_t5_folder):
    loader, other = cache.loader(), str(tiny_t5_folder)
    first = loader.frozen("mini-t5")
    assert loader.frozen("mini-t5") is loader.in_memory("mini-t5") is first
    assert loader.frozen(other).dimension == 16
    assert loader.in_memory("mini-t5") is None
    loader.unload()
    assert loader.in_memory(other) is None
    assert loader.frozen("mini-t5") is not first


def test_vocabularies_are_read_once_and_failures_remembered(house, monkeypatch):
    sought: list[str] = []

    def load(name: str, embedding: np.ndarray | None = None) -> Vocabulary:
        sought.append(name)
        if name == "nowhere":
            raise ModelError("nowhere: no such folder", "model")
        return real(name, embedding)

    real = Vocabulary.load
    monkeypatch.setattr(Vocabulary, "load", load)
    loader = cache.loader()
    assert loader.vocabulary("mini-t5") is loader.vocabulary("mini-t5")
    for _ in range(2):
        with pytest.raises(ModelError, match="no such folder") as caught:
            loader.vocabulary("nowhere")
        assert caught.value.setting == "model"
    assert sought == ["mini-t5", "nowhere"]
    monkeypatch.setattr(cache, "FAILURE_KEPT", 0)
    with pytest.raises(ModelError):
        loader.vocabulary("nowhere")
    assert sought == ["mini-t5", "nowhere", "nowhere"]


def test_the_playground_unloads_the_model_and_keeps_the_answers(put):
    put(1)
    app = open_page("playground")
    app.text_area(key="text").set_value("a fine film")
    app.button[0].click().run()
    assert "MB on cpu" in texts(app.caption)
    answered = app.dataframe[0].value
    next(button for button in app.button if button.label == "Unload it").click().run()
    assert not app.exception
    assert "is not in memory; the next question loads it" in texts(app.caption)
    assert app.dataframe[0].value.equals(answered)


def test_long_work_says_what_it_does(house):
    """What is told while something is read goes to the page that reads it."""
    heard: list[str] = []

    def make(name: str, last: int) -> int:
        cache.tell(f"reading {name}")
        return last

    with cache.telling(heard.append):
        assert make("outside", 1) == 1
        assert cache.reading("Reading", make, "inside", last=2) == 2
        cache.tell("done")
    cache.tell("nobody hears this")
    assert heard == ["reading outside", "done"]


def test_checkpoints_that_record_no_model_are_read_with_the_bundled_one_and_doubted(house):
    np.save(house / "bare.npy", np.random.default_rng(0).normal(size=(3, 256)).astype(np.float32))
    app = open_page("neighbors")
    assert not app.exception
    assert "bare: records no base model; reading it with the bundled mini-t5" in texts(app.warning)
    assert "start the app with" in texts(app.warning)


def test_the_first_page_says_what_each_prompt_learned(put):
    put()
    app = open_page("prompts")
    assert [metric.label for metric in app.metric] == ["Accuracy on dev"] * 3
    assert [metric.delta for metric in app.metric] == ["+15.0 points over no prompt"] * 3
    said = texts(app.markdown)
    assert said.count("of 6 tokens lie among words that belong together") == 3
    assert said.count("what it learned is not recorded") == 3, "of how many texts their dev set is"


def test_every_page_says_which_prompts_do_no_better_than_none(house, put):
    put(1)
    record = house / "sentiment" / "class-label-0" / "explorer.json"
    record.write_text(record.read_text().replace('"without_prompt": 0.55', '"without_prompt": 0.7'))
    app = open_page("neighbors")
    assert "sentiment/class-label-0: the model does as well on the dev set without a prompt" in texts(
        app.warning
    )


def test_a_prompt_that_fits_no_model_leaves_the_list_of_prompts_on_the_first_page(house):
    np.save(house / "narrow.npy", np.ones((3, 7), np.float32))
    app = open_page("prompts")
    assert not app.exception
    assert "narrow" in texts(app.error)
    assert "1 trained prompt to choose from" in texts(app.subheader)


def test_what_is_chosen_stands_first_in_the_run_table(put):
    put()
    app = open_page("prompts", prompts=NAMES[1])
    table = app.dataframe[0].value
    assert table["name"].iloc[0] == NAMES[1]
    assert {"gain", "dev_accuracy", "task"} <= set(table)
    assert app.sidebar.multiselect[0].value == [NAMES[1]]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"prompts": "sentiment/gone"}, "The address names sentiment/gone: not here"),
        ({"metric": "euclid"}, "asks for the metric euclid; there are cosine, whitened, l2, dot, csls"),
        ({"k": "1000"}, "asks for k = 1000; it goes from 1 to 30"),
        ({"k": "many"}, "asks for k = many"),
        ({"by": "color"}, "asks for the grouping color"),
        ({"token": "last"}, "asks for token last"),
    ],
)
def test_an_address_that_asks_for_what_is_not_here_is_told_so(put, asked, said):
    put()
    app = open_page("words", **asked)
    assert not app.exception
    assert said in texts(app.warning)
    app.button(key="dismiss").click().run()
    assert said not in texts(app.warning)


def test_a_token_of_very_many_digits_is_none(monkeypatch):
    prompt = SoftPrompt(np.ones((3, 4), np.float32), "planted")
    for token, position in (("9" * 5000, None), ("3", None), ("2", 2), ("none", None)):
        monkeypatch.setattr(focus.st, "session_state", {focus.TOKEN: token})
        assert focus.position(prompt) == position


def test_an_address_of_what_is_here_warns_of_nothing(put):
    put()
    app = open_page("prompts", prompts=NAMES[0], metric="csls", k="5", token="2", by="task")
    assert not app.warning


def test_the_training_slider_moves_map_words_and_curve_together(put):
    put()
    app = open_page("training")
    assert not app.exception
    steps = [app.slider(key="at").min, app.slider(key="at").max]
    before = [chart.proto.spec for chart in app.get("plotly_chart")]
    app.slider(key="at").set_value(steps[0]).run()
    assert not app.exception
    assert f"Nearest words at step {steps[0]:,.0f}" in texts(app.subheader)
    after = [chart.proto.spec for chart in app.get("plotly_chart")]
    assert all(now != then for now, then in zip(after, before, strict=True))
    seen = [
        [json.loads(spec[0])["layout"][axis]["range"] for axis in ("xaxis", "yaxis")]
        for spec in (before, after)
    ]
    assert seen[0] == seen[1], "the map stands still while its tokens move"
    words = app.dataframe[0].value
    assert {"then", "similarity"} <= set(words)


@pytest.mark.parametrize(
    "tab", ["Map", *(pytest.param(t, marks=pytest.mark.slow) for t in TABS if t not in ("Verdict", "Map"))]
)
def test_every_tab_of_compare_opens_by_its_address(put, tab):
    put()
    app = open_page("compare", tab=tab)
    assert not app.exception
    assert not app.error
    assert app.session_state["tab"] == tab
    assert app.get("plotly_chart") or app.dataframe


def test_the_shared_model_and_its_vocabulary_have_one_table(tiny_t5_folder, monkeypatch):
    """As `LocalLoader.frozen`: a large table is in memory once, whichever was read first."""
    monkeypatch.delenv("EXPLORER_READ_ONLY", raising=False)
    for first in ("vocabulary", "frozen"):
        loader = cache.SharedLoader("cpu", "float32")
        getattr(loader, first)(str(tiny_t5_folder))
        tables = [getattr(loader, what)(str(tiny_t5_folder)).embedding for what in ("vocabulary", "frozen")]
        assert np.shares_memory(*tables)
