"""Figures draw what the results hold, show text from checkpoints as text, and stay small."""

import base64
import io
import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from PIL import Image

from explorer import figures
from explorer.analysis.clusters import clusters
from explorer.analysis.compare.groups import compare
from explorer.analysis.labels import read_labels
from explorer.analysis.map.fit import VocabularyMap
from explorer.analysis.map.place import place_labels, place_prompt, place_trajectory
from explorer.analysis.neighbors import nearest_neighbors
from explorer.analysis.norms import read_norms
from explorer.analysis.nulls import SIGNIFICANT_AT
from explorer.analysis.redundancy import redundancy
from explorer.choices import INITIALIZATIONS
from explorer.evaluation.attribution import attribute
from explorer.evaluation.faithfulness import faithfulness
from explorer.evaluation.scoring import Predictions
from explorer.figures.map import FAINTEST, SMALLEST
from explorer.figures.map_names import Name, write_names
from explorer.figures.style import COLORS, SYMBOLS, looks, without_common_folder
from explorer.formats import find_prompts
from explorer.prompt import Origin, SoftPrompt
from explorer.texts.tasks import Task
from explorer.words.pieces import readable

EVIL = "<b>evil</b> & <a href='x'>link</a>"
HARMLESS = "&lt;b&gt;evil&lt;/b&gt; &amp; &lt;a href='x'&gt;link&lt;/a&gt;"


@pytest.fixture(scope="module")
def prompts(tiny_prompts):
    return [prompt for _, prompt in find_prompts(tiny_prompts)]


@pytest.fixture(scope="module")
def planted_map(vocabulary):
    ids = vocabulary.searchable_ids
    xy = np.random.default_rng(0).normal(size=(len(ids), 2)).astype(np.float32)
    return VocabularyMap(ids, xy, vocabulary.fingerprint, 15, 0.1, 0)


def test_accuracy_curve_shows_every_measurement_and_marks_the_kept_step(prompts):
    figure = figures.accuracy_curve(prompts)
    assert len(figure.data) == len(prompts)
    for prompt, trace in zip(prompts, figure.data, strict=True):
        assert list(trace.y) == [e.dev_accuracy for e in prompt.origin.history]
        assert trace.x[int(np.argmax(trace.marker.size))] == prompt.origin.step


def test_the_loss_is_drawn_where_no_accuracy_was_recorded(prompts):
    """Runs of transformers' Trainer: an empty chart of accuracies told nothing."""
    from explorer.prompt import Evaluation

    losses = (Evaluation(0, None, None), Evaluation(10, 2.5, None), Evaluation(20, 1.25, None))
    run = replace(prompts[0], origin=replace(prompts[0].origin, history=losses))
    figure = figures.accuracy_curve([run])
    assert (figure.data[0].x, figure.data[0].y) == ((10, 20), (2.5, 1.25))
    assert figure.layout.yaxis.title.text == "Training loss"
    assert figure.layout.yaxis.tickformat is None
    assert not figure.layout.shapes, "a line of chance is one of accuracies"


def test_accuracy_curve_leaves_out_prompts_without_a_history(prompts):
    bare = SoftPrompt(prompts[0].vectors, "bare", Origin(format="npy"))
    assert len(figures.accuracy_curve([bare, prompts[0]]).data) == 1
    assert not figures.accuracy_curve([bare]).data


def test_norm_figure_has_the_ratios_and_the_initial_lengths(prompts, vocabulary):
    norms = read_norms(prompts[0], vocabulary)
    before, after = figures.norm_figure([norms]).data
    assert np.allclose(after.y, norms.ratio)
    assert np.allclose(np.array(before.y) / np.array(after.y), norms.initial_norm / norms.norm)


def test_norms_of_a_zero_token_raise_no_warning(vocabulary, prompts):
    vectors = prompts[0].vectors.copy()
    vectors[0] = 0
    figures.norm_figure([read_norms(replace(prompts[0], vectors=vectors), vocabulary)]).to_json()
    figures.norm_figure([read_norms(replace(prompts[0], vectors=0 * vectors), vocabulary)]).to_json()


def test_norm_boxes_hold_every_token_of_a_group(prompts, vocabulary):
    groups = {prompt.name: prompt.origin.initialization for prompt in prompts}
    figure = figures.norm_boxes([read_norms(prompt, vocabulary) for prompt in prompts], groups)
    assert {trace.name for trace in figure.data} == set(INITIALIZATIONS)
    assert sum(len(trace.y) for trace in figure.data) == sum(prompt.length for prompt in prompts)


