"""The tokens at one step of training: on the map, as words, and how well the prompts did then."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import streamlit as st

from explorer.analysis.map.place import MapReading, Placement
from explorer.analysis.trajectory import first_neighbors
from explorer.cached import cached
from explorer.dashboard import cache, charts, controls, focus, tables
from explorer.figures import accuracy_curve, map_figure, mark_step, point_at, sketched
from explorer.prompt import SoftPrompt
from explorer.report.tables import sources
from explorer.session import Session
from explorer.vocabulary import Vocabulary
from explorer.words.pieces import readable

MAP_HEIGHT = 480
"""pixels"""


def show(session: Session) -> None:
    """A slider over the saved steps of the session's prompts, and what stands at the step it shows."""
    saved = np.unique(np.concatenate([prompt.saved.steps for prompt in session.prompts]))
    prompt = focus.prompt(session)
    kept = prompt.origin.step if prompt.origin.step is not None else int(saved[-1])
    first, last = int(saved[0]), max(int(saved[-1]), int(saved[0]) + 1)
    controls.from_address("at", first, last)
    step = st.slider(
        "Training step",
        first,
        last,
        int(kept),
        key="at",
        bind="query-params",
    )
    places = cache.reading("Following the tokens on the map", session.map, paths=True)
    left, right = st.columns(2, gap="medium")
    found = {
        one.name: cache.reading("Comparing nearest pieces", _nearest, one, session.vocabulary)
        for one in session.prompts
    }
    placed = [at_step(places, placement, step, found) for placement in places.placements]
    until = {name: (steps[steps <= step], xy[steps <= step]) for name, (steps, xy) in places.paths.items()}
    drawn = {name: path for name, path in until.items() if len(path[0])}
    everywhere = [xy.reshape(-1, 2) for _, xy in places.paths.values()]  # the same view at every step
    figure = sketched(map_figure(places.map, session.vocabulary, placed, trajectories=drawn, also=everywhere))
    token = focus.position(prompt)
    if token is not None:
        point_at(figure, placed[session.prompts.index(prompt)].xy[token], f"token {token}")
    figure.update_layout(
        height=MAP_HEIGHT, uirevision="training", title_text=f"Where the tokens lie at step {step:,}"
    )
    charts.show(figure, "journey", left)
    with right:
        _words(prompt, step, *found[prompt.name])
    if any(one.origin.history for one in session.prompts):
        charts.show(mark_step(accuracy_curve(session.prompts), step), "curve")


def at_step(
    places: MapReading, placement: Placement, step: int, nearest: Mapping[str, tuple[np.ndarray, np.ndarray]]
) -> Placement:
    """A prompt's placement at its last saved step up to `step`, without groups and trust, which are those of
    the end; others stay as they are.

    nearest: by prompt, the nearest pieces [S, P] and their cosines.
    """
    if placement.kind != "prompt" or placement.prompt not in places.paths:
        return placement
    steps, xy = places.paths[placement.prompt]
    row = _row(steps, step)
    return replace(
        placement,
        xy=xy[row],
        names=tuple(nearest[placement.prompt][0][row]),
        groups=(),
        trust=np.ones_like(placement.trust),
    )


def _row(steps: np.ndarray, step: int) -> int:
    """The last saved step up to `step`; the first where there is none."""
    return max(0, int(np.searchsorted(steps, step, side="right")) - 1)


def _nearest(prompt: SoftPrompt, vocabulary: Vocabulary) -> tuple[np.ndarray, np.ndarray]:
    """Pieces [S, P] (empty for zeros) and cosines [S, P], remembered."""

    def make() -> tuple[np.ndarray, np.ndarray]:
        ids, cosine = first_neighbors(prompt, vocabulary)
        return np.where(ids >= 0, np.asarray(vocabulary.pieces, object)[ids], ""), cosine

    return cached(vocabulary, ("first neighbors", prompt), make)


def _words(prompt: SoftPrompt, step: int, pieces: np.ndarray, cosine: np.ndarray) -> None:
    """The nearest word of every token of the prompt in detail, then and at the end."""
    row = _row(np.asarray(prompt.saved.steps), step)
    named = [[readable(piece) if piece else "" for piece in pieces[at]] for at in (row, -1)]
    frame = pd.DataFrame(
        {
            "position": range(prompt.length),
            "source": sources(prompt),
            "then": named[0],
            "similarity": cosine[row],
            "last": named[1],
        }
    )
    tables.heading(f"Nearest words at step {prompt.saved.steps[row]:,}", frame, prompt.name, "step", step)
    more = {
        "then": st.column_config.TextColumn("Nearest then"),
        "last": st.column_config.TextColumn("At the last saved step"),
    }
    tables.tokens(
        frame,
        "journey-table",
        prompt,
        ["position", "source", "then", "similarity"],
        more,
        rest=["last"],
        height=MAP_HEIGHT - 60,
    )
