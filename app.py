"""The dashboard: `streamlit run app.py`. Sets up the page, draws the shared choice of prompts, and runs the page asked for."""

import streamlit as st

from explorer.dashboard import choice, errors

PAGES = "explorer/dashboard/pages"

st.set_page_config(page_title="Soft Prompt Explorer", page_icon="🧭", layout="wide", initial_sidebar_state=340)
page = st.navigation(
    {
        "Look inside": [
            st.Page(f"{PAGES}/prompts.py", title="Prompts", icon=":material/list_alt:", url_path="prompts", default=True),
            st.Page(f"{PAGES}/neighbors.py", title="Neighbors", icon=":material/near_me:", url_path="neighbors"),
            st.Page(f"{PAGES}/clusters.py", title="Clusters", icon=":material/workspaces:", url_path="clusters"),
            st.Page(f"{PAGES}/labels.py", title="Class labels", icon=":material/label:", url_path="labels"),
            st.Page(f"{PAGES}/map.py", title="Map", icon=":material/scatter_plot:", url_path="map"),
            st.Page(f"{PAGES}/training.py", title="Training", icon=":material/timeline:", url_path="training"),
            st.Page(f"{PAGES}/words.py", title="Words", icon=":material/search:", url_path="words"),
        ],
        "Side by side": [st.Page(f"{PAGES}/compare.py", title="Compare", icon=":material/compare_arrows:", url_path="compare")],
        "Run": [
            st.Page(f"{PAGES}/playground.py", title="Playground", icon=":material/play_circle:", url_path="playground"),
            st.Page(f"{PAGES}/faithfulness.py", title="Faithfulness", icon=":material/fact_check:", url_path="faithfulness"),
            st.Page(f"{PAGES}/ensemble.py", title="Ensemble", icon=":material/how_to_vote:", url_path="ensemble"),
            st.Page(f"{PAGES}/shift.py", title="Domain shift", icon=":material/alt_route:", url_path="shift"),
        ],
    }
)
with errors.shown():
    with st.sidebar:
        choice.sidebar()
    page.run()