def test_similarity_figure_goes_from_the_first_neighbor_to_the_last(prompts, vocabulary):
    found = nearest_neighbors(prompts[0], vocabulary, k=4)
    lines, marks = figures.similarity_figure(found).data
    assert np.allclose(marks.y, found.similarity[:, 0])
    assert np.allclose(np.array(lines.y)[1::3], found.similarity[:, -1])


def test_clusters_figure_tells_significant_tokens_by_symbol_and_color(prompts, vocabulary):
    result = clusters(prompts[0], vocabulary, k=5, nulls=50)
    result = replace(result, q=np.where(np.arange(len(result.q)) < 2, 0.01, 0.5))
    found, others, band = figures.clusters_figure(result).data
    assert list(found.x) == list(np.flatnonzero(result.q <= SIGNIFICANT_AT))
    assert list(others.x) == list(np.flatnonzero(result.q > SIGNIFICANT_AT))
    assert (found.marker.symbol, found.marker.color) != (others.marker.symbol, others.marker.color)
    assert "random vectors" in band.name


def test_redundancy_heatmap_leaves_the_diagonal_out(prompts, vocabulary):
    result = redundancy(prompts[0], vocabulary, k=5, nulls=2)
    drawn = np.array(figures.redundancy_heatmap(result).data[0].z)
    assert np.isnan(np.diag(drawn)).all()
    off = ~np.eye(len(drawn), dtype=bool)
    assert np.allclose(drawn[off], result.jaccard[off])


def test_label_heatmap_has_similarity_ranks_and_a_frame_for_each_label_token(prompts, vocabulary):
    prompt = next(prompt for prompt in prompts if prompt.origin.initialization == "class-label")
    reading = read_labels(prompt, vocabulary, nulls=20)
    figure = figures.label_heatmap(reading)
    assert np.allclose(figure.data[0].z, reading.similarity.T)
    written = [text for row in figure.data[0].text for text in row if text]
    assert written == [str(rank) for rank in reading.rank.T.ravel() if rank <= 100]
    assert [(shape.x0 + 0.5, shape.y0 + 0.5) for shape in figure.layout.shapes] == [(0, 0), (1, 1)]
    kept = figures.persistence_figure(reading)
    assert [trace.y[-1] for trace in kept.data] == [one.rank for one in reading.persistence]


def test_probability_bars_cut_each_prompt_into_its_labels():
    predictions = Predictions(
        ("a", "no prompt"),
        ("text",),
        ("no", "yes"),
        np.array([[[0.25, 0.75]], [[0.5, 0.5]]], np.float32),
        None,
    )
    bars = figures.probability_bars(predictions).data
    assert np.allclose(sum(np.array(bar.x) for bar in bars), 1)
    assert len({bar.marker.pattern.shape for bar in bars}) == len(bars)


def test_comparison_figure_shows_every_prompt_and_the_means(prompts, vocabulary):
    comparison = compare(prompts, vocabulary, k=5, nulls=20)
    for measure in figures.MEASURE_TITLES:
        *points, means = figures.comparison_figure(comparison, measure).data
        drawn = np.concatenate([trace.x for trace in points])
        assert np.isfinite(drawn).sum() == comparison.to_frame()[measure].notna().sum(), measure
        expected = comparison.summary().query("measure == @measure")["mean"]
        assert np.allclose(np.array(means.x, float), expected, equal_nan=True), measure


def test_comparison_figure_says_when_nothing_is_recorded(prompts, vocabulary):
    bare = [SoftPrompt(prompt.vectors, prompt.name, Origin(format="npy")) for prompt in prompts[:2]]
    figure = figures.comparison_figure(compare(bare, vocabulary, by="prompt", k=5, nulls=20), "dev_accuracy")
    assert "not recorded" in figure.layout.annotations[0].text


def _whole_map(prompts, vocabulary, planted_map, **more) -> go.Figure:
    placements = [place_prompt(prompt, vocabulary, planted_map) for prompt in prompts]
    placements += [
        replace(placements[0], kind="initial"),
        place_labels(("negative", "positive"), vocabulary, planted_map),
    ]
    return figures.map_figure(
        planted_map,
        vocabulary,
        placements,
        trajectories={prompts[0].name: place_trajectory(prompts[0], vocabulary, planted_map)},
        neighbors=[nearest_neighbors(prompt, vocabulary) for prompt in prompts],
        **more,
    )


