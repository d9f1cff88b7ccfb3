"""From words to tokens and through time: finding pieces, reverse neighbors, changes of the nearest piece."""

import numpy as np
import planted
import pytest

from explorer.analysis.neighbors import nearest_neighbors
from explorer.analysis.trajectory import first_neighbors, neighbor_changes
from explorer.analysis.words import find_pieces, frequency_ranks, tokens_near
from explorer.choices import METRICS
from explorer.errors import PromptError


@pytest.fixture(scope="module")
def small():
    return planted.from_rows(
        np.eye(6, dtype=np.float32), ("▁Good", "▁bad", "good", "▁goodness", "▁ungood", "<pad>"), special=1
    )


def test_pieces_are_found_whole_words_first_and_frequent_first(small):
    assert find_pieces(small, " gOOd ").tolist() == [0, 2, 3, 4]
    assert find_pieces(small, "good", most=2).tolist() == [0, 2]
    assert find_pieces(small, "pad").tolist() == []
    assert find_pieces(small, "  ").tolist() == []
    assert frequency_ranks(small, np.array([0, 4])).tolist() == [1, 5]


@pytest.mark.parametrize("metric", METRICS)
def test_reverse_neighbors_are_the_neighbors_turned_around(vocabulary, metric):
    generator = np.random.default_rng(0)
    prompts = [
        planted.prompt(vocabulary.embedding[generator.choice(500, 8)] + 0.1, name) for name in ("one", "two")
    ]
    found = [nearest_neighbors(prompt, vocabulary, 6, metric, nulls=0) for prompt in prompts]
    pairs = set()
    for token_id in np.unique(np.concatenate([one.token_ids.ravel() for one in found])):
        frame = tokens_near(found, int(token_id))
        closer = -frame["similarity"] if metric == "l2" else frame["similarity"]
        assert closer.is_monotonic_decreasing
        for row in frame.itertuples():
            one = found[("one", "two").index(row.prompt)]
            assert one.token_ids[row.position, row.rank - 1] == token_id
            pairs.add((row.prompt, row.position, row.rank))
    assert len(pairs) == 2 * 8 * 6
    assert tokens_near(found, len(vocabulary) - 1).empty


def test_changes_are_those_of_the_nearest_piece(small):
    initial, final = np.eye(6)[[0, 1, 2]], np.eye(6)[[0, 3, 2]] + 0.1
    prompt = planted.trained(initial, final)
    ids, cosine = first_neighbors(prompt, small)
    assert ids.tolist() == [[0, 1, 2], [0, 3, 2]]
    assert (cosine[0] == 1).all()
    (change,) = neighbor_changes(prompt, small).to_frame().to_dict("records")
    assert (change["position"], change["step"], change["before"], change["after"]) == (
        1,
        100,
        "▁bad",
        "▁goodness",
    )
    assert change["similarity"] == cosine[1, 1]
    with pytest.raises(PromptError, match="no saved trajectory"):
        neighbor_changes(planted.prompt(final), small)
