"""The session: what it resolves once, what it doubts, what it refuses; each reading is the plain function's;
the public API around it.
"""

import html
import inspect
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import planted
import pytest
from conftest import LABELS

import explorer
from explorer.analysis.clusters import clusters
from explorer.analysis.compare.groups import compare
from explorer.analysis.compare.matching import matched_positions, pairs
from explorer.analysis.decomposition import decompose
from explorer.analysis.hubness import hubness
from explorer.analysis.labels import read_labels
from explorer.analysis.map.fit import VocabularyMap
from explorer.analysis.map.place import place, place_labels
from explorer.analysis.neighbors import centered_neighbors, nearest_neighbors
from explorer.analysis.norms import read_norms
from explorer.analysis.redundancy import redundancy
from explorer.analysis.search import search
from explorer.analysis.trajectory import neighbor_changes
from explorer.context import LocalLoader
from explorer.errors import DataError, ExplorerError, ModelError, PromptError
from explorer.evaluation.attribution import attribute
from explorer.evaluation.decoder_reading import read_decoder
from explorer.evaluation.domain_shift import answer
from explorer.evaluation.ensemble import ensemble
from explorer.evaluation.faithfulness import faithfulness
from explorer.evaluation.scoring import NO_PROMPT, evaluate, predict
from explorer.formats import find_prompts
from explorer.prompt import Origin, SoftPrompt, Trajectory
from explorer.results import Readings
from explorer.session import Session
from explorer.texts.tasks import Task

EVIL = "<script>alert(1)</script>"
TEXTS = ("a warm and funny film", "dull , slow and far too long")
TASK = Task((*TEXTS, "a charming story"), ("positive", "negative", "positive"), LABELS, "films")


class Counting(LocalLoader):
    """A loader that says what it was asked to load."""

    def __init__(self):
        super().__init__("cpu", "float32")
        self.loaded = []

    def vocabulary(self, model):
        if model not in self._vocabularies:
            self.loaded.append(model)
        return super().vocabulary(model)


class Here(LocalLoader):
    """A loader whose bundled model and vocabulary are there already."""

    def __init__(self, vocabulary, model):
        super().__init__("cpu", "float32")
        self._vocabularies["mini-t5"], self._models["mini-t5"] = vocabulary, model


@pytest.fixture(scope="module")
def prompts(tiny_prompts):
    return [prompt for _, prompt in find_prompts(tiny_prompts)][:3]


@pytest.fixture(scope="module")
def session(prompts, vocabulary, model):
    return Session(prompts, settings=explorer.Settings(k=4, nulls=50), loader=Here(vocabulary, model))


@pytest.fixture(scope="module")
def tiny(tiny_t5_folder):
    """Two short prompts of the tiny model."""
    generator, origin = np.random.default_rng(0), Origin(labels=LABELS, base_model=str(tiny_t5_folder))
    moved = [Trajectory(generator.standard_normal((2, 3, 16)), np.array([0, 10])) for _ in range(2)]
    prompts = [
        SoftPrompt(one.vectors[-1], name, origin, one)
        for name, one in zip(("one", "two"), moved, strict=True)
    ]
    return Session(prompts, settings=explorer.Settings(k=4, nulls=50), loader=LocalLoader("cpu", "float32"))


@pytest.fixture
def bare(vocabulary):
    """Vectors of the bundled model's width that record nothing."""
    return SoftPrompt(vocabulary.embedding[vocabulary.searchable_ids[:3]], "bare")


# What is resolved once


def test_a_vocabulary_is_loaded_once_for_all_prompts_and_readings(tiny_prompts):
    loader = Counting()
    found = explorer.open(*(path for path, _ in find_prompts(tiny_prompts)), loader=loader, k=3, nulls=20)
    assert loader.loaded == []
    first = found.vocabulary
    (
        found.neighbors(),
        found.norms(),
        found.only(found.prompts[1].name).neighbors(),
        found.change(k=5).neighbors(),
    )
    assert loader.loaded == ["mini-t5"]
    assert {found.vocabulary_of(prompt) for prompt in found.prompts} == {first}
    assert found.only(found.prompts[0].name).vocabulary is found.change(k=5).vocabulary is first


