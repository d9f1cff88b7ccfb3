"""Comparisons: each column is that of the single reading, intervals are honest about one prompt, groups by
what is recorded.
"""

from dataclasses import replace

import numpy as np
import planted
import pytest
from scipy import stats

from explorer.analysis.clusters import clusters as read_clusters
from explorer.analysis.compare.groups import MEASURES, ComparedPrompt, Comparison, compare, t_interval
from explorer.analysis.labels import read_labels
from explorer.analysis.norms import read_norms
from explorer.errors import ExplorerError, PromptError
from explorer.formats import find_prompts
from explorer.prompt import RowSource

COLUMNS = [
    *(
        "prompt",
        "group",
        "task",
        "seed",
        "length",
        "dev_accuracy",
        "coherence",
        "significant_share",
        "label_persistence",
    ),
    *("own_label_rank", "dispersion", "norm_ratio", "drift_cosine"),
]


@pytest.fixture(scope="module")
def prompts(tiny_prompts):
    return [prompt for _, prompt in find_prompts(tiny_prompts)]


@pytest.fixture(scope="module")
def compared(prompts, vocabulary) -> Comparison:
    return compare(prompts, vocabulary, nulls=100)


def test_every_measure_is_that_of_the_single_reading(prompts, vocabulary, compared):
    frame = compared.to_frame()
    assert list(frame.columns) == COLUMNS
    for prompt, (_, row) in zip(prompts, frame.iterrows(), strict=True):
        clusters, norms = read_clusters(prompt, vocabulary, nulls=100), read_norms(prompt, vocabulary)
        labels = read_labels(prompt, vocabulary, nulls=100)
        assert (row["prompt"], row["group"], row["seed"], row["length"]) == (
            prompt.name,
            prompt.origin.initialization,
            prompt.origin.seed,
            6,
        )
        assert row["dev_accuracy"] == prompt.origin.dev_accuracy
        assert row["coherence"] == clusters.coherence.mean()
        assert row["significant_share"] == (clusters.q <= 0.05).mean()
        assert row["dispersion"] == labels.dispersion
        assert row["norm_ratio"] == np.median(norms.ratio)
        assert row["drift_cosine"] == norms.drift_cosine.mean()


def test_only_class_label_prompts_have_label_persistence(compared):
    frame = compared.to_frame().set_index("group")
    assert (
        frame.loc[["random", "sampled-vocab"], ["label_persistence", "own_label_rank"]].isna().all(axis=None)
    )
    assert (frame.loc["class-label", "label_persistence"] == 1).all()  # these prompts hardly moved
    assert (frame.loc["class-label", "own_label_rank"] == 1).all()


def test_a_label_that_another_overtook_does_not_persist(vocabulary):
    negative, positive = vocabulary.text_vector("negative"), vocabulary.text_vector("positive")
    rows = (RowSource(label="negative"), RowSource(label="positive"), RowSource())
    prompt = planted.prompt(
        np.stack([positive, positive, positive]), labels=("negative", "positive"), rows=rows
    )
    (row,) = compare([prompt], vocabulary, nulls=20).rows
    assert row.label_persistence == 0.5
    assert row.own_label_rank > 1
    near = vocabulary.embedding[vocabulary.searchable_ids[1234]]
    far = replace(prompt, vectors=np.stack([negative + 3 * near, positive, positive]))
    assert compare([far], vocabulary, nulls=20).rows[0].label_persistence in (0.5, 1.0)


def test_the_summary_has_means_over_the_prompts_of_a_group(compared):
    summary = compared.summary()
    assert list(summary.columns) == ["group", "measure", "n", "mean", "low", "high"]
    assert len(summary) == 3 * len(MEASURES)
    frame = compared.to_frame()
    for _, row in summary.iterrows():
        values = frame.loc[frame["group"] == row["group"], row["measure"]].dropna()
        assert row["n"] == len(values)
        if len(values):
            np.testing.assert_allclose(row["mean"], values.mean())
            assert row["low"] <= row["mean"] + 1e-12
            assert row["high"] >= row["mean"] - 1e-12
        else:
            assert np.isnan([row["mean"], row["low"], row["high"]]).all()


