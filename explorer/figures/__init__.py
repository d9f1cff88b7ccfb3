"""Plotly figures of the results, one function each. They draw what the analysis found, compute nothing and
know no Streamlit.

Backgrounds are transparent and text has no color of its own, so that a figure takes the theme of the page it
stands on.
"""

from plotly.graph_objects import Figure

from explorer.figures.attribution import attribution_figure, deletion_figure
from explorer.figures.clusters import clusters_figure, redundancy_heatmap
from explorer.figures.compare import MEASURE_TITLES, comparison_figure, likeness_heatmap
from explorer.figures.domain_shift import shift_figure
from explorer.figures.ensemble import agreement_heatmap, ensemble_figure
from explorer.figures.faithfulness import faithfulness_figure, interpolation_figure, reading_title
from explorer.figures.labels import label_heatmap, persistence_figure
from explorer.figures.learned import (
    cues_figure,
    gain_figure,
    knock_out_figure,
    layer_attention_heatmap,
    lens_figure,
    text_cues_figure,
)
from explorer.figures.map import (
    center,
    map_figure,
    map_legend,
    point_at,
    sketched,
    view_buttons,
    whole,
    with_regions,
)
from explorer.figures.neighbors import similarity_figure
from explorer.figures.predict import probability_bars
from explorer.figures.size import size_figure
from explorer.figures.style import alternative_text, mark_token
from explorer.figures.training import (
    accuracy_curve,
    length_figure,
    mark_step,
    norm_boxes,
    norm_figure,
)

__all__ = [
    "MEASURE_TITLES",
    "Figure",
    "accuracy_curve",
    "agreement_heatmap",
    "alternative_text",
    "attribution_figure",
    "center",
    "clusters_figure",
    "comparison_figure",
    "cues_figure",
    "deletion_figure",
    "ensemble_figure",
    "faithfulness_figure",
    "gain_figure",
    "interpolation_figure",
    "knock_out_figure",
    "label_heatmap",
    "layer_attention_heatmap",
    "length_figure",
    "lens_figure",
    "likeness_heatmap",
    "map_figure",
    "map_legend",
    "mark_step",
    "mark_token",
    "norm_boxes",
    "norm_figure",
    "persistence_figure",
    "point_at",
    "probability_bars",
    "reading_title",
    "redundancy_heatmap",
    "shift_figure",
    "similarity_figure",
    "size_figure",
    "sketched",
    "text_cues_figure",
    "view_buttons",
    "whole",
    "with_regions",
]