def test_a_reading_is_made_once_and_anew_with_other_settings(session):
    again = session.change()
    assert (
        session.neighbors()[0] is again.neighbors()[0] is session.only(session.prompts[0].name).neighbors()[0]
    )
    assert session.change(k=5).neighbors()[0].token_ids.shape[1] == 5
    assert session.neighbors()[0].token_ids.shape[1] == 4


def test_only_and_change_keep_the_rest(session):
    name = session.prompts[1].name
    one = session.only(name).change(seed=3)
    assert [prompt.name for prompt in one.prompts] == [name]
    assert (one.settings.k, one.settings.nulls, one.settings.seed, one.loader) == (4, 50, 3, session.loader)
    with pytest.raises(PromptError, match="gone is not in this session; found sentiment/class-label-0, "):
        session.only("gone")


def test_a_prompt_without_a_base_model_is_read_with_the_bundled_one_and_doubted(bare):
    (note,) = explorer.open(bare).notes
    assert (note.prompt, note.kind, note.setting) == ("bare", "base model", "model")
    assert note.text == (
        "records no base model; reading it with the bundled mini-t5, which has the same width, "
        f"{bare.dimension}"
    )
    assert explorer.open(bare, model="mini-t5").notes == ()


def test_a_base_model_that_is_missing_is_doubted_with_the_reason(bare):
    (note,) = explorer.open(replace(bare, origin=Origin(base_model="gone/for/good"))).notes
    assert note.kind == "base model"
    assert note.text.startswith("its base model was not found (gone/for/good: no such folder")
    assert "\n" not in str(note)


def test_other_embeddings_than_it_was_trained_on_are_doubted(prompts):
    other = replace(prompts[0], origin=replace(prompts[0].origin, base_fingerprint="0" * 16))
    assert [note.kind for note in explorer.open(other).notes] == ["other embeddings"]
    assert explorer.open(prompts[0]).notes == ()


def test_warnings_of_a_checkpoint_are_notes(bare):
    found = explorer.open(
        replace(bare, origin=Origin(warnings=("half of it was dropped",), base_model="mini-t5"))
    )
    assert [(note.kind, str(note)) for note in found.notes] == [
        ("checkpoint", "bare: half of it was dropped")
    ]


def test_vectors_of_another_width_are_refused():
    narrow = SoftPrompt(np.ones((2, 5), np.float32), "narrow")
    with pytest.raises(
        ModelError,
        match=(
            "narrow: vectors of width 5, records no base model, and the bundled mini-t5 has embeddings "
            "of width"
        ),
    ):
        explorer.open(narrow).neighbors()
    with pytest.raises(
        PromptError, match="narrow: vectors of width 5, but mini-t5 has embeddings of width"
    ) as caught:
        explorer.open(narrow, model="mini-t5").notes  # noqa: B018
    assert caught.value.setting == "model"


def test_prompts_of_two_models_are_read_by_themselves_and_refused_together(prompts, tiny_t5_folder):
    other = SoftPrompt(np.ones((2, 16), np.float32), "other", Origin(base_model=str(tiny_t5_folder)))
    found = explorer.open(prompts[0], other, k=3, nulls=20)
    assert [one.token_ids.shape for one in found.neighbors()] == [(6, 3), (2, 3)]
    with pytest.raises(
        PromptError,
        match=(
            r"sentiment/class-label-0 belongs to mini-t5, other to .*tiny-t5; expected prompts of one "
            r"model"
        ),
    ):
        found.compare()


