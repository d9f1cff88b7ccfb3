"""What does the frozen decoder make of a prompt?"""

from typing import TYPE_CHECKING

from explorer.errors import DataError
from explorer.evaluation.neutral_texts import NEUTRAL
from explorer.readings.made import On
from explorer.readings.reading import TEXTS, Parameter, Reading, Table, whole

if TYPE_CHECKING:
    from explorer.evaluation.decoder_reading import DecoderReading
    from explorer.evaluation.label_mass import LabelMass
    from explorer.evaluation.verbalization import Verbalization
    from explorer.results import Readings

_TEXTS = Parameter(
    "texts",
    "A text behind the prompt; may be repeated. Default: four neutral ones.",
    TEXTS,
    default=NEUTRAL,
    typed="text",
    metavar="T",
    repeated=True,
    hidden_default=True,
)
_SETTINGS = ("labels", "k", "include_special", "seed")


def _both(
    on: On,
    texts: tuple[str, ...],
    labels: tuple[str, ...] | None,
    k: int,
    include_special: bool,
    seed: int,
) -> "tuple[Readings[DecoderReading], LabelMass | None]":
    from explorer.evaluation.decoder_reading import read_decoder

    return read_decoder(
        on.model, on.vocabulary, on.prompts, texts, labels, k, include_special, seed, on.progress
    )


def _decode(
    on: On,
    texts: tuple[str, ...],
    labels: tuple[str, ...] | None,
    k: int,
    include_special: bool,
    seed: int,
) -> "Readings[DecoderReading]":
    return on.read(_BOTH, texts=texts, labels=labels, k=k, include_special=include_special, seed=seed)[0]


def _label_mass(
    on: On,
    texts: tuple[str, ...],
    labels: tuple[str, ...] | None,
    k: int,
    include_special: bool,
    seed: int,
) -> "LabelMass":
    mass = on.read(_BOTH, texts=texts, labels=labels, k=k, include_special=include_special, seed=seed)[1]
    if mass is None:
        raise DataError(
            f"{on.prompts[0].name} records no class labels; name them, such as negative and positive",
            "labels",
        )
    return mass


def _verbalize(on: On, k: int, seed: int) -> "Verbalization":
    from explorer.evaluation.verbalization import verbalize

    return verbalize(on.model, on.vocabulary, on.prompt, k, seed)


_BOTH: "Reading[tuple[Readings[DecoderReading], LabelMass | None]]" = Reading(
    name="decoder",
    question="What the decoder makes of prompts, and how likely it begins with class labels",
    about="",
    compute=_both,
    settings=_SETTINGS,
    parameters=(_TEXTS,),
    needs=frozenset({"model"}),
    each=False,
)
DECODE: "Reading[Readings[DecoderReading]]" = Reading(
    name="decode",
    question=(
        "What would the decoder write first for the prompt, more often than without it? What does a language "
        "model take each token for?"
    ),
    about="""List what the decoder would write first for a prompt.

    The prompt is read alone, before a gap (<extra_id_0>) and before texts; pieces are compared with those
    without the prompt. Class labels of a prompt's own task are compared with those of other tasks where
    prompts of several tasks are given. A decoder-only model is also asked what each token means, in a
    sentence that repeats words.
    """,
    compute=_decode,
    settings=_SETTINGS,
    parameters=(_TEXTS,),
    needs=frozenset({"model"}),
    each=False,
    tables=(Table("decoder", "first pieces that the decoder writes more often", whole),),
    options={
        "k": Parameter("k", "Pieces listed.", minimum=1),
        "include_special": Parameter(
            "include_special", "List control pieces, sentinels and padding rows too.", bool
        ),
    },
)
LABEL_MASS: "Reading[LabelMass]" = Reading(
    name="label_mass",
    question="How likely does the decoder begin with class labels, of a prompt's own task and of others?",
    about="",
    compute=_label_mass,
    settings=_SETTINGS,
    parameters=(_TEXTS,),
    needs=frozenset({"model", "labels"}),
    each=False,
    tables=(
        Table(
            "label-mass",
            "how likely the decoder begins with labels of each task",
            lambda mass: mass.prompt_frame(),
        ),
        Table(
            "label-mass-tasks",
            "own labels against those of other tasks, prompts permuted",
            whole,
            aside=Parameter(
                "label_mass",
                "How likely class labels come first, by task, as CSV in a file.",
                str,
                default=None,
                metavar="FILE",
            ),
        ),
    ),
    command="decode",
)
VERBALIZE: "Reading[Readings[Verbalization]]" = Reading(
    name="verbalize",
    question="What does a language model take each token for?",
    about="",
    compute=_verbalize,
    settings=("seed",),
    parameters=(Parameter("k", "Words of each token.", default=5, minimum=1, typed=""),),
    needs=frozenset({"model", "language model"}),
    tables=(
        Table(
            "verbalization",
            "what the model takes each token for, beside random vectors",
            whole,
            aside=Parameter(
                "verbalization",
                "What a language model takes each token for, as CSV in a file; no T5 says it.",
                str,
                default=None,
                metavar="FILE",
            ),
        ),
    ),
    command="decode",
)
