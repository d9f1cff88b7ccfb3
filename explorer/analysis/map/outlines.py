"""Where the groups of words that tokens lie among are on the map: for looking. Which groups are significant
is tested elsewhere (analysis.clusters).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from explorer.analysis.map.fit import VocabularyMap
from explorer.analysis.map.place import Placement
from explorer.analysis.map.regions import central_extent
from explorer.cached import cached
from explorer.vocabulary import Vocabulary

NEAR, ROUND = 0.06, 0.018
"""how far from the middle word of a group a word may lie to be drawn with it, and how far the outline keeps
from the words; shares of the central extent
"""
SHARED = 2
"""words that two groups have in common to be drawn as one"""
CORNERS = 16
"""of the circle round each word that the outline is made of"""


@dataclass(frozen=True, eq=False, repr=False)
class DrawnGroup:
    """Words that belong together, where they lie together on the map too, and the tokens among them."""

    words: tuple[str, ...]
    """those of most tokens first"""
    prompts: tuple[str, ...]
    """whose tokens lie among them, in their order"""
    tokens: int
    """how many do"""
    outline: np.ndarray
    """[C, 2] float64, convex and around the words"""


def drawn_groups(
    placements: Sequence[Placement], vocabulary_map: VocabularyMap, vocabulary: Vocabulary
) -> list[DrawnGroup]:
    """The groups of the placed tokens (`Placement.groups`), those of most tokens first.

    A group is drawn around those of its words that lie near to its middle word, the one with most of the
    others near; a group whose words lie apart is not drawn. Groups of one prompt or several that have
    `SHARED` of these words in common become one.
    """
    numbers = _numbers(
        {word for placement in placements for words in placement.groups for word in words},
        vocabulary_map,
        vocabulary,
    )
    low, high = central_extent(vocabulary_map.xy)
    span = np.where(high > low, high - low, 1.0)
    found: list[
        tuple[set[str], list[str], Counter[str]]
    ] = []  # words, the prompt of each token, and how many tokens have a word
    for placement in placements:
        for words in placement.groups:
            if (
                len(
                    near := _near_each_other(
                        [word for word in words if word in numbers], numbers, vocabulary_map.xy / span
                    )
                )
                > 1
            ):
                found.append((set(near), [placement.prompt], Counter(near)))
    merged = _merged(found)
    groups = []
    for named, prompts, often in merged:
        xy = vocabulary_map.xy[[numbers[word] for word in sorted(named)]]
        ordered = sorted(named, key=lambda word: (-often[word], numbers[word]))
        groups.append(
            DrawnGroup(tuple(ordered), tuple(dict.fromkeys(prompts)), len(prompts), _around(xy / span) * span)
        )
    return sorted(groups, key=lambda group: -group.tokens)


def _numbers(words: set[str], vocabulary_map: VocabularyMap, vocabulary: Vocabulary) -> dict[str, int]:
    """The map's number of each word as people read it."""
    if not words:
        return {}

    def all_numbers() -> dict[str, int]:
        named = [
            (vocabulary.readable(vocabulary.pieces[token_id]), number)
            for number, token_id in enumerate(vocabulary_map.token_ids)
        ]
        return dict(reversed(named))  # of two pieces that read alike the more frequent one

    known = cached(vocabulary, ("words on the map", vocabulary_map), all_numbers)
    return {word: known[word] for word in words if word in known}


def _near_each_other(words: list[str], numbers: dict[str, int], xy: np.ndarray) -> list[str]:
    """The words within `NEAR` of the one that has most of them so near."""
    if not words:
        return []
    places = xy[[numbers[word] for word in words]]
    near = np.linalg.norm(places[:, None] - places, axis=2) <= NEAR
    middle = int(near.sum(axis=1).argmax())
    return [word for word, there in zip(words, near[middle], strict=True) if there]


def _merged(
    found: list[tuple[set[str], list[str], Counter[str]]],
) -> list[tuple[set[str], list[str], Counter[str]]]:
    """Groups that have enough words in common made one, until none have."""
    merged: list[tuple[set[str], list[str], Counter[str]]] = []
    for words, prompts, often in found:
        while (
            same := next((other for other in merged if len(other[0] & words) >= SHARED), None)
        ) is not None:
            merged.remove(same)
            words, prompts, often = same[0] | words, same[1] + prompts, same[2] + often
        merged.append((words, prompts, often))
    return merged


def _around(xy: np.ndarray) -> np.ndarray:
    """The convex outline [C, 2] of circles round points [N, 2]."""
    from scipy.spatial import ConvexHull

    angles = 2 * np.pi * np.arange(CORNERS) / CORNERS
    circles = (
        xy[:, None].astype(np.float64) + ROUND * np.column_stack([np.cos(angles), np.sin(angles)])
    ).reshape(-1, 2)
    return circles[ConvexHull(circles).vertices]