def test_prompts_that_cannot_be_told_apart_are_refused(prompts):
    with pytest.raises(
        PromptError, match="sentiment/class-label-0 is given twice; expected different prompts"
    ):
        explorer.open(prompts[0], prompts[0])
    with pytest.raises(PromptError, match="found no prompts; expected at least one"):
        explorer.open()
    with pytest.raises(PromptError, match="found a list of 3; expected them one by one"):
        explorer.open(prompts)
    with pytest.raises(PromptError, match="found 'sentiment'; expected a list of prompts"):
        Session("sentiment")
    with pytest.raises(
        PromptError, match="found a str among them; expected prompts, as read_prompt returns them"
    ):
        Session(["sentiment/class-label-0"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"k": 0}, "found k = 0; expected a whole number, 1 or more"),
        ({"k": "ten"}, "found k = 'ten'; expected a whole number, 1 or more"),
        ({"k": 2.5}, "found k = 2.5; expected a whole number"),
        ({"nulls": -1}, "found nulls = -1; expected a whole number, 0 or more"),
        ({"seed": None}, "found seed = None; expected a whole number, 0 or more"),
        ({"metric": "euclid"}, "found the metric 'euclid'; expected one of cosine, "),
        (
            {"labels": "good,bad"},
            r"labels: found the text 'good,bad'; expected a list, such as \['good', 'bad'\]",
        ),
        ({"labels": ["good", "good"]}, "labels: found 'good, good'; expected different names"),
        ({"labels": ["good", 3]}, "labels: found a int; expected a list of texts"),
    ],
)
def test_settings_out_of_range_are_refused(session, given, message):
    with pytest.raises(ExplorerError, match=message):
        session.change(**given)


def test_labels_are_those_asked_for_or_those_of_one_task(session, bare, prompts):
    assert session.class_labels == session.all_labels == LABELS
    assert session.change(labels=["bad", "good"]).class_labels == ("bad", "good")
    with pytest.raises(DataError, match="found the label good; expected at least two"):
        session.change(labels=["good"]).class_labels  # noqa: B018
    with pytest.raises(
        DataError, match="bare records no class labels; name them, such as negative and positive"
    ):
        explorer.open(bare).class_labels  # noqa: B018
    other = replace(prompts[1], origin=replace(prompts[1].origin, labels=("food", "place")))
    with pytest.raises(
        DataError, match=r"has the labels negative, positive, .* has food, place; expected one task"
    ) as caught:
        explorer.open(prompts[0], other).class_labels  # noqa: B018
    assert caught.value.setting == "labels"
    assert explorer.open(prompts[0], other).all_labels == ("negative", "positive", "food", "place")


# Each reading equals the plain function


def same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(found, expected)


def test_readings_of_the_vectors_are_those_of_the_functions(tiny):
    session, vocabulary = tiny, tiny.vocabulary
    joined = lambda results: pd.concat([one.to_frame() for one in results], ignore_index=True)  # noqa: E731
    same(
        session.neighbors().to_frame(),
        joined(nearest_neighbors(prompt, vocabulary, 4, nulls=50) for prompt in session.prompts),
    )
    same(
        session.change(metric="l2").neighbors().to_frame(),
        joined(nearest_neighbors(prompt, vocabulary, 4, "l2") for prompt in session.prompts),
    )
    same(
        session.centered_neighbors().to_frame(),
        joined(centered_neighbors(prompt, vocabulary, 4) for prompt in session.prompts),
    )
    same(
        session.clusters().to_frame(),
        joined(clusters(prompt, vocabulary, 4, 50) for prompt in session.prompts),
    )
    same(
        session.decompose(3).to_frame(),
        joined(decompose(prompt, vocabulary, 3, 50) for prompt in session.prompts),
    )
    same(
        session.redundancy().to_frame(),
        joined(redundancy(prompt, vocabulary, 4) for prompt in session.prompts),
    )
    same(
        session.labels().to_frame(),
        joined(read_labels(prompt, vocabulary, None, 50) for prompt in session.prompts),
    )
    same(
        session.labels(["good", "bad"]).to_frame(),
        joined(read_labels(prompt, vocabulary, ["good", "bad"], 50) for prompt in session.prompts),
    )
    same(session.norms().to_frame(), joined(read_norms(prompt, vocabulary) for prompt in session.prompts))
    same(
        session.changes().to_frame(),
        pd.concat(
            [neighbor_changes(prompt, vocabulary).to_frame() for prompt in session.prompts], ignore_index=True
        ),
    )
    same(session.compare().to_frame(), compare(session.prompts, vocabulary, k=4, nulls=50).to_frame())
    same(session.pairs(), pairs(session.prompts, vocabulary))


