"""Which words of a text decide the answer?"""

from typing import TYPE_CHECKING

from explorer.readings.made import On
from explorer.readings.reading import TEXTS, Parameter, Reading, Table, whole

if TYPE_CHECKING:
    import numpy as np

    from explorer.evaluation.cues import Cues, TextCues

TEXTS_READ = Parameter("texts", "Texts.", TEXTS, typed="")
ANSWERS = Parameter("answers", "The label of each text, where they are known.", None, default=None, typed="")


def gold_of(answers: tuple[str, ...] | None, labels: tuple[str, ...]) -> "np.ndarray | None":
    import numpy as np

    return None if answers is None else np.array([labels.index(answer) for answer in answers])


def _cues(
    on: On, texts: tuple[str, ...], labels: tuple[str, ...], answers: tuple[str, ...] | None, seed: int
) -> "Cues":
    from explorer.evaluation.cues import cues

    return cues(on.asked_once, on.prompts, texts, labels, gold_of(answers, labels), seed, on.progress)


def _text_cues(on: On, text: tuple[str, ...], labels: tuple[str, ...]) -> "TextCues":
    from explorer.evaluation.cues import text_cues

    return text_cues(on.asked_once, on.prompts, text[0], labels)


CUES: "Reading[Cues]" = Reading(
    name="cues",
    question="Which words of a text decide the answer, with the prompt and without?",
    about="""Find the words that decide the answers.

    A ridge regression of each label's score on the words and word pairs of the texts; the terms that it leans
    on are deleted from texts and the model runs again. Only what that confirms is called a cue. Of a single
    text: what deleting each of its words does.
    """,
    compute=_cues,
    settings=("seed",),
    needs=frozenset({"model", "labels", "texts"}),
    parameters=(TEXTS_READ, ANSWERS),
    each=False,
    tables=(
        Table("terms", "words that decide, and what deleting them does", whole, "terms"),
        Table(
            "fidelity",
            "how much of each label's score single words explain",
            lambda cues: cues.labels_frame(),
        ),
        Table("likeness", "do prompts listen to the same words?", lambda cues: cues.likeness_frame()),
    ),
    record=lambda cues: cues.to_record(),
    figure="cues_figure",
)
TEXT_CUES: "Reading[TextCues]" = Reading(
    name="text cues",
    question="Which words of this text decide its answer?",
    about="Delete each word of one text in turn.",
    compute=_text_cues,
    needs=frozenset({"model", "labels", "texts"}),
    parameters=(Parameter("text", "One text.", TEXTS, typed=""),),
    each=False,
    command="",
    method="text_cues",
    tables=(Table("words", "what deleting each word of the text does", whole),),
    figure="text_cues_figure",
)
