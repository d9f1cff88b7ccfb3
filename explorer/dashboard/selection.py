"""What a click on the map asks for: the neighbors of the points chosen."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import streamlit as st

from explorer.dashboard import cached, tables
from explorer.dashboard.cached import Opened
from explorer.dashboard.words import safe
from explorer.figures import readable
from explorer.prompt import Origin, SoftPrompt
from explorer.vocabulary import Vocabulary


def table(points: Sequence[Mapping[str, object]], chosen: Mapping[str, Opened], vocabulary: Vocabulary, k: int) -> None:
    """The neighbors of the first chosen point, or how to choose one."""
    asked = _asked(points[0].get("customdata"), chosen, vocabulary) if points else None
    if asked is None:
        st.info("Click a prompt token, a label or a neighbor on the map to read its neighbors here.", icon=":material/ads_click:")
        return
    title, opened = asked
    frame = cached.neighbors(opened, vocabulary, k, "cosine").to_frame()
    tables.heading(title, frame, opened.name, "neighbors", "cosine", f"k{k}")
    tables.show(frame, "chosen-point", ["rank", "piece", "token", "token_id", "similarity"])
    st.caption(f"Cosine (higher is closer) in the original space, k = {k}, over {len(vocabulary.searchable_ids):,} pieces; not taken from the map.")


def _asked(data: object, chosen: Mapping[str, Opened], vocabulary: Vocabulary) -> tuple[str, Opened] | None:
    """Title and vector of a point from its customdata: a token id, or kind, prompt, position and trust."""
    values = list(data.values()) if isinstance(data, Mapping) else data
    if isinstance(values, Sequence) and not isinstance(values, str) and len(values) == 1:
        values = values[0]
    if isinstance(values, int | float) and 0 <= values < len(vocabulary):
        token_id = int(values)
        piece = vocabulary.pieces[token_id]
        return safe(f"Neighbors of the word “{readable(piece)}”"), _single(f"piece {token_id}", vocabulary.embedding[token_id], vocabulary)
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) < 3:
        return None
    kind, name, position = str(values[0]), str(values[1]), int(values[2])
    if kind == "label":
        labels = tuple(dict.fromkeys(label for opened in chosen.values() for label in opened.prompt.origin.labels or ()))
        if position >= len(labels):
            return None
        return safe(f"Neighbors of the label “{labels[position]}”"), _single(f"label {labels[position]}", vocabulary.text_vector(labels[position]), vocabulary)
    opened = chosen.get(name)
    if opened is None or position >= opened.prompt.length:
        return None
    prompt = opened.prompt.at(0) if kind == "initial" and opened.prompt.trajectory is not None else opened.prompt
    when = " before training" if kind == "initial" else ""
    single = SoftPrompt(prompt.vectors[position : position + 1], f"{name} token {position}{when}", Origin(format=prompt.origin.format))
    return safe(f"Neighbors of token {position} of {name}{when}"), replace(opened, prompt=single)


def _single(name: str, vector: np.ndarray, vocabulary: Vocabulary) -> Opened:
    """One vector of the vocabulary as a prompt of one token, so that it is searched like any other."""
    return Opened(SoftPrompt(vector[None], name, Origin(format="vocabulary")), vocabulary.path, vocabulary.fingerprint)