def test_the_map_has_prompts_labels_paths_and_beginnings(session, vocabulary):
    plain, whole = session.map(), session.map(paths=True, before_training=True)
    assert [placed.kind for placed in plain.placements] == ["prompt"] * 3 + ["label"]
    assert [placed.kind for placed in whole.placements] == ["prompt"] * 3 + ["initial"] * 3 + ["label"]
    same(plain.placements[3].to_frame(), place_labels(LABELS, vocabulary, plain.map).to_frame())
    assert plain.paths == {}
    assert set(whole.paths) == {prompt.name for prompt in session.prompts}
    assert len(plain.to_frame()) == 3 * 6 + 2
    assert plain.map is whole.map is session.vocabulary_map()


def test_readings_that_run_the_model_are_those_of_the_functions(tiny):
    session, asked, vocabulary, model = tiny, list(tiny.prompts), tiny.vocabulary, tiny.model
    assert session.predict(TEXTS) is session.change().predict(TEXTS)
    same(session.predict(TEXTS).to_frame(), predict(model, asked, TEXTS, LABELS).to_frame())
    same(
        session.predict(TEXTS[0], no_prompt=True, generate=False).to_frame(),
        predict(model, [*asked, None], TEXTS[:1], LABELS, False).to_frame(),
    )
    same(session.evaluate(TASK).to_frame(), evaluate(model, asked, TASK).to_frame())
    same(session.ensemble(TASK).to_frame(), ensemble(model, asked, TASK).to_frame())
    found = session.shift([TASK, replace(TASK, name="others")], no_prompt=True)
    assert found.domains == ("films", "others")
    expected = answer(model, [*asked, None], [TASK, replace(TASK, name="others")])
    assert (
        [one.name for one in found.answered]
        == [one.name for one in expected]
        == [*(prompt.name for prompt in asked), NO_PROMPT]
    )
    assert [one.macro_f1 for one in found.answered] == [one.macro_f1 for one in expected]
    one = session.only(asked[0].name)
    same(
        one.faithfulness(TASK, draws=1, points=2).to_frame(),
        faithfulness(model, vocabulary, asked[0], TASK, 1, 2).to_frame(),
    )
    pieces, mass = read_decoder(model, vocabulary, asked, TEXTS, k=session.settings.k)
    same(session.decode(TEXTS).to_frame(), pieces.to_frame())
    same(session.label_mass(TEXTS).to_frame(), mass.to_frame())
    same(
        one.attribution(TEXTS[0], orders=2).to_frame(),
        attribute(model, vocabulary, asked[0], TEXTS[:1], LABELS, orders=2).to_frame(),
    )


def test_answers_outside_the_labels_are_refused(session):
    with pytest.raises(DataError, match="films: found the label 'negative'; the task has bad, good"):
        session.change(labels=["bad", "good"]).evaluate(TASK)


# Results


def test_readings_are_found_by_place_name_and_slice(session):
    found, names = session.norms(), [prompt.name for prompt in session.prompts]
    assert len(found) == 3
    assert found[0] is found[np.int64(0)] is found[names[0]] is next(iter(found))
    assert found[-1] is found[names[2]]
    assert [one.prompt for one in found[1:]] == names[1:]
    assert isinstance(found[:2], Readings)
    assert len(found[3:].to_frame()) == 0
    assert len(found.to_frame()) == sum(prompt.length for prompt in session.prompts)
    with pytest.raises(KeyError, match="gone; found sentiment/class-label-0, "):
        found["gone"]
    with pytest.raises(IndexError):
        found[3]


