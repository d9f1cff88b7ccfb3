"""What is a prompt's gain over no prompt made of?"""

from typing import TYPE_CHECKING

from explorer.readings.made import On
from explorer.readings.on_texts import DATA, GENERATE
from explorer.readings.reading import Parameter, Reading, Table, whole

if TYPE_CHECKING:
    from explorer.evaluation.gain import Gain
    from explorer.texts.tasks import Task


def _gain(on: On, task: "Task", generate: bool, seed: int) -> "Gain":
    from explorer.evaluation.gain import gain

    return gain(on.asked_once, on.prompts, task, seed, generate, on.progress)


GAIN: "Reading[Gain]" = Reading(
    name="gain",
    question="What is a prompt's gain over no prompt made of?",
    about="""Take a prompt's gain over no prompt apart.

    It says a label at all; it fits how often each label is right (the prior); it tells texts apart
    (discrimination). Only the last was learned. Several prompts of one group get intervals over seeds and
    texts.
    """,
    compute=_gain,
    settings=("seed",),
    needs=frozenset({"model", "labels", "texts"}),
    parameters=(DATA, GENERATE),
    each=False,
    tables=(
        Table("gain", "what each prompt's gain is made of", whole),
        Table(
            "gain-groups",
            "gain and discrimination of each group, over seeds and texts",
            lambda gain: gain.groups_frame(),
            aside=Parameter(
                "groups", "Groups of several prompts as CSV in a file.", str, None, metavar="FILE"
            ),
        ),
        Table(
            "confusion",
            "labels and answers, with each prompt and without",
            lambda gain: gain.confusion_frame(),
            aside=Parameter(
                "confusion",
                "Confusion with each prompt and without as CSV in a file.",
                str,
                None,
                metavar="FILE",
            ),
        ),
    ),
    figure="gain_figure",
)