def test_map_is_webgl_small_and_names_points_by_id(prompts, vocabulary, planted_map):
    figure = _whole_map(prompts, vocabulary, planted_map)
    assert all(trace.type == "scattergl" for trace in figure.data)
    assert len(figure.to_json()) < 1_000_000
    cloud = figure.data[0]
    assert cloud.text is None
    assert np.array_equal(cloud.customdata, planted_map.token_ids)
    marked = [
        tuple(point[:3])
        for trace in figure.data
        if trace.customdata is not None
        for point in trace.customdata
        if np.ndim(point)
    ]
    assert ("prompt", prompts[0].name, 0) in marked
    assert ("label", "", 1) in marked


def test_a_sketched_map_needs_no_webgl_and_shows_the_same(prompts, vocabulary, planted_map):
    whole = _whole_map(prompts, vocabulary, planted_map, told=True)
    sketch = figures.sketched(_whole_map(prompts, vocabulary, planted_map, told=True), (800, 400))
    (picture,), (key, *marks) = sketch.layout.images, sketch.data
    assert {mark.type for mark in sketch.data} == {"scatter"}
    assert (sketch.layout.xaxis, sketch.layout.yaxis, sketch.layout.annotations) == (
        whole.layout.xaxis,
        whole.layout.yaxis,
        whole.layout.annotations,
    )
    assert [mark.name for mark in (key, *marks)] == [mark.name for mark in whole.data]
    for drawn, mark in zip(marks, whole.data[1:], strict=True):
        np.testing.assert_array_equal(drawn.x, mark.x)
        assert drawn.hovertemplate == mark.hovertemplate
    (left, right), (low, high) = whole.layout.xaxis.range, whole.layout.yaxis.range
    np.testing.assert_allclose(
        (picture.x, picture.y, picture.sizex, picture.sizey), (left, high, right - left, high - low)
    )
    alpha = np.asarray(
        Image.open(io.BytesIO(base64.b64decode(picture.source.removeprefix("data:image/png;base64,"))))
    )[..., 3]
    words = np.zeros((400, 800), int)
    for x, y in planted_map.xy.astype(float):
        if left <= x <= right and low <= y <= high:
            words[399 - int((y - low) / (high - low) * 400), int((x - left) / (right - left) * 800)] += 1
    np.testing.assert_allclose(alpha[::2, ::2], np.floor(255 * np.minimum(1 - 0.65**words, 0.9)), atol=1)
    assert alpha.shape == (800, 1600)
    assert len(sketch.to_json()) < len(whole.to_json())


def test_map_names_every_piece_on_demand_and_stays_below_a_megabyte(prompts, vocabulary, planted_map):
    figure = _whole_map(prompts, vocabulary, planted_map, name_vocabulary=True)
    assert len(figure.data[0].text) == len(planted_map.token_ids)
    assert len(figure.to_json()) < 1_000_000


def test_the_less_a_place_is_trusted_the_fainter_its_token(prompts, vocabulary, planted_map):
    placement = replace(
        place_prompt(prompts[0], vocabulary, planted_map),
        trust=np.linspace(0, 1, prompts[0].length, dtype=np.float32),
    )
    figure = figures.map_figure(planted_map, vocabulary, [placement])
    (trace,) = [trace for trace in figure.data if trace.name == placement.prompt and not trace.showlegend]
    opacity = np.asarray(trace.marker.opacity)
    assert (np.diff(opacity) >= 0).all()
    assert (opacity[0], opacity[-1]) == (FAINTEST, 1)


def test_map_colors_by_group(prompts, vocabulary, planted_map):
    groups = {prompt.name: prompt.origin.initialization for prompt in prompts}
    figure = _whole_map(prompts, vocabulary, planted_map, groups=groups)
    assert {trace.name for trace in figure.data if trace.showlegend} >= set(INITIALIZATIONS)


