"""Laws of exact neighbors: brute force, invariances, ties, clipping, and what a bad call says."""

import gc
import subprocess
import sys
import weakref

import numpy as np
import planted
import pytest

from explorer.analysis.hubness import row_crowding
from explorer.analysis.neighbors import COMPARABLE, centered_neighbors, nearest_neighbors
from explorer.analysis.nulls import gaussian_vectors
from explorer.analysis.search import search
from explorer.analysis.vectors import whitening
from explorer.choices import METRICS
from explorer.errors import ExplorerError, PromptError
from explorer.vocabulary import Vocabulary


def brute_force(queries: np.ndarray, vocabulary: Vocabulary, metric: str) -> np.ndarray:
    """Scores [Q, V'] of every searchable row in double precision, higher is closer."""
    x, y = queries.astype(np.float64), vocabulary.embedding[vocabulary.searchable_ids].astype(np.float64)
    if metric == "dot":
        return x @ y.T
    if metric == "l2":
        return -np.stack([np.sqrt(((y - row) ** 2).sum(axis=1)) for row in x])
    if metric == "whitened":
        matrix = whitening(vocabulary).matrix.astype(np.float64)
        x, y = x @ matrix, y @ matrix
    cosine = x @ y.T / np.linalg.norm(x, axis=1)[:, None] / np.linalg.norm(y, axis=1)
    if metric in ("cosine", "whitened"):
        return cosine
    r_v = np.sort(cosine, axis=1)[:, -10:].mean(axis=1)
    return 2 * cosine - r_v[:, None] - row_crowding(vocabulary)[vocabulary.searchable_ids]


