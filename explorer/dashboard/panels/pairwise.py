"""Prompt against prompt, as the page Compare shows them: neighbors side by side, tokens matched one to one,
mean tokens.
"""

import pandas as pd
import streamlit as st

from explorer.analysis.compare.matching import alike_in_words, mean_token_similarity
from explorer.dashboard import cache, charts, tables, uploads
from explorer.dashboard.markdown import safe
from explorer.figures import likeness_heatmap
from explorer.session import Session
from explorer.words.pieces import readable

MOST_PAIRED = 12  # prompts matched in pairs, a second or two
WORDS = 4  # neighbors of a token side by side


def matched(session: Session, name: tuple[object, ...]) -> None:
    """The chosen prompts two by two, and how alike all prompts here are; name: what the files to download are
    named after.
    """
    if 1 < len(session.prompts) <= MOST_PAIRED:
        alike = cache.reading("Matching prompt against prompt", session.pairs)
        tables.heading("Prompt against prompt", alike, *name, "pairs")
        st.markdown(f"**{safe(alike_in_words(alike))}**")
        few = ["prompt_a", "prompt_b", "matched_cosine", "p", "q"]
        tables.show(
            alike,
            "pairs-table",
            few,
            rest=[column for column in alike if column not in few],
            height=min(38 + 35 * len(alike), 318),
        )
        st.caption(
            "Tokens are matched one to one by cosine. p compares the matched cosine with that of "
            "prompts that chance would give in place of the two: "
            "other words about as frequent, and the rest of the tokens mixed, so that a shared "
            "offset or subspace stays; q is p after Benjamini–Hochberg "
            "over the pairs. p of the mean token compares with means of as many random words."
        )
    everything = [prompt for prompt in uploads.prompts() if prompt.dimension == session.vocabulary.dimension]
    everything.sort(
        key=lambda prompt: (
            prompt.origin.base_model or "",
            prompt.origin.task or "",
            prompt.length,
            prompt.name,
        )
    )
    charts.show(
        likeness_heatmap(mean_token_similarity(everything), [prompt.name for prompt in everything]),
        "likeness",
    )
    st.caption(
        "Cosine of the mean tokens of all prompts here (SPoT; Vu et al. 2022), task by task: −1…1, "
        "higher is closer."
    )


def neighbors(session: Session, name: tuple[object, ...]) -> None:
    """The first neighbors of every token, one column a prompt; positions have no common order, they only save
    space.
    """
    found = {one.prompt: one.pieces for one in cache.reading("Searching the neighbors", session.neighbors)}
    most = range(max(map(len, found.values())))
    side = pd.DataFrame(
        {
            prompt: [", ".join(map(readable, rows[row][:WORDS])) if row < len(rows) else "" for row in most]
            for prompt, rows in found.items()
        }
    )
    tables.heading("Neighbors side by side", side, *name, "neighbors")
    side.insert(0, "position", most)
    wide = {
        prompt: st.column_config.TextColumn(prompt, width=max(200, 690 // len(found))) for prompt in found
    }
    tables.show(side, "side-table", more=wide, height=388)
    st.caption(
        f"The first four by cosine over {len(session.vocabulary.searchable_ids):,} pieces, for the "
        "chosen prompts. Positions of two prompts do not correspond."
    )