def shown(session, tiny, vocabulary) -> dict[str, object]:
    """Every public object and every result."""
    prompt, drawn = session.prompts[0], session.map(paths=True)
    one = tiny.only("one")
    return {
        "session": session,
        "settings": session.settings,
        "prompt": prompt,
        "origin": prompt.origin,
        "trajectory": prompt.trajectory,
        "row": prompt.origin.rows[0],
        "evaluation": prompt.origin.history[0],
        "note": explorer.open(SoftPrompt(prompt.vectors)).notes[0],
        "vocabulary": vocabulary,
        "model": tiny.model,
        "task": TASK,
        "run": explorer.Run("random", 0),
        "config": explorer.TuningConfig(),
        "neighbors": session.neighbors()[0],
        "readings": session.neighbors(),
        "clusters": session.clusters()[0],
        "redundancy": tiny.redundancy()[0],
        "labels": session.labels()[0],
        "persistence": session.labels()[0].persistence[0],
        "norms": session.norms()[0],
        "hubness": hubness(vocabulary),
        "map": drawn,
        "vocabulary map": drawn.map,
        "placement": drawn.placements[0],
        "places": place(prompt, vocabulary, drawn.map),
        "compare": tiny.compare(),
        "compared prompt": tiny.compare().rows[0],
        "predict": tiny.predict(TEXTS),
        "evaluate": tiny.evaluate(TASK),
        "ensemble": tiny.ensemble(TASK),
        "shift": tiny.shift([TASK, replace(TASK, name="others")]),
        "answered": tiny.shift([TASK, replace(TASK, name="others")]).answered[0],
        "faithfulness": one.faithfulness(TASK, draws=1, points=2)[0],
        "attribution": one.attribution(TEXTS[0], orders=2)[0],
    }


def test_a_repr_is_a_few_lines_and_results_have_tables(session, tiny, vocabulary):
    tables = (
        "neighbors",
        "readings",
        "clusters",
        "redundancy",
        "labels",
        "norms",
        "map",
        "placement",
        "compare",
    )
    tables += ("predict", "evaluate", "ensemble", "shift", "faithfulness", "attribution")
    for name, thing in shown(session, tiny, vocabulary).items():
        text = repr(thing)
        assert len(text.splitlines()) <= 4, name
        assert len(text) < 400, f"{name}: {text}"
        if name in tables:
            assert len(thing.to_frame()) > 0, name
            assert thing._repr_html_().count("<tr") <= 12, f"{name}: the first rows are enough for a notebook"


def test_names_and_texts_are_escaped_in_a_notebook(vocabulary, model):
    rows = vocabulary.embedding[vocabulary.searchable_ids[:4]]
    prompts = [
        SoftPrompt(rows[:2], EVIL, Origin(task=EVIL, base_model="mini-t5", labels=LABELS)),
        SoftPrompt(rows[2:], "tame", Origin(labels=LABELS)),
    ]
    found = Session(prompts, settings=explorer.Settings(k=2, nulls=10), loader=Here(vocabulary, model))
    for view in (
        found,
        found.neighbors(),
        found.neighbors()[0],
        found.norms(),
        found.labels(),
        found.compare(),
        found.map(),
        found.predict([EVIL]),
    ):
        shown_html = view._repr_html_()
        assert html.escape(EVIL) in shown_html
        assert "<script" not in shown_html


def test_a_long_table_says_how_much_of_it_is_shown(session):
    text = session.neighbors()._repr_html_()
    assert "72 rows × 12 columns, the first 10 are shown" in text


# The public API


def test_the_public_api_has_about_fifteen_names_and_each_is_there():
    assert 12 <= len(explorer.__all__) <= 18
    for name in explorer.__all__:
        thing = getattr(explorer, name)
        assert thing.__doc__, name
        assert name in dir(explorer)
    with pytest.raises(AttributeError, match="module 'explorer' has no attribute 'gone'"):
        explorer.gone  # noqa: B018