def test_one_prompt_gives_no_interval(prompts, vocabulary):
    summary = compare(prompts[:1], vocabulary, nulls=20).summary()
    assert (summary.loc[summary["measure"] == "coherence", "n"] == 1).all()
    assert summary[["low", "high"]].isna().all(axis=None)


def interval(values: np.ndarray, seed: int) -> tuple[float, float]:
    """Low and high of one group's mean dev accuracy, of prompts that record nothing else."""
    unknown = dict.fromkeys(MEASURES, float("nan"))
    rows = tuple(
        ComparedPrompt(f"p{n}", "group", "", n, 3, **unknown | {"dev_accuracy": float(value)})
        for n, value in enumerate(values)
    )
    row = Comparison(rows, "task", seed).summary().set_index("measure").loc["dev_accuracy"]
    return row["low"], row["high"]


@pytest.mark.slow
@pytest.mark.parametrize("prompts", [3, 5, 40])
def test_the_interval_covers_the_mean_as_often_as_it_says(prompts):
    generator = np.random.default_rng(0)
    hits = [
        low <= 0 <= high
        for low, high in (interval(generator.standard_normal(prompts), seed) for seed in range(250))
    ]
    assert 0.92 <= np.mean(hits) <= 0.98


@pytest.mark.parametrize("prompts", [3, 5])
def test_t_intervals_of_few_prompts_cover_what_they_say(prompts):
    """A percentile bootstrap covers 0.75 and 0.84 here."""
    values = 0.7 + 0.03 * np.random.default_rng(prompts).standard_normal((3000, prompts))
    covered = np.mean([low <= 0.7 <= high for low, high in map(t_interval, values)])
    assert 0.93 <= covered <= 0.97


def test_the_interval_is_that_of_scipy_and_moves_with_scale():
    values = np.random.default_rng(1).uniform(size=15)
    expected = stats.t.interval(0.95, len(values) - 1, loc=values.mean(), scale=stats.sem(values))
    np.testing.assert_allclose(interval(values, 3), expected)
    np.testing.assert_allclose(interval(0.5 * values + 0.1, 3), 0.5 * np.array(interval(values, 3)) + 0.1)


def test_groups_are_what_the_prompts_record(prompts, vocabulary):
    chosen = [
        prompts[0],
        replace(
            prompts[1],
            origin=replace(prompts[1].origin, initialization=None, labels=None, task="films"),
            trajectory=None,
        ),
    ]
    groups = {
        by: [row.group for row in compare(chosen, vocabulary, by=by, nulls=20).rows]
        for by in ("initialization", "task", "length", "prompt")
    }
    assert groups == {
        "initialization": [prompts[0].origin.initialization, "unknown"],
        "task": ["sentiment", "films"],
        "length": ["6", "6"],
        "prompt": [prompts[0].name, prompts[1].name],
    }
    bare = compare(chosen, vocabulary, nulls=20).rows[1]
    assert np.isnan([bare.dispersion, bare.drift_cosine, bare.label_persistence]).all()


def test_progress_names_every_prompt(prompts, vocabulary):
    said = []
    compare(prompts[:2], vocabulary, nulls=20, progress=said.append)
    assert said == [f"reading {prompts[0].name} (1 of 2)", f"reading {prompts[1].name} (2 of 2)"]


def test_a_seed_that_is_not_recorded_stays_unknown():
    row = ComparedPrompt("a", "b", "", None, 3, *[float("nan")] * len(MEASURES))
    assert Comparison((row, replace(row, seed=2)), "prompt", 0).to_frame()["seed"].isna().tolist() == [
        True,
        False,
    ]


def test_what_bad_calls_say(prompts, vocabulary):
    with pytest.raises(
        ExplorerError,
        match="found the grouping 'model'; expected one of initialization, task, length, prompt",
    ):
        compare(prompts, vocabulary, by="model")
    with pytest.raises(ExplorerError, match="no prompts to compare"):
        compare([], vocabulary)
    with pytest.raises(PromptError, match="vectors of width 3"):
        compare([prompts[0], planted.prompt(np.ones((2, 3)))], vocabulary, nulls=20)
