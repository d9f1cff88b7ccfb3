"""Readings of a soft prompt: arrays in, frozen dataclasses out.

Neighbors, hubness, nulls, clusters, labels, norms, the map and comparisons, each in its own module. Nothing
here imports torch, transformers, plotly or streamlit; scipy, scikit-learn and umap are imported by the
functions that need them. Every score is computed in the space of the embeddings, never on the map, and stands
beside the null it is compared with.
"""