def test_open_takes_a_path_a_name_or_a_prompt(tiny_prompts, bare):
    path = tiny_prompts / "sentiment" / "random-0"
    assert [
        prompt.name
        for prompt in explorer.open(path, str(tiny_prompts / "sentiment" / "random-1"), bare).prompts
    ] == [
        "sentiment/random-0",
        "sentiment/random-1",
        "bare",
    ]
    assert explorer.open("sentiment/class-label-0").prompts[0].origin.task == "sentiment"
    with pytest.raises(PromptError, match="no/such/prompt: no such file, folder or bundled prompt"):
        explorer.open("no/such/prompt")
    with pytest.raises(ExplorerError, match="neighbours"):
        explorer.open(bare, neighbours=3)


def test_vectors_alone_make_a_prompt_that_is_saved_and_read_again(tmp_path):
    prompt = explorer.SoftPrompt(np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32))
    assert prompt.save(tmp_path / "mine") == tmp_path / "mine"
    again = explorer.read_prompt(tmp_path / "mine")
    np.testing.assert_array_equal(again.vectors, prompt.vectors)
    assert (again.name, again.length, again.origin.base_model, again.origin.warnings) == ("mine", 3, None, ())
    with pytest.raises(explorer.ExplorerError, match="exists already"):
        prompt.save(tmp_path / "mine")
    prompt.save(tmp_path / "mine", overwrite=True)


def test_a_prompt_may_stand_where_its_vectors_may(prompts, vocabulary, model):
    prompt, other = prompts[:2]
    assert np.asarray(prompt) is prompt.vectors
    assert np.array(prompt, np.float64).dtype == np.float64
    for one, two in zip(search(prompt, vocabulary, 3), search(prompt.vectors, vocabulary, 3), strict=True):
        np.testing.assert_array_equal(one, two)
    drawn = VocabularyMap(
        vocabulary.searchable_ids,
        vocabulary.embedding[vocabulary.searchable_ids, :2],
        vocabulary.fingerprint,
        15,
        0.1,
        0,
    )
    np.testing.assert_array_equal(
        place(prompt, vocabulary, drawn).xy, place(prompt.vectors, vocabulary, drawn).xy
    )
    np.testing.assert_array_equal(
        matched_positions(prompt, other)[2], matched_positions(prompt.vectors, other.vectors)[2]
    )
    vocabulary.check_width(prompt, "x")
    given = (model.label_probabilities([one, None], TEXTS, LABELS) for one in (prompt, prompt.vectors))
    np.testing.assert_array_equal(*given)
    assert model.generate([prompt], TEXTS[:1], 3) == model.generate([prompt.vectors], TEXTS[:1], 3)


def test_one_row_where_a_table_is_meant_is_refused(vocabulary):
    with pytest.raises(PromptError, match=r"queries: found an array of shape \(256,\); expected \[P, H\]"):
        search(vocabulary.embedding[3], vocabulary, 2)


def test_a_text_where_a_list_is_meant_is_refused(prompts, vocabulary, model):
    drawn = VocabularyMap(
        vocabulary.searchable_ids,
        vocabulary.embedding[vocabulary.searchable_ids, :2],
        vocabulary.fingerprint,
        15,
        0.1,
        0,
    )
    found = explorer.open(prompts[0], nulls=10)
    for call in (
        lambda: read_labels(prompts[0], vocabulary, "good"),
        lambda: read_labels(prompts[0], vocabulary, None, other_labels="good"),
        lambda: found.labels("good"),
        lambda: found.labels(others="good"),
        lambda: place_labels("good", vocabulary, drawn),
        lambda: model.label_probabilities([prompts[0]], TEXTS, "good"),
        lambda: model.label_probabilities([prompts[0]], "a warm film", LABELS),
        lambda: Task("good", ("a",), ("a", "b"), "x"),
        lambda: Task(("good",), "a", ("a", "b"), "x"),
        lambda: Task(("good",), ("a",), "ab", "x"),
    ):
        with pytest.raises(DataError, match=r"found the text '.*'; expected a list, such as") as caught:
            call()
        assert "\n" not in str(caught.value)
    for call in (
        lambda: compare("sentiment", vocabulary),
        lambda: compare(prompts[0], vocabulary),
        lambda: pairs("ab", vocabulary),
    ):
        with pytest.raises(PromptError, match="expected a list of prompts"):
            call()


