"""In which layers of the model does the answer appear, and where is the prompt read?"""

from typing import TYPE_CHECKING

from explorer.readings.cues import ANSWERS, TEXTS_READ, gold_of
from explorer.readings.made import On
from explorer.readings.reading import Reading, Table, joined, whole

if TYPE_CHECKING:
    from explorer.evaluation.layers import Layers
    from explorer.results import Readings


def _layers(
    on: On, texts: tuple[str, ...], labels: tuple[str, ...], answers: tuple[str, ...] | None, seed: int
) -> "Layers":
    from explorer.evaluation.layers import layers

    gold = gold_of(answers, labels)
    return layers(on.model, on.prompt, texts, labels, gold, seed, on.share, on.progress)


LAYERS: "Reading[Readings[Layers]]" = Reading(
    name="layers",
    question="In which layers does the answer appear, and where is the prompt read?",
    about="""Read the answer after every layer, and hide the prompt.

    The lens: label scores after each layer, with the prompt and without. Knock-out: the prompt hidden from a
    layer on. Together they say whether the prompt elicits what the model has or adds to it.
    """,
    compute=_layers,
    settings=("seed",),
    needs=frozenset({"model", "labels", "texts"}),
    parameters=(TEXTS_READ, ANSWERS),
    tables=(
        Table("layers", "label scores after every layer, and the prompt hidden from it on", whole),
        Table(
            "layers-attention",
            "attention to each prompt token by layer",
            joined("attention_frame"),
            reported=False,
        ),
    ),
    figure="lens_figure",
)
