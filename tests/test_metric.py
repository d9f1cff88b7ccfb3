"""Which metric `auto` stands for, what is said where two metrics differ, and tokens that are special rows."""

import numpy as np
import pytest
from planted import clustered, from_rows, prompt, vocabulary

from explorer.analysis.clusters import clusters, significant_groups
from explorer.analysis.decomposition import decompose
from explorer.analysis.metric import mean_pair_cosine, metric_for
from explorer.analysis.neighbors import nearest_neighbors
from explorer.analysis.special import special_tokens
from explorer.analysis.vectors import unit


def shared(offset: float, rows: int = 400, width: int = 16):
    """Gaussian rows that share an offset."""
    plain = vocabulary(rows, width)
    return from_rows(plain.embedding + np.float32(offset), special=5)


def test_the_mean_cosine_is_that_of_all_pairs() -> None:
    table = shared(0.7)
    rows = unit(table.embedding[table.searchable_ids]).astype(np.float64)
    pairs = (rows @ rows.T)[np.triu_indices(len(rows), 1)]
    assert mean_pair_cosine(table) == pytest.approx(pairs.mean(), abs=1e-6)


@pytest.mark.parametrize(("offset", "metric"), [(0.0, "cosine"), (0.3, "cosine"), (1.0, "whitened")])
def test_auto_is_whitened_where_rows_share_a_direction(offset: float, metric: str) -> None:
    table = shared(offset)
    assert metric_for("auto", table) == metric
    found = nearest_neighbors(prompt(table.embedding[:4]), table)
    assert found.metric == metric
    assert set(found.to_frame()["metric"]) == {metric}
    assert found.why is not None
    assert f"{mean_pair_cosine(table):.2f}" in found.why
    assert nearest_neighbors(prompt(table.embedding[:4]), table, metric="l2").metric == "l2"


def test_a_named_metric_gives_the_same_as_auto() -> None:
    table = shared(1.0)
    vectors = prompt(table.embedding[:4] + np.float32(0.3))
    auto, named = nearest_neighbors(vectors, table), nearest_neighbors(vectors, table, metric="whitened")
    assert auto.to_frame().equals(named.to_frame())
    assert named.why is None


def test_metrics_that_differ_are_said_by_both() -> None:
    """Rows at cosine 0.95 to everything: a cosine cannot tell a word plus noise from a random vector."""
    table = shared(4.0, rows=2000, width=32)
    noise = np.random.default_rng(1).standard_normal((6, 32)).astype(np.float32)
    tokens = prompt(table.embedding[:6] + np.float32(0.4) * noise - np.float32(3.0))
    by_cosine = nearest_neighbors(tokens, table, metric="cosine")
    by_whitened = nearest_neighbors(tokens, table)
    assert not by_cosine.significant.any()
    assert by_whitened.significant.any()
    near = int(by_whitened.significant.sum())
    assert f"0 of 6 tokens are significant by cosine, {near} by whitened" in by_cosine.disagreement
    assert f"{near} of 6 tokens are significant by whitened, 0 by cosine" in by_whitened.disagreement
    assert nearest_neighbors(tokens, table, nulls=0).disagreement == ""


def special_prompt():
    """A vocabulary with bundles of words and two control rows; three words, the last control row, a word."""
    table, centers = clustered()
    rows = np.concatenate([table.embedding, np.random.default_rng(5).standard_normal((2, 32))])
    table = from_rows(rows, (*table.pieces, "<pad>", "<bos>"), special=2)
    return table, np.stack([*centers[:3], table.embedding[-1] * np.float32(1.3), centers[3]])


def test_a_token_that_is_a_special_row_enters_no_verdict() -> None:
    table, vectors = special_prompt()
    with_bos, words = prompt(vectors), prompt(np.delete(vectors, 3, axis=0), "planted/words")
    assert special_tokens(with_bos, table) == {3: "<bos>"}
    for read in (nearest_neighbors, clusters):
        found, plain = read(with_bos, table), read(words, table)
        assert "token 3 is <bos>" in found.conclusion
        assert "4 of 4 tokens" in found.conclusion
        assert np.isnan(found.p[3]).all()
        assert np.isnan(found.q[3]).all()
        np.testing.assert_array_equal(np.delete(found.q, 3, axis=0), plain.q)  # corrected over four tokens
    assert clusters(with_bos, table).prompt_p == clusters(words, table).prompt_p
    assert significant_groups(with_bos, table) == clusters(with_bos, table).groups
    sums = decompose(with_bos, table)
    assert np.isnan(sums.p[3]).all()
    assert sums.sums()[3] == "is <bos>"
    assert "of 4 tokens" in sums.conclusion


def test_a_special_row_that_is_nearest_by_chance_is_not_named() -> None:
    """Of random vectors some have a control row as the nearest of all rows, and are no such piece."""
    table = vocabulary(400, 16, special=100)
    tokens = prompt(np.random.default_rng(3).standard_normal((40, 16)))
    sims = unit(tokens.vectors) @ unit(table.embedding).T
    assert (sims.argmax(axis=1) >= 300).sum() >= 4
    assert special_tokens(tokens, table) == {}


def test_a_word_that_equals_a_special_row_is_a_word() -> None:
    table = special_prompt()[0]
    rows = table.embedding.copy()
    rows[-1] = rows[7]
    same = from_rows(rows, table.pieces, special=2)
    assert special_tokens(prompt(rows[[7, -1]]), same) == {}
