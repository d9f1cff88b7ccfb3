"""What does the frozen model answer with each prompt, how accurate is that, and what do prompts answer
together?
"""

from typing import TYPE_CHECKING

from explorer.readings.made import On
from explorer.readings.reading import TASK, TASKS, TEXTS, Parameter, Reading, Table, whole

if TYPE_CHECKING:
    from explorer.evaluation.domain_shift import DomainShift
    from explorer.evaluation.ensemble import Ensemble
    from explorer.evaluation.scoring import Predictions, Scores
    from explorer.texts.tasks import Task

NO_PROMPT = Parameter("no_prompt", "Also run the model without any prompt.", bool, default=False)
DATA = Parameter(
    "task",
    "TSV, CSV or JSONL with text and label, or hf:NAME[/CONFIG]:SPLIT.",
    TASK,
    typed="data",
    metavar="FILE",
)
GENERATE = Parameter("generate", "Also generate, for the invalid-output rate.", bool, default=True, typed="")


def _predict(
    on: On,
    texts: tuple[str, ...],
    labels: tuple[str, ...],
    no_prompt: bool,
    generate: bool,
    max_new_tokens: int,
) -> "Predictions":
    from explorer.evaluation.scoring import predict

    return predict(on.model, on.asked(no_prompt), texts, labels, generate, max_new_tokens)


def _evaluate(on: On, task: "Task", no_prompt: bool, generate: bool) -> "Scores":
    from explorer.evaluation.scoring import evaluate

    return evaluate(on.answering, on.asked(no_prompt), task, progress=on.progress, generate=generate)


def _ensemble(on: On, task: "Task", seed: int) -> "Ensemble":
    from explorer.evaluation.ensemble import ensemble

    return ensemble(on.answering, on.prompts, task, on.share, seed, on.progress)


def _shift(on: On, tasks: "tuple[Task, ...]", no_prompt: bool, generate: bool) -> "DomainShift":
    from explorer.evaluation.domain_shift import DomainShift, answer

    answered = answer(on.answering, on.asked(no_prompt), tasks, generate, on.progress)
    return DomainShift(tuple(task.name for task in tasks), tuple(answered))


PREDICT: "Reading[Predictions]" = Reading(
    name="predict",
    question="What does the frozen model answer?",
    about="Give label probabilities and generated text, in one batch.",
    compute=_predict,
    needs=frozenset({"model", "labels", "texts"}),
    parameters=(
        Parameter(
            "texts", "A text to classify; may be repeated.", TEXTS, typed="text", metavar="T", repeated=True
        ),
        NO_PROMPT,
        GENERATE,
        Parameter("max_new_tokens", "Longest generated text, in pieces.", default=8, minimum=1),
    ),
    each=False,
    tables=(Table("predictions", "label probabilities and generated text of every text", whole),),
    record=lambda predictions: predictions.to_records(),
    figure="probability_bars",
)
EVALUATE: "Reading[Scores]" = Reading(
    name="evaluate",
    question="How accurate is it?",
    about="""Score prompts on labelled texts.

    Accuracy and macro F1 by rank classification; the share of generated outputs that are no label. Under
    `accelerate launch` prompts are spread over its processes.
    """,
    compute=_evaluate,
    needs=frozenset({"model", "labels", "texts"}),
    parameters=(DATA, NO_PROMPT, GENERATE),
    each=False,
    tables=(Table("evaluation", "accuracy, macro F1 and invalid outputs of every prompt", whole),),
)
ENSEMBLE: "Reading[Ensemble]" = Reading(
    name="ensemble",
    question="Do several prompts, in one batch, vote better than one?",
    about="""Score the majority vote of several prompts, in one batch.

    Members, their average, the best one, majority vote (ties by summed log-probability) and mean probability.
    """,
    compute=_ensemble,
    settings=("seed",),
    needs=frozenset({"model", "labels", "texts"}),
    parameters=(DATA,),
    each=False,
    tables=(Table("ensemble", "members, their average, the best, and what they answer together", whole),),
    record=lambda ensemble: ensemble.to_record(),
    figure="ensemble_figure",
)
SHIFT: "Reading[DomainShift]" = Reading(
    name="shift",
    question="What is left of a prompt's accuracy on other kinds of text?",
    about="""Measure accuracy on other domains than the one tuned on.

    Prompts, and whole models beside them: accuracy on the source and on every target, mean ± deviation over
    seeds, and paired differences; 95 % intervals over seeds and texts. Under `accelerate launch` prompts and
    models are spread over its processes.
    """,
    compute=_shift,
    needs=frozenset({"model", "labels", "texts"}),
    parameters=(
        Parameter("tasks", "The source, then its targets.", TASKS, typed=""),
        NO_PROMPT,
        Parameter("generate", "Also generate, for the invalid-output rate.", bool, default=True),
    ),
    each=False,
    tables=(
        Table("shift", "accuracy of every prompt on every domain", whole),
        Table(
            "shift-summary",
            "means and deviations over seeds",
            lambda shift: shift.summary(),
            aside=Parameter(
                "summary",
                "Means and deviations over seeds as CSV in a file.",
                str,
                default=None,
                metavar="FILE",
            ),
        ),
    ),
    figure="shift_figure",
)
