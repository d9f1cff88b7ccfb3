"""How much accuracy survives when a prompt is replaced by its nearest words?"""

from typing import TYPE_CHECKING

from explorer.readings.made import On
from explorer.readings.on_texts import DATA
from explorer.readings.reading import NAMES, Parameter, Reading, Table, late, whole

if TYPE_CHECKING:
    from explorer.evaluation.faithfulness import Faithfulness
    from explorer.results import Readings
    from explorer.texts.tasks import Task


def _typed(
    on: On, task: "Task", words: tuple[str, ...], draws: int, points: int, seed: int
) -> "Faithfulness":
    from explorer.evaluation.faithfulness import faithfulness

    given = draws, points, seed, on.share, on.progress
    return faithfulness(on.model, on.vocabulary, on.prompt, task, *given, typed=words)


def _faithfulness(on: On, task: "Task", draws: int, points: int, seed: int) -> "Faithfulness":
    from explorer.evaluation.faithfulness import faithfulness

    return faithfulness(on.model, on.vocabulary, on.prompt, task, draws, points, seed, on.share, on.progress)


FAITHFULNESS: "Reading[Readings[Faithfulness]]" = Reading(
    name="faithfulness",
    question="How much accuracy survives when the prompt is replaced by its nearest words?",
    about="""Score a prompt's nearest words in its place.

    How much accuracy survives when the prompt is replaced by its nearest words? The model is also run without
    a prompt, with random words, and with the vectors the prompt began as.
    """,
    compute=_faithfulness,
    settings=("seed",),
    needs=frozenset({"model", "labels", "texts"}),
    parameters=(
        DATA,
        Parameter("draws", "Prompts of random words that are run.", default=5, minimum=1),
        Parameter(
            "points",
            "Points of the curve from the soft prompt to its nearest words.",
            default=11,
            minimum=2,
        ),
    ),
    single=True,
    tables=(
        Table("faithfulness", "accuracy of everything that stood in the prompt's place", whole),
        Table(
            "faithfulness-curve",
            "accuracy on the way from the soft prompt to its nearest words",
            lambda results: results[0].curve_frame(),
            aside=Parameter("curve", "That curve as CSV in a file.", str, default=None, metavar="FILE"),
        ),
    ),
    kept=late("evaluation.faithfulness", "Faithfulness"),
    figure="faithfulness_figure",
)
TYPED_WORDS: "Reading[Readings[Faithfulness]]" = Reading(
    name="typed words",
    question="Do words that somebody typed do the prompt's job?",
    about="Score typed words in a prompt's place.",
    compute=_typed,
    settings=("seed",),
    needs=frozenset({"model", "labels", "texts"}),
    parameters=(
        DATA,
        Parameter("words", "Words in the prompt's place.", NAMES, typed=""),
        *FAITHFULNESS.parameters[1:],
    ),
    command="",
    method="typed_words",
    tables=(Table("typed-words", "accuracy of typed words in the prompt's place", whole, reported=False),),
    figure="faithfulness_figure",
)
