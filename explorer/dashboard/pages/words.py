"""Where is a word, and which prompt tokens have it among their neighbors?"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from explorer.analysis.neighbors import NearestNeighbors
from explorer.analysis.words import find_pieces, frequency_ranks, tokens_near
from explorer.dashboard import cache, charts, choice, controls, focus, tables
from explorer.dashboard.markdown import model_name, safe
from explorer.figures import map_figure, point_at, sketched
from explorer.words.pieces import bare_word, begins_word, spaced
from explorer.words.wording import count

LONGEST = 60  # characters of a word
MOST = 50  # pieces listed


def telling(found: Sequence[NearestNeighbors]) -> str:
    """The word that a token of these prompts is nearest to of all, to begin with: a whole word of letters
    where there is one.
    """
    near = [
        (float(one.similarity[row, 0]), piece)
        for one in found
        for row, (piece, *_) in enumerate(one.pieces)
        if piece
    ]
    whole = [
        (cosine, piece)
        for cosine, piece in near
        if begins_word(piece, found[0].mark) and bare_word(piece, found[0].mark).isalpha()
    ]
    return spaced(max(whole or near, default=(0.0, ""))[1], found[0].mark).strip()


st.title("Words", anchor=False)
session = choice.session()
vocabulary = session.vocabulary
with st.container(horizontal=True, gap="large", vertical_alignment="bottom"):
    known = telling(cache.reading("Searching the neighbors", session.neighbors))
    word = st.text_input(
        "A word, or a part of one", known, key="word", bind="query-params", max_chars=LONGEST, width=260
    )
    k = controls.k()
    scope = st.segmented_control(
        "Prompts searched",
        ["chosen only", "same task"],
        default="chosen only",
        required=True,
        key="among",
        bind="query-params",
    )
if not word or not word.strip():
    st.info(
        "Type a word to see its pieces, where they lie, and the prompt tokens near them.",
        icon=":material/search:",
    )
    st.stop()
ids = find_pieces(vocabulary, word, MOST)
if not len(ids):
    told = safe(f"contains “{word.strip()}”: the tokenizer splits such words into shorter pieces.")
    st.info(f"No piece of {model_name(vocabulary.name)} {told}", icon=":material/search_off:")
    st.stop()

searched = choice.with_peers(session) if scope == "same task" else session
number = count(len(searched.prompts), "prompt")
found = cache.reading("Searching the neighbors", searched.change(k=k).neighbors)
near = {int(token_id): tokens_near(found, int(token_id)) for token_id in ids}
frame = pd.DataFrame(
    {
        "token_id": ids,
        "piece": [vocabulary.pieces[token_id] for token_id in ids],
        "frequency_rank": frequency_ranks(vocabulary, ids),
        "near": [len(near[int(token_id)]) for token_id in ids],
    }
)
tables.heading(
    safe(f"{count(len(ids), 'piece')} with “{word.strip()}”{' or more' if len(ids) == MOST else ''}"),
    frame,
    "words",
    word,
    f"k{k}",
)
more = {
    "near": st.column_config.NumberColumn(
        "Tokens near", format="%d", help=f"Prompt tokens with it among their {k} nearest pieces"
    )
}
height = min(38 + 35 * len(frame), 318)
shown = frame.assign(piece=frame["piece"].map(vocabulary.readable))
event = tables.show(shown, "pieces", more=more, height=height, on_select="rerun", selection_mode="single-row")
rows = event["selection"]["rows"]
token_id = int(ids[rows[0] if rows and rows[0] < len(ids) else 0])
piece = vocabulary.readable(vocabulary.pieces[token_id])

reverse = near[token_id]
if len(reverse):
    closest = reverse.loc[reverse["similarity"].idxmax()]
    told = (
        f"{count(len(reverse), 'token')} of {number} {'has' if len(reverse) == 1 else 'have'} "
        f"“{piece}” among the {k} nearest pieces"
    )
    st.markdown(
        f"**{safe(told)}; nearest is token {closest['position']} of {safe(closest['prompt'])} (cosine "
        f"{closest['similarity']:.2f}).**"
    )
tables.heading(safe(f"Prompt tokens near “{piece}”"), reverse, "near", piece, f"k{k}")
if reverse.empty:
    st.markdown(
        f"**Of {number}, no token has it among its {k} nearest pieces.** A larger k, or more prompts, "
        "may find some."
    )
else:
    tables.leading(
        reverse,
        "reverse",
        {prompt.name for prompt in session.prompts},
        height=min(38 + 35 * len(reverse), 318),
    )
    focus.panel(session, "words")
st.caption(
    f"Cosine, k = {k}, over {len(vocabulary.searchable_ids):,} pieces of "
    f"{model_name(vocabulary.name)} and {number}. Choose a row to put its token into focus."
)

reading = cache.reading("Placing the prompts on the map", searched.change(labels=()).map)
vocabulary_map = reading.map
place = np.searchsorted(vocabulary_map.token_ids, token_id)
drawn = place < len(vocabulary_map.token_ids) and vocabulary_map.token_ids[place] == token_id
figure = sketched(
    map_figure(
        vocabulary_map,
        vocabulary,
        reading.placements,
        told=True,
        also=[vocabulary_map.xy[place][None]] if drawn else (),
    )
)
if drawn:
    point_at(figure, vocabulary_map.xy[place], piece)
charts.show(figure, "word-map")
said = (
    "The arrow points at the word."
    if drawn
    else "This piece has the same direction as another one and shares its place on the map."
)
st.caption(f"{said} UMAP is for looking, not for evidence.")
