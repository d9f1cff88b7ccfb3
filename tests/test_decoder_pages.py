"""The pages with prompts of a decoder-only model: its template, what it reads, what it takes tokens for."""

import numpy as np
import pytest
import streamlit as st

from explorer.prompt import Evaluation, Origin, RowSource, SoftPrompt, Trajectory
from explorer.vocabulary import Vocabulary
from tests.browsing import PAGES
from tests.decoders import decoder_folder
from tests.planted import plant_map
from tests.test_dashboard import open_page, run, texts

LABELS = ("negative", "positive")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return decoder_folder(
        tmp_path_factory.mktemp("decoder") / "tiny-llama", "llama", max_position_embeddings=512
    )


@pytest.fixture
def prompts(model, tmp_path, monkeypatch, components_sought_once):
    """Two prompts of the model in a folder of their own, a map that needs no fitting."""
    vocabulary, folder = Vocabulary.load(model), tmp_path / "prompts"
    monkeypatch.setenv("EXPLORER_PROMPTS", str(folder))
    monkeypatch.delenv("EXPLORER_MODEL", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    plant_map(vocabulary)
    st.cache_data.clear()
    st.cache_resource.clear()
    generator, names = np.random.default_rng(0), ("class-label-0", "random-0")
    for name in names:
        start = np.stack([vocabulary.text_vector(word) for word in (*LABELS, "good")])
        moved = start + 0.1 * generator.normal(size=start.shape).astype(np.float32)
        origin = Origin(
            base_model=str(model),
            base_fingerprint=vocabulary.fingerprint,
            task_type="CAUSAL_LM",
            task="sentiment",
            labels=LABELS,
            initialization=name[:-2],
            seed=0,
            step=5,
            rows=(*(RowSource(label=label) for label in LABELS), RowSource(piece="Ġgood")),
            template="{text}\nSentiment:",
            history=(Evaluation(0, None, 0.5), Evaluation(5, 0.6, 0.7)),
            without_prompt=0.5,
        )
        SoftPrompt(
            moved, f"sentiment/{name}", origin, Trajectory(np.stack([start, moved]), np.array([0, 5]))
        ).save(folder / "sentiment" / name)
    return folder


@pytest.mark.parametrize("page", PAGES)
def test_every_page_shows_prompts_of_a_decoder(prompts, page):
    app = asked() if page == "playground" else run(open_page(page))
    assert not app.exception
    assert not app.error
    assert app.get("plotly_chart")


def asked():
    """The Playground, asked about a text."""
    app = open_page("playground")
    app.text_area(key="text").set_value("a good film")
    return app.button[0].click().run()


def test_the_playground_shows_what_is_read_and_takes_another_template(prompts):
    app = asked()
    assert not app.exception
    assert app.text_input(key="template").value == r"{text}\nSentiment:"
    assert "Sentiment:” (recorded with the prompt)" in texts(app.caption)
    before = app.dataframe[0].value
    app.session_state["fed"] = True
    app.run()
    assert "⏎" in texts(app.markdown)
    changed = app.text_input(key="template").set_value("{text} is").run()
    assert not changed.exception
    assert not changed.dataframe[0].value.equals(before)
    assert "“{text} is” (given)" in texts(changed.caption)
    refused = changed.text_input(key="template").set_value("no place").run()
    assert "found no {text} in 'no place'" in texts(refused.error)
    assert not refused.dataframe  # no answers of the template before


def test_the_playground_says_what_tokens_are_taken_for(prompts):
    app = asked()
    app.session_state["decoder"] = True
    app.run()
    assert not app.exception
    assert "of real words in their place it repeats" in texts(app.markdown)
    taken = next(table.value for table in app.dataframe if "taken for" in table.value)
    assert len(taken) == 6
    mass = next(table.value for table in app.dataframe if "bare" in table.value)
    assert mass["bare"].between(0, 1).all(), "a probability, as the sentence above says it"