@pytest.mark.parametrize("metric", METRICS)
def test_neighbors_are_those_of_brute_force(vocabulary, metric):
    generator = np.random.default_rng(1)
    near = vocabulary.embedding[generator.choice(vocabulary.searchable_ids, 12)]
    queries = np.concatenate(
        [near + generator.normal(0, 0.5, near.shape), generator.normal(0, 3, near.shape)]
    ).astype(np.float32)
    ids, scores = search(queries, vocabulary, 10, metric)
    truth = brute_force(queries, vocabulary, metric)
    order = np.argsort(-truth, axis=1, kind="stable")[:, :10]
    if metric == "whitened":  # its rows are whitened in single precision: near ties may change places
        assert (ids == vocabulary.searchable_ids[order]).mean() > 0.97
    else:
        np.testing.assert_array_equal(ids, vocabulary.searchable_ids[order])
    expected = np.take_along_axis(truth, order, 1) * (-1 if metric == "l2" else 1)
    np.testing.assert_allclose(scores, expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("metric", ["cosine", "whitened", "l2", "csls"])
def test_a_vocabulary_row_is_its_own_first_neighbor(vocabulary, metric):
    ids = np.random.default_rng(2).choice(vocabulary.searchable_ids, 300, replace=False)
    found, scores = search(vocabulary.embedding[ids], vocabulary, 1, metric)
    share = (found[:, 0] == ids).mean()
    assert share == 1 or (
        metric == "csls" and share > 0.99
    )  # a hub's own crowding may push it below another row
    if metric == "l2":
        assert (scores == 0).all()
    if metric == "cosine":
        np.testing.assert_array_equal(scores, 1)


def test_scaling_a_prompt_changes_l2_and_dot_but_not_cosine():
    vocabulary = planted.vocabulary()
    vectors = np.random.default_rng(3).standard_normal((6, 16)).astype(np.float32)
    for metric in ("cosine", "whitened", "csls"):
        one, two = search(vectors, vocabulary, 5, metric), search(8 * vectors, vocabulary, 5, metric)
        np.testing.assert_array_equal(one[0], two[0])
        np.testing.assert_allclose(one[1], two[1], atol=1e-6)
    one, two = search(vectors, vocabulary, 5, "dot"), search(8 * vectors, vocabulary, 5, "dot")
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_allclose(8 * one[1], two[1], rtol=1e-6)
    one, two = search(vectors, vocabulary, 5, "l2"), search(8 * vectors, vocabulary, 5, "l2")
    assert (two[1] > one[1]).all()
    assert (one[0] != two[0]).any()


@pytest.mark.parametrize("metric", METRICS)
def test_permuting_the_vocabulary_permutes_the_ids(metric):
    vocabulary = planted.vocabulary(special=0)
    order = np.random.default_rng(4).permutation(len(vocabulary))
    shuffled = planted.from_rows(vocabulary.embedding[order])
    vectors = np.random.default_rng(5).standard_normal((8, 16)).astype(np.float32)
    ids, scores = search(vectors, vocabulary, 7, metric)
    moved, same = search(vectors, shuffled, 7, metric)
    np.testing.assert_array_equal(ids, order[moved])
    np.testing.assert_allclose(scores, same, atol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_ties_go_to_the_lower_id_however_many_there_are(metric):
    embedding = np.random.default_rng(6).standard_normal((500, 24)).astype(np.float32)
    copies = np.sort(np.random.default_rng(7).choice(500, 120, replace=False))
    embedding[copies] = embedding[copies[0]]
    ids, scores = search(embedding[copies[:1]] * 1.7 + 0.01, planted.from_rows(embedding), 30, metric)
    np.testing.assert_array_equal(ids[0], copies[:30])
    assert len(set(scores[0])) == 1


def test_scaled_copies_tie_in_cosine():
    embedding = np.random.default_rng(8).standard_normal((60, 24)).astype(np.float32)
    for number, scale in enumerate((3.3, 0.17, 1.9, 41.0)):
        embedding[10 * number + 9] = embedding[3] * np.float32(scale)
    ids, _ = search(embedding[3:4] + 0.05, planted.from_rows(embedding), 5)
    np.testing.assert_array_equal(ids[0], [3, 9, 19, 29, 39])


def test_the_frame_holds_every_rank_of_every_token():
    vocabulary = planted.vocabulary()
    result = nearest_neighbors(planted.prompt(vocabulary.embedding[[7, 3]]), vocabulary, k=4, metric="l2")
    frame = result.to_frame()
    assert list(frame.columns)[:8] == [
        "prompt",
        "position",
        "rank",
        "token_id",
        "piece",
        "token",
        "similarity",
        "metric",
    ]
    assert list(frame.columns)[8:] == ["percentile", "p", "q", "hub"]
    assert frame["position"].tolist() == [0] * 4 + [1] * 4
    assert frame["rank"].tolist() == [1, 2, 3, 4] * 2
    assert frame.loc[0, ["token_id", "piece", "token", "similarity", "metric"]].tolist() == [
        7,
        "▁word7",
        " word7",
        0.0,
        "l2",
    ]
    assert (
        frame.groupby("position")["similarity"].diff().dropna() >= 0
    ).all()  # distances: smaller is closer


@pytest.mark.parametrize("metric", METRICS)
def test_margin_is_the_step_to_the_next_rank(metric):
    vocabulary = planted.vocabulary()
    prompt = planted.prompt(np.random.default_rng(9).standard_normal((5, 16)))
    longer = nearest_neighbors(prompt, vocabulary, 4, metric)
    margin = nearest_neighbors(prompt, vocabulary, 3, metric).margin
    np.testing.assert_allclose(margin, abs(longer.similarity[:, 2] - longer.similarity[:, 3]))
    assert (margin >= 0).all()


def test_k_beyond_the_vocabulary_gives_all_of_it():
    vocabulary = planted.vocabulary(rows=12, special=2)
    result = nearest_neighbors(planted.prompt(np.ones((1, 16))), vocabulary, k=50)
    assert sorted(result.token_ids[0]) == list(range(10))
    assert np.isnan(result.margin).all()
    assert sorted(
        nearest_neighbors(planted.prompt(np.ones((1, 16))), vocabulary, k=50, include_special=True).token_ids[
            0
        ]
    ) == list(range(12))


def test_special_rows_are_found_only_when_asked_for():
    vocabulary = planted.vocabulary(special=5)
    special = vocabulary.embedding[-3:]
    plain, _ = search(special, vocabulary, 10, "cosine")
    assert vocabulary.searchable[plain].all()
    found, _ = search(special, vocabulary, 1, "cosine", include_special=True)
    np.testing.assert_array_equal(found[:, 0], np.arange(397, 400))


def test_merging_variants_leaves_one_piece_of_each_word():
    generator = np.random.default_rng(10)
    embedding = generator.standard_normal((40, 8)) * 0.01
    embedding[:8] += np.eye(8)[0]
    pieces = (
        "▁good",
        "▁Good",
        "good",
        "GOOD",
        "▁fine",
        "Fine",
        "▁great",
        "▁nice",
        *(f"▁filler{n}" for n in range(32)),
    )
    vocabulary = planted.from_rows(embedding, pieces)
    result = nearest_neighbors(planted.prompt(np.eye(8)[:1]), vocabulary, k=4, merge_variants=True)
    assert {piece.strip("▁").casefold() for piece in result.pieces[0]} == {"good", "fine", "great", "nice"}
    every = nearest_neighbors(planted.prompt(np.eye(8)[:1]), vocabulary, k=40).pieces[0]
    first = [
        piece
        for n, piece in enumerate(every)
        if piece.strip("▁").casefold() not in {p.strip("▁").casefold() for p in every[:n]}
    ]
    assert result.pieces[0] == tuple(first[:4])
    assert nearest_neighbors(planted.prompt(np.eye(8)[:1]), vocabulary, k=99, merge_variants=True).pieces[
        0
    ] == tuple(first)


def test_a_zero_vector_is_as_near_to_everything():
    ids, scores = search(np.zeros((1, 16), np.float32), planted.vocabulary(), 3)
    assert ids.tolist() == [[0, 1, 2]]
    assert scores.tolist() == [[0, 0, 0]]


def test_huge_vectors_are_read_by_cosine_and_refused_by_l2():
    vocabulary = planted.vocabulary()
    ids, _ = search(vocabulary.embedding[:4] * np.float32(1e30), vocabulary, 1)
    assert ids[:, 0].tolist() == [0, 1, 2, 3]
    with pytest.raises(PromptError, match="too large for the metric l2 in single precision; use cosine"):
        search(vocabulary.embedding[:4] * np.float32(1e30), vocabulary, 1, "l2")


def test_what_bad_calls_say():
    vocabulary, prompt = planted.vocabulary(), planted.prompt(np.ones((2, 16)))
    with pytest.raises(
        PromptError,
        match=(
            r"planted/prompt: vectors of width 8, but planted has embeddings of width 16; give the "
            r"prompt's own base model"
        ),
    ):
        nearest_neighbors(planted.prompt(np.ones((2, 8))), vocabulary)
    with pytest.raises(ExplorerError, match="found k = 0; expected 1 or more"):
        nearest_neighbors(prompt, vocabulary, k=0)
    with pytest.raises(
        ExplorerError, match="found the metric 'euclid'; expected one of cosine, whitened, l2, dot, csls"
    ):
        nearest_neighbors(prompt, vocabulary, metric="euclid")
    with pytest.raises(PromptError, match="1 of 2 vectors to search for hold NaN"):
        search(np.array([[1.0] * 16, [np.nan] * 16]), vocabulary, 3)


def test_what_is_derived_from_a_vocabulary_is_kept_once_and_forgotten_with_it(monkeypatch):
    vocabulary = planted.vocabulary()
    search(np.ones((1, 16)), vocabulary, 3, "csls")
    with monkeypatch.context() as patch:
        patch.setattr("explorer.analysis.search.filled", None)  # a second search builds nothing
        search(np.ones((1, 16)), vocabulary, 3, "csls")
    gone = weakref.ref(vocabulary)
    del vocabulary
    gc.collect()
    assert gone() is None


def test_neighbors_import_nothing_heavy():
    heavy = "torch umap sklearn scipy transformers streamlit plotly numba"
    program = (
        f"import sys, explorer.analysis.neighbors; print([m for m in '{heavy}'.split() if m in sys.modules])"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )


@pytest.mark.parametrize("metric", COMPARABLE)
def test_similarity_is_significant_no_more_often_than_chance_for_vectors_of_the_null(metric):
    """Calibration over 1,000 fresh positions: p at most 0.05 for 5 % of them, at every rank."""
    vocabulary, _ = planted.clustered()
    fresh = int(np.random.default_rng().integers(1, 2**31))
    result = nearest_neighbors(
        planted.prompt(gaussian_vectors(vocabulary, 1000, fresh)), vocabulary, k=3, metric=metric, nulls=2000
    )
    share = (result.p <= 0.05).mean(axis=0)
    assert (share >= 0.02).all(), f"seed {fresh}"
    assert (share <= 0.09).all(), f"seed {fresh}"
    assert (result.q[:, 0] <= 0.05).mean() < 0.03, f"seed {fresh}"


def test_words_are_nearer_than_chance_and_percentiles_agree_with_p():
    vocabulary = planted.vocabulary()
    result = nearest_neighbors(planted.prompt(vocabulary.embedding[:20]), vocabulary, k=2, nulls=1000)
    assert (result.q[:, 0] <= 0.05).all()
    assert (result.percentile[:, 0] == 100).all()
    np.testing.assert_allclose(result.p, (1 + 1000 * (1 - result.percentile / 100)) / 1001, atol=1e-9)
    for metric in ("l2", "dot"):
        other = nearest_neighbors(planted.prompt(vocabulary.embedding[:2]), vocabulary, metric=metric)
        assert np.isnan(other.p).all()
        assert other.null is None
    assert np.isnan(nearest_neighbors(planted.prompt(vocabulary.embedding[:2]), vocabulary, nulls=0).q).all()
    with pytest.raises(ExplorerError, match="found -1 nulls; expected 0 or more"):
        nearest_neighbors(planted.prompt(vocabulary.embedding[:2]), vocabulary, nulls=-1)


def test_a_planted_hub_is_marked():
    """A row along the mean of rows that all lean one way is near to everything."""
    generator = np.random.default_rng(0)
    rows = generator.standard_normal((500, 12)) + 1.5
    rows[7] = 1.0
    vocabulary = planted.from_rows(rows)
    prompt = planted.prompt(generator.standard_normal((5, 12)) + 1.5)
    result = nearest_neighbors(prompt, vocabulary, k=10, metric="cosine")
    assert (result.token_ids == 7).any()
    assert result.hub[result.token_ids == 7].all()
    assert not result.hub.all()


def test_centering_takes_a_common_offset_away():
    generator = np.random.default_rng(0)
    rows = generator.standard_normal((300, 12)).astype(np.float32)
    offset = 20 * generator.standard_normal(12).astype(np.float32)
    queries = generator.standard_normal((4, 12)).astype(np.float32)
    mean = rows.mean(axis=0)
    plain = nearest_neighbors(planted.prompt(queries - mean), planted.from_rows(rows - mean), k=5)
    centered = centered_neighbors(planted.prompt(queries + offset), planted.from_rows(rows + offset), k=5)
    np.testing.assert_array_equal(centered.token_ids, plain.token_ids)
    np.testing.assert_allclose(centered.similarity, plain.similarity, atol=1e-4)


def test_zero_and_duplicate_rows_give_a_defined_result():
    rows = np.random.default_rng(0).standard_normal((50, 8))
    rows[3], rows[4] = 0, rows[5]
    for metric in METRICS:
        result = nearest_neighbors(planted.prompt(rows[[3, 5]]), planted.from_rows(rows), k=60, metric=metric)
        assert result.token_ids.shape == (2, 50)
        assert np.isfinite(result.similarity[1]).all()
        assert (result.token_ids[0] >= 0).all() == (metric == "l2"), (
            "a token of zeros has no neighbors but by distance"
        )
        assert np.isfinite(result.similarity[0]).all() == (metric == "l2")
        if metric in ("cosine", "l2"):
            assert result.token_ids[1, :2].tolist() == [4, 5], "equal rows in the order of their ids"


def test_the_conclusion_says_which_neighbors_training_need_not_have_taught():
    vocabulary = planted.vocabulary(rows=400)
    rows, elsewhere = vocabulary.embedding[[30, 40, 50]], vocabulary.embedding[[60, 40, 50]]
    assert nearest_neighbors(planted.trained(rows, 2 * rows), vocabulary).conclusion.startswith(
        "3 of 3 tokens are nearer to a piece than random vectors are, but all of them were nearest "
        "to the same piece before training; nearest of all is token "
    )
    assert (
        ", but 2 of them were nearest to the same piece"
        in nearest_neighbors(planted.trained(elsewhere, rows), vocabulary).conclusion
    )
    assert (
        ", none of them nearest to the piece that it began"
        in nearest_neighbors(planted.trained(elsewhere[:1], rows[:1]), vocabulary).conclusion
    )
    assert "before training" not in nearest_neighbors(planted.prompt(rows), vocabulary).conclusion, (
        "what they began as is not known"
    )


@pytest.mark.parametrize("metric", METRICS)
def test_where_a_token_began_is_found_by_the_same_metric(metric):
    """Rows of very different lengths, so that no two metrics agree."""
    generator = np.random.default_rng(2)
    rows = generator.standard_normal((200, 8)) * np.linspace(0.2, 4, 200)[:, None] + 1
    vocabulary, initial = planted.from_rows(rows), generator.standard_normal((40, 8)) + 1
    began = nearest_neighbors(planted.trained(initial, initial[::-1]), vocabulary, metric=metric).began
    alone = nearest_neighbors(planted.prompt(initial), vocabulary, 1, metric, nulls=0).token_ids[:, 0]
    np.testing.assert_array_equal(began, alone)
    by_cosine = nearest_neighbors(planted.prompt(initial), vocabulary, 1, "cosine", nulls=0).token_ids[:, 0]
    assert (began == by_cosine).all() == (metric == "cosine")


def test_what_is_no_nearer_than_chance_does_not_count_among_what_began_there():
    vocabulary = planted.vocabulary(rows=400)
    noise = np.random.default_rng(7).standard_normal(16).astype(np.float32)
    row, elsewhere = vocabulary.embedding[30], vocabulary.embedding[60]
    result = nearest_neighbors(
        planted.trained(np.stack([elsewhere, noise]), np.stack([row, noise])), vocabulary
    )
    assert result.significant.tolist() == [True, False]
    assert result.began[1] == result.token_ids[1, 0]
    assert "1 of 2 tokens is nearer" in result.conclusion
    assert ", none of them nearest to the piece that it began nearest to" in result.conclusion