def test_tuning_refuses_a_text_where_a_list_is_meant(model, vocabulary):
    with pytest.raises(ExplorerError, match="expected a list"):
        explorer.tune(model, vocabulary, TASK, TASK, "random", explorer.TuningConfig(steps=1), "films")


def test_settings_of_a_session_are_what_the_commands_take():
    assert {field.name for field in fields(explorer.Settings)} >= {
        "k",
        "metric",
        "nulls",
        "seed",
        "labels",
        "include_special",
        "merge_variants",
    }


def test_planted_prompts_are_read_without_files():
    """A vocabulary of one's own, in memory: through a loader."""
    own = planted.vocabulary()

    class Own(LocalLoader):
        def vocabulary(self, model):
            return own

    found = Session([planted.prompt(own.embedding[:3])], "planted", explorer.Settings(k=2, nulls=10), Own())
    assert found.neighbors()[0].token_ids[:, 0].tolist() == [0, 1, 2]
    with pytest.raises(ModelError, match="planted was not read from a folder and has no tokenizer"):
        found.labels(["good", "bad"])


def test_a_setting_that_does_not_exist_and_texts_that_are_no_task_are_told():
    session = explorer.open("sentiment/class-label-0")
    for call in (lambda: explorer.open("sentiment/class-label-0", kk=3), lambda: session.change(kk=3)):
        with pytest.raises(ExplorerError, match="found the setting 'kk'; expected one of k, metric, nulls"):
            call()
    with pytest.raises(DataError, match="found a str where labelled texts are meant; expected a Task"):
        session.evaluate("examples/films.tsv")


def test_saving_over_a_prompt_leaves_other_files_and_refuses_other_folders(tmp_path, vocabulary):
    prompt = SoftPrompt(vocabulary.embedding[10:13])
    folder, other = prompt.save(tmp_path / "mine"), tmp_path / "others"
    (folder / "notes.txt").write_text("mine")
    prompt.save(folder, overwrite=True)
    assert (folder / "notes.txt").read_text() == "mine"
    np.testing.assert_array_equal(explorer.read_prompt(folder).vectors, prompt.vectors)
    other.mkdir()
    (other / "k").write_text("a stranger's")
    with pytest.raises(ExplorerError, match="holds files that are not a prompt; choose another folder"):
        prompt.save(other, overwrite=True)
    assert (other / "k").read_text() == "a stranger's"


def test_an_error_says_what_to_type_in_python(bare):
    """As for README's adapter, which PEFT wrote without labels."""
    found = explorer.open(bare, model="mini-t5", nulls=10)
    for call in (lambda: found.predict("a good film"), found.labels, found.only("bare").label_mass):
        with pytest.raises(DataError, match="records no class labels") as caught:
            call()
        assert str(caught.value).endswith('explorer.open(..., labels=["negative", "positive"])')
    with pytest.raises(DataError, match=r"such as negative and positive$"):
        Session([bare], "mini-t5").predict("a good film")


def test_what_open_takes_is_in_its_signature():
    taken = inspect.signature(explorer.open).parameters
    assert [field.name for field in fields(explorer.Settings) if field.name not in taken] == []
    for field in fields(explorer.Settings):
        assert taken[field.name].default == field.default


def test_a_notebook_view_begins_with_the_conclusion(session, tiny):
    for view in (session.neighbors(), session.neighbors()[0], tiny.evaluate(TASK), session.map()):
        assert view._repr_html_().startswith(f"<p><b>{html.escape(view.conclusion.splitlines()[0])}</b></p>")