def test_text_from_checkpoints_is_shown_letter_by_letter(prompts, vocabulary, planted_map):
    prompt = replace(prompts[0], name=EVIL)
    norms, found = read_norms(prompt, vocabulary), nearest_neighbors(prompt, vocabulary, k=3)
    placed = place_prompt(prompt, vocabulary, planted_map)
    drawn = [
        figures.accuracy_curve([prompt]),
        figures.norm_figure([norms]),
        figures.norm_boxes([norms], {EVIL: EVIL}),
        figures.redundancy_heatmap(redundancy(prompt, vocabulary, k=3, nulls=2)),
        figures.comparison_figure(
            compare([prompt, prompts[1]], vocabulary, by="prompt", k=3, nulls=10), "coherence"
        ),
        figures.map_figure(planted_map, vocabulary, [placed], neighbors=[found]),
        figures.probability_bars(
            Predictions((EVIL,), ("t",), (EVIL, "x"), np.full((1, 1, 2), 0.5, np.float32), None)
        ),
    ]
    for figure in drawn:
        shown = [text for text in _shown(json.loads(figure.to_json())) if "evil" in text]
        assert shown
        assert all(HARMLESS in text or "&lt;b&gt;" in text for text in shown)
        assert not any("<b>" in text for text in shown)


def _shown(value, key: str = "") -> list[str]:
    """Every text of a figure that Plotly draws: not what identifies points and groups."""
    if isinstance(value, dict):
        return [
            text
            for name, item in value.items()
            if name not in ("customdata", "legendgroup", "bdata")
            for text in _shown(item, name)
        ]
    if isinstance(value, list):
        return [text for item in value for text in _shown(item, key)]
    return [value] if isinstance(value, str) else []


def test_initializations_look_the_same_in_every_figure():
    alone = {name: looks([name])[name] for name in INITIALIZATIONS}
    assert looks(INITIALIZATIONS) == alone
    assert looks(["another", *INITIALIZATIONS])["random"] == alone["random"]
    assert len(set(looks(["another", *INITIALIZATIONS]).values())) == 4


def test_looks_differ_in_symbol_where_colors_repeat():
    many = looks(f"prompt {number}" for number in range(len(COLORS) * len(SYMBOLS)))
    assert len({(look.color, look.symbol) for look in many.values()}) == len(COLORS) * len(SYMBOLS)


@pytest.mark.parametrize(
    ("piece", "text"),
    [("▁great", "great"), ("ing", "·ing"), ("▁", "␣"), ("<extra_id_0>", "<extra_id_0>"), ("Ġgood", "good")],
)
def test_pieces_read_like_words(piece, text):
    assert readable(piece) == text


def test_tokens_grow_with_their_weight(planted_map, vocabulary, prompts):
    placement = place_prompt(prompts[0], vocabulary, planted_map)
    weight = np.linspace(0, 4, prompts[0].length)

    def sizes(weights):
        figure = figures.map_figure(planted_map, vocabulary, [placement], weights=weights)
        (trace,) = [trace for trace in figure.data if trace.name == placement.prompt and not trace.showlegend]
        return trace.marker.size

    area = (np.asarray(sizes({placement.prompt: weight})) - SMALLEST) ** 2
    np.testing.assert_allclose(area / area.max(), weight / weight.max(), atol=1e-6)
    assert sizes(None) == sizes({placement.prompt: 0 * weight}) == 11


@pytest.fixture(scope="module")
def stand_ins(model, vocabulary, prompts):
    task = Task(
        ("fine", "dull", "warm and funny"),
        ("positive", "negative", "positive"),
        ("negative", "positive"),
        "films",
    )
    return faithfulness(model, vocabulary, prompts[0], task, draws=2, points=3)


def test_the_stand_ins_are_drawn_with_their_accuracy_and_interval(stand_ins):
    frame = (
        stand_ins.to_frame()
        .assign(title=lambda frame: frame["reading"].map(figures.reading_title))
        .set_index("title")
    )
    traces = figures.faithfulness_figure(stand_ins).data
    drawn = {
        title: (x, plus)
        for trace in traces
        for title, x, plus in zip(trace.y, trace.x, trace.error_x.array, strict=True)
    }
    assert set(drawn) == set(frame.index)
    for title, (x, plus) in drawn.items():
        assert (x, x + plus) == pytest.approx((frame.loc[title, "accuracy"], frame.loc[title, "high"]))
    accuracy, agreement = figures.interpolation_figure(stand_ins).data
    assert list(accuracy.y) == stand_ins.curve_frame()["accuracy"].tolist()
    assert list(agreement.y) == stand_ins.curve_frame()["agreement"].tolist()


