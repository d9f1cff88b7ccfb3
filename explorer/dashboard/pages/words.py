"""Where is a word, and which prompt tokens have it among their neighbors?"""

import numpy as np
import pandas as pd
import streamlit as st

from explorer.analysis.words import find_pieces, frequency_ranks, tokens_near
from explorer.dashboard import cached, charts, choice, controls, focus, tables
from explorer.dashboard.markdown import count, model_name, safe
from explorer.figures import map_figure, point_at, readable

LONGEST = 60  # characters of a word
MOST = 50  # pieces listed

st.title("Words", anchor=False)
st.markdown("From a word to the prompt tokens: where does it lie, and which tokens have it among their neighbors?")
chosen, vocabulary = choice.readable()
everyone = choice.peers(chosen, vocabulary)
with st.container(horizontal=True, gap="large", vertical_alignment="bottom"):
    word = st.text_input("A word, or a part of one", key="word", bind="query-params", max_chars=LONGEST, placeholder="good", width=260)
    k = controls.k()
    scope = st.segmented_control("Prompts searched", ["chosen only", "same task"], default="chosen only", required=True, key="among", bind="query-params")
if not word or not word.strip():
    st.info("Type a word to see its pieces, where they lie, and the prompt tokens near to them.", icon=":material/search:")
    st.stop()
ids = find_pieces(vocabulary, word, MOST)
if not len(ids):
    told = f"No piece of {vocabulary.name} holds “{word.strip()}”: the tokenizer writes such words as several shorter pieces."
    st.info(safe(told), icon=":material/search_off:")
    st.stop()

searched = everyone if scope == "same task" else chosen
found = [cached.neighbors(opened, vocabulary, k, "cosine") for opened in searched]
near = {int(token_id): tokens_near(found, int(token_id)) for token_id in ids}
frame = pd.DataFrame(
    {
        "token_id": ids,
        "piece": [vocabulary.pieces[token_id] for token_id in ids],
        "frequency_rank": frequency_ranks(vocabulary, ids),
        "near": [len(near[int(token_id)]) for token_id in ids],
    }
)
tables.heading(safe(f"{count(len(ids), 'piece')} with “{word.strip()}”{' or more' if len(ids) == MOST else ''}"), frame, "words", word, f"k{k}")
more = {
    "near": st.column_config.NumberColumn("Tokens near", format="%d", help=f"Prompt tokens with it among their {k} nearest pieces"),
}
height = min(38 + 35 * len(frame), 318)
shown = frame.assign(piece=frame["piece"].map(readable))
event = tables.show(shown, "pieces", more=more, height=height, on_select="rerun", selection_mode="single-row")
rows = event["selection"]["rows"]
token_id = int(ids[rows[0] if rows and rows[0] < len(ids) else 0])
piece = readable(vocabulary.pieces[token_id])

reverse = near[token_id]
tables.heading(safe(f"Prompt tokens near “{piece}”"), reverse, "near", piece, f"k{k}")
if reverse.empty:
    st.caption(f"None of the {count(len(searched), 'prompt')} searched has it among its tokens' {k} nearest pieces. Larger k, or more prompts, may find some.")
else:
    positions, names = reverse["position"].tolist(), reverse["prompt"].tolist()
    visible = {opened.name for opened in chosen}

    def jump() -> None:
        """Put the chosen row's token into focus."""
        asked = st.session_state["reverse"]["selection"]["rows"]
        if asked and names[asked[0]] in visible:
            focus.choose(names[asked[0]], positions[asked[0]])

    tables.show(reverse, "reverse", on_select=jump, selection_mode="single-row", height=min(38 + 35 * len(reverse), 318))
    opened = focus.opened(chosen)
    focus.panel(opened, vocabulary, "words")
st.caption(
    f"Cosine, k = {k}, over {len(vocabulary.searchable_ids):,} pieces of {model_name(vocabulary.name)} and {count(len(searched), 'prompt')}. "
    "Choose a row to put its token into focus."
)

vocabulary_map = cached.vocabulary_map(vocabulary)
placements = [cached.placement(opened, vocabulary) for opened in searched]
place = np.searchsorted(vocabulary_map.token_ids, token_id)
drawn = place < len(vocabulary_map.token_ids) and vocabulary_map.token_ids[place] == token_id
figure = map_figure(vocabulary_map, vocabulary, placements, told=True, also=[vocabulary_map.xy[place][None]] if drawn else ())
if drawn:
    point_at(figure, vocabulary_map.xy[place], piece)
charts.show(figure, "word-map")
st.caption("The arrow points at the word. UMAP, for looking only." if drawn else "This piece has the direction of another and shares its place on the map.")
