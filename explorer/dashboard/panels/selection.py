"""The panel beside the map: word search, the token or point that is chosen with its neighbors, the words and
prompt tokens of a region.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import streamlit as st

from explorer.analysis.map.fit import VocabularyMap
from explorer.analysis.map.place import MapReading
from explorer.analysis.map.regions import inside, pieces_inside
from explorer.analysis.words import find_pieces
from explorer.dashboard import cache, controls, focus, tables, view
from explorer.dashboard.markdown import safe, slug
from explorer.prompt import Origin, SoftPrompt
from explorer.session import Session
from explorer.system.files import csv_bytes
from explorer.vocabulary import Vocabulary
from explorer.words.wording import count

LONGEST, MOST = 60, 12
"""characters of a word that is searched, and pieces that are offered"""
ROW = 28
"""pixels of a row in the panel"""


def search(vocabulary: Vocabulary) -> int | None:
    """The id of the piece that a visitor searches; None for none."""
    word = st.text_input(
        "Find a word",
        key="find",
        bind="query-params",
        max_chars=LONGEST,
        placeholder="good",
        on_change=view.choose,
        args=("map", "word"),
    )
    if not word or not word.strip():
        return None
    ids = [int(token_id) for token_id in find_pieces(vocabulary, word, MOST)]
    if not ids:
        st.caption(safe(f"No piece contains “{word.strip()}”: the tokenizer splits it."))
        return None
    if len(ids) == 1:
        return ids[0]
    names = {token_id: vocabulary.readable(vocabulary.pieces[token_id]) for token_id in ids}
    return st.selectbox(
        "Pieces with it",
        ids,
        format_func=lambda token_id: names[token_id],
        key="found-piece",
        on_change=view.choose,
        args=("map", "word"),
    )


def place_of(token_id: int | None, vocabulary_map: VocabularyMap) -> np.ndarray | None:
    """Where a piece lies on the map [2]; None for none, and for one that shares the place of another."""
    if token_id is None:
        return None
    number = int(np.searchsorted(vocabulary_map.token_ids, token_id))
    there = number < len(vocabulary_map.token_ids) and vocabulary_map.token_ids[number] == token_id
    return vocabulary_map.xy[number] if there else None


def keep_in_view(token_id: int | None, xy: np.ndarray, start: tuple[np.ndarray, np.ndarray]) -> None:
    """Let the map show a word [2] that was searched just now, by as much more as it takes."""
    if st.session_state.get("map word") == token_id:
        return
    st.session_state["map word"] = token_id
    now = st.session_state.get("map seen")
    low, high = (
        start if now is None else (np.array([now["x"][0], now["y"][0]]), np.array([now["x"][1], now["y"][1]]))
    )
    if (xy < low).any() or (xy > high).any():
        room = 0.1 * (high - low)
        view.move_to("map", np.minimum(low, xy - room), np.maximum(high, xy + room))


def details(session: Session, found: int | None, places: MapReading) -> None:
    """The token in focus, the neighbors of what was chosen last, and what lies in the region; the latest
    first.
    """
    prompt = focus.prompt(session)
    token = focus.position(prompt)
    if (
        st.session_state.get("map focus", (prompt.name, token)) != (prompt.name, token)
        and view.latest("map") != "region"
    ):
        view.choose("map", "point" if _is(view.point("map"), prompt.name, token) else "token")
    st.session_state["map focus"] = (prompt.name, token)
    outlines = view.outlines("map")
    if outlines and view.latest("map") == "region":
        region(outlines, places, session.vocabulary)
        outlines = ()
    chosen = {
        "word": found,
        "point": view.point("map"),
        "token": None if token is None else ("prompt", prompt.name, token),
    }
    first = view.latest("map")
    table(
        next(
            (chosen[what] for what in (first, *chosen) if what in chosen and chosen[what] is not None), None
        ),
        session,
    )
    focus.panel(session, "map")
    if outlines:
        region(outlines, places, session.vocabulary)


def table(data: object, session: Session) -> None:
    """The neighbors of a point, from its customdata, or how to choose one."""
    asked = None if data is None else _asked(data, session)
    if asked is None:
        st.caption(
            "Click a token, a label or a neighbor to read its neighbors here. *Lasso* lists the "
            "words of a region."
        )
        return
    title, single = asked
    above, vocabulary = st.container(), session.vocabulary
    k = controls.k()
    alone = Session([single], vocabulary.name, session.settings, session.loader, session.progress).change(k=k)
    with above:
        frame = cache.reading("Searching the neighbors", alone.neighbors).to_frame()
        st.subheader(title, anchor=False)
        shown = frame.assign(piece=frame["piece"].map(vocabulary.readable))
        tables.show(
            shown,
            "chosen-point",
            ["piece", "similarity"],
            row_height=ROW,
            height=ROW * (min(len(frame), 10) + 1) + 10,
        )
        _download(frame, single.name, "neighbors", "cosine", f"k{k}")
    st.caption(
        f"Cosine (higher is closer) in the original space, over {len(vocabulary.searchable_ids):,} "
        "pieces; the map plays no part."
    )


def region(outlines: Sequence[np.ndarray], reading: MapReading, vocabulary: Vocabulary) -> None:
    """The words within the outlines, and which of the placed tokens lie there."""
    vocabulary_map, places = reading.map, reading.to_frame()
    words = pd.concat(
        [pieces_inside(vocabulary_map, vocabulary, outline) for outline in outlines], ignore_index=True
    )
    words = words.drop_duplicates("token_id").sort_values("frequency_rank", ignore_index=True)
    within = np.any([inside(places[["x", "y"]].to_numpy(), outline) for outline in outlines], axis=0)
    there = places[within & (places["kind"] == "prompt")]
    st.subheader(f"{count(len(words), 'piece')} in the region", anchor=False)
    each = there.groupby("prompt", sort=False).size()
    named = ", ".join(f"{safe(name)} **{number}**" for name, number in each.items())
    st.markdown(f"Prompt tokens here: {named}." if named else "No token of the chosen prompts lies here.")
    if len(words):
        share, median = len(words) / len(vocabulary_map.token_ids), words["frequency_rank"].median()
        shown = words.assign(piece=words["piece"].map(vocabulary.readable))
        tables.show(
            shown,
            "region-words",
            ["piece", "frequency_rank"],
            row_height=ROW,
            height=ROW * (min(len(words), 8) + 1) + 10,
        )
        _download(words, "region")
        st.caption(
            f"{share:.1%} of the map. Median frequency rank {median:,.0f} of "
            f"{len(vocabulary.searchable_ids):,} (1 is the most frequent)."
        )
    if not there.empty:
        columns = ["prompt", "position", "name"]
        height = ROW * (min(len(there), 6) + 1) + 10
        shown = there.assign(name=there["name"].map(vocabulary.readable))
        tables.show(
            shown, "region-tokens", columns, more={"name": "Nearest piece"}, row_height=ROW, height=height
        )
    st.button(
        "Remove the region",
        on_click=view.forget_region,
        args=("map",),
        icon=":material/close:",
        type="tertiary",
        key="no-region",
    )


def _download(frame: pd.DataFrame, *named: object) -> None:
    """The button of a table, below it: the panel is too narrow for one beside the title."""
    name = slug(*named)
    icon = ":material/download:"
    st.download_button(
        "CSV",
        lambda: csv_bytes(frame),
        f"{name}.csv",
        "text/csv",
        on_click="ignore",
        icon=icon,
        type="tertiary",
        key=f"csv-{name}",
    )


def _is(data: object, prompt: str, token: int | None) -> bool:
    """Whether a point's customdata is that of a prompt token."""
    values = list(data.values()) if isinstance(data, Mapping) else data
    return (
        isinstance(values, Sequence)
        and len(values) > 2
        and (values[0], values[1], values[2]) == ("prompt", prompt, token)
    )