def test_attribution_is_drawn_token_by_token_with_signs(model, vocabulary, prompts):
    result = attribute(model, vocabulary, prompts[0], ["a warm film"], ("negative", "positive"), orders=3)
    for measure in ("leave_one_out", "gate", "integrated_gradients"):
        (bars,) = figures.attribution_figure(result, [EVIL] * prompts[0].length, measure).data
        np.testing.assert_allclose(bars.y, getattr(result, measure))
        assert [shape == "/" for shape in bars.marker.pattern.shape] == (
            getattr(result, measure) < 0
        ).tolist()
        assert all("<b>" not in name for name in bars.x)
    away, added = figures.deletion_figure(result).data
    assert (list(away.y), list(added.y)) == (result.deletion.tolist(), result.insertion.tolist())


def test_likeness_is_drawn_without_its_diagonal_and_leaves_its_input_alone():
    square = np.array([[1.0, 0.3], [0.3, 1.0]])
    figure = figures.likeness_heatmap(square, [EVIL, "two"])
    (heat,) = figure.data
    np.testing.assert_allclose(heat.z, [[np.nan, 0.3], [0.3, np.nan]], atol=1e-6)
    assert heat.text[0][0] == heat.customdata[0][0] == HARMLESS
    assert not any("<" in label for label in figure.layout.xaxis.ticktext)
    assert square[0, 0] == 1


def test_each_name_stands_at_its_cells_whatever_the_order_and_though_names_are_equal():
    names = ["b/one", "a/two", "b/three", "a/" + "x" * 50 + "1", "a/" + "x" * 50 + "2"]
    figure = figures.likeness_heatmap(np.arange(25.0).reshape(5, 5) / 25, names)
    (heat,) = figure.data
    assert heat.x is None, "a name as a coordinate lets Plotly order and merge the cells"
    assert heat.y is None
    for axis in (figure.layout.xaxis, figure.layout.yaxis):
        assert list(axis.tickvals) == [0, 1, 2, 3, 4]
        assert [text[:5] for text in axis.ticktext] == [name[:5] for name in names]
    assert heat.z[0][1] == pytest.approx(1 / 25)
    assert (heat.text[0][1], heat.customdata[0][1]) == ("b/one", "a/two")
    assert tuple(figure.layout.yaxis.range) == (4.5, -0.5)


def test_names_lose_the_folder_that_all_have():
    assert without_common_folder(["task/one-0", "task/two-0"]) == ["one-0", "two-0"]
    assert without_common_folder(["task/one-0", "other/one-0"]) == ["task/one-0", "other/one-0"]
    assert without_common_folder(["one", "two"]) == ["one", "two"]


def test_names_on_the_map_are_not_written_over_more_important_ones():
    """A name is moved aside first (tests/test_map_groups.py); where it has no other place it is left out,
    unless it is that of a label.
    """
    named = (("landmark", 0.5), ("group", 0.505), ("landmark", 0.1), ("label", 0.5), ("label", 0.501))
    figure = go.Figure()
    write_names(
        figure,
        [Name(kind, f"{kind} {x}", ((x, 0.5, 0.0, 0.0),)) for kind, x in named],
        np.zeros(2),
        np.ones(2),
        np.zeros((0, 2)),
    )
    written = [re.sub("<[^>]*>", "", note.text) for note in figure.layout.annotations]
    assert written == ["label 0.5", "label 0.501", "landmark 0.1"], "labels are always written"


def test_size_figure_has_a_panel_for_each_task_and_a_line_for_each_method():
    runs = [("nano", 1, "nano-t5"), ("mini", 9, "mini-t5")]
    rows = [
        (name, size * 10**6, task, method, size / 20 + shift)
        for _, size, name in runs
        for task in "ab"
        for method, shift in (("x", 0.1), ("y", 0.3))
    ]
    measured = pd.DataFrame(
        [*rows, ("mini-t5", 9 * 10**6, "a", "x", 0.75)],
        columns=["model", "parameters", "task", "method", "test"],
    )
    figure = figures.size_figure(measured)
    lines = [trace for trace in figure.data if trace.mode == "lines+markers"]
    assert [(trace.name, trace.showlegend) for trace in lines] == [
        ("x", True),
        ("y", True),
        ("x", False),
        ("y", False),
    ]
    assert list(lines[0].x) == [10**6, 9 * 10**6]
    assert list(lines[0].y) == pytest.approx([0.15, 0.65])
    assert [annotation.text for annotation in figure.layout.annotations] == ["a", "b"]
    assert list(figure.layout.xaxis2.ticktext) == ["nano", "mini"]
