"""Which few words is each prompt token made of?"""

from typing import TYPE_CHECKING

from explorer.readings.made import On
from explorer.readings.reading import Parameter, Reading, Table, whole

if TYPE_CHECKING:
    from explorer.analysis.decomposition import Decomposition
    from explorer.results import Readings


def _decompose(on: On, words: int, nulls: int, seed: int) -> "Decomposition":
    from explorer.analysis.decomposition import decompose

    return decompose(on.prompt, on.vocabulary, words, nulls, seed)


DECOMPOSE: "Reading[Readings[Decomposition]]" = Reading(
    name="decompose",
    question="Which few words is each token made of, and how much do they explain?",
    about="""Write each token as a sum of few words.

    Orthogonal matching pursuit with weights of 0 or more. Energy: the share of a token's squared length that
    its words explain; p against random vectors, which any words explain in part.
    """,
    compute=_decompose,
    settings=("nulls", "seed"),
    parameters=(
        Parameter("words", "Words that each token is made of, at most.", default=5, minimum=1, maximum=50),
    ),
    tables=(Table("decomposition", "each token as a sum of few words", whole),),
)