def _asked(data: object, session: Session) -> tuple[str, SoftPrompt] | None:
    """Title and vector of a point from its customdata: a token id, or kind, prompt, position and trust."""
    vocabulary = session.vocabulary
    values = list(data.values()) if isinstance(data, Mapping) else data
    if isinstance(values, Sequence) and not isinstance(values, str) and len(values) == 1:
        values = values[0]
    if isinstance(values, int | float) and 0 <= values < len(vocabulary):
        token_id = int(values)
        title = safe(f"Neighbors of the word “{vocabulary.readable(vocabulary.pieces[token_id])}”")
        return title, _single(f"piece {token_id}", vocabulary.embedding[token_id])
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) < 3:
        return None
    kind, name, position = str(values[0]), str(values[1]), int(values[2])
    if kind == "label":
        labels = session.all_labels
        if position >= len(labels):
            return None
        vector = vocabulary.text_vector(labels[position], session.prompts[0].origin.template)
        title = safe(f"Neighbors of the label “{labels[position]}”")
        return title, _single(f"label {labels[position]}", vector)
    prompt = next((one for one in session.prompts if one.name == name), None)
    if prompt is None or position >= prompt.length:
        return None
    vectors, when = prompt.vectors, ""
    if kind == "initial" and prompt.trajectory is not None:
        saved = prompt.trajectory
        vectors = saved.vectors[0]
        when = " before training" if saved.from_start else f" at step {saved.steps[0]:,}"
    return safe(f"Neighbors of token {position} of {name}{when}"), _single(
        f"{name} token {position}{when}", vectors[position]
    )


def _single(name: str, vector: np.ndarray) -> SoftPrompt:
    """One vector as a prompt of one token, so that it is searched like any other."""
    return SoftPrompt(vector[None], name, Origin(format="a point on the map"))
