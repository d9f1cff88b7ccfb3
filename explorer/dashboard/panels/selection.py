"""What is chosen on the map: the neighbors of a point, the words and prompt tokens of a region."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import streamlit as st

from explorer.analysis.map.fit import VocabularyMap
from explorer.analysis.map.regions import inside, pieces_inside
from explorer.dashboard import cache, controls, tables
from explorer.dashboard.markdown import safe
from explorer.pieces import readable
from explorer.prompt import Origin, SoftPrompt
from explorer.session import Session
from explorer.vocabulary import Vocabulary
from explorer.wording import count


def table(points: Sequence[Mapping[str, object]], session: Session) -> None:
    """The neighbors of the first chosen point, or how to choose one."""
    asked = _asked(points[0].get("customdata"), session) if points else None
    if asked is None:
        st.info(
            "Click a token, a label or a neighbor on the map to read its neighbors; draw a line round a region to list its words.", icon=":material/ads_click:"
        )
        return
    title, single = asked
    k, vocabulary = controls.k(), session.vocabulary
    alone = Session([single], vocabulary.name, session.settings, session.loader, session.progress).change(k=k)
    frame = cache.reading("Searching the neighbors", alone.neighbors).to_frame()
    tables.heading(title, frame, single.name, "neighbors", "cosine", f"k{k}")
    tables.show(frame, "chosen-point", ["rank", "piece", "token", "token_id", "similarity"])
    st.caption(f"Cosine (higher is closer) in the original space, k = {k}, over {len(vocabulary.searchable_ids):,} pieces; the map plays no part.")


def region(outlines: Sequence[np.ndarray], places: pd.DataFrame, vocabulary_map: VocabularyMap, vocabulary: Vocabulary) -> None:
    """The words within the outlines, and which of the placed tokens lie there; nothing without an outline.

    places: one row a token, with prompt, kind, position, name, x, y and trust.
    """
    if not outlines:
        return
    words = pd.concat([pieces_inside(vocabulary_map, vocabulary, outline) for outline in outlines], ignore_index=True)
    words = words.drop_duplicates("token_id").sort_values("frequency_rank", ignore_index=True)
    within = np.any([inside(places[["x", "y"]].to_numpy(), outline) for outline in outlines], axis=0)
    there = places[within & (places["kind"] == "prompt")]
    tables.heading(f"{count(len(words), 'piece')} in the region", words, "region")
    if len(words):
        share, median = len(words) / len(vocabulary_map.token_ids), words["frequency_rank"].median()
        st.markdown(
            f"{share:.1%} of the map. Median frequency rank {median:,.0f} of {len(vocabulary.searchable_ids):,} (1 is the most frequent; "
            f"half of all lie above {len(vocabulary.searchable_ids) / 2:,.0f})."
        )
        shown = words.assign(piece=words["piece"].map(readable))
        tables.show(shown, "region-words", ["piece", "frequency_rank", "token_id"], height=min(38 + 35 * len(words), 318))
    if there.empty:
        st.caption("No token of the chosen prompts lies here.")
        return
    each = there.groupby("prompt", sort=False).size()
    st.markdown("Prompt tokens here: " + ", ".join(f"{safe(name)} **{number}**" for name, number in each.items()) + ".")
    tables.show(there.assign(name=there["name"].map(readable)), "region-tokens", ["prompt", "position", "name", "trust"], more={"name": "Nearest piece"})


def _asked(data: object, session: Session) -> tuple[str, SoftPrompt] | None:
    """Title and vector of a point from its customdata: a token id, or kind, prompt, position and trust."""
    vocabulary = session.vocabulary
    values = list(data.values()) if isinstance(data, Mapping) else data
    if isinstance(values, Sequence) and not isinstance(values, str) and len(values) == 1:
        values = values[0]
    if isinstance(values, int | float) and 0 <= values < len(vocabulary):
        token_id = int(values)
        title = safe(f"Neighbors of the word “{readable(vocabulary.pieces[token_id])}”")
        return title, _single(f"piece {token_id}", vocabulary.embedding[token_id])
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) < 3:
        return None
    kind, name, position = str(values[0]), str(values[1]), int(values[2])
    if kind == "label":
        labels = session.all_labels
        if position >= len(labels):
            return None
        return safe(f"Neighbors of the label “{labels[position]}”"), _single(f"label {labels[position]}", vocabulary.text_vector(labels[position]))
    prompt = next((one for one in session.prompts if one.name == name), None)
    if prompt is None or position >= prompt.length:
        return None
    vectors, when = prompt.vectors, ""
    if kind == "initial" and prompt.trajectory is not None:
        vectors, when = prompt.trajectory.vectors[0], " before training"
    return safe(f"Neighbors of token {position} of {name}{when}"), _single(f"{name} token {position}{when}", vectors[position])


def _single(name: str, vector: np.ndarray) -> SoftPrompt:
    """One vector as a prompt of one token, so that it is searched like any other."""
    return SoftPrompt(vector[None], name, Origin(format="a point on the map"))
