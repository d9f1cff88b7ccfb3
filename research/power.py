"""What the cluster test can see: its power on planted truth, on any model's vocabulary.

    python -m research.power [MODEL] [--draws 500] [--seed 0]

Prints a table: the share of vectors with p ≤ 0.05 among fresh null vectors, real rows of the vocabulary,
vectors at a given cosine to the mean of five words of one category, and vectors at cosine 0.9 to the mean of
five unrelated words, the control. Beside the test stands plain coherence, which it replaced. What is added to
a category's mean has the vocabulary's own covariance.
"""

import argparse
from collections.abc import Callable

import numpy as np
import pandas as pd

from explorer.analysis.clusters import GROUP, group_statistic, mean_cosine, null_statistic
from explorer.analysis.hubness import null_neighbors
from explorer.analysis.nulls import gaussian_vectors, mean_row, p_values, stream
from explorer.analysis.search import search
from explorer.analysis.vectors import unit
from explorer.models.loading import DEFAULT_MODEL
from explorer.vocabulary import Vocabulary
from research.tables import markdown

NULLS, K = 4000, 10
COSINES = (0.9, 0.7, 0.5, 0.4, 0.3, 0.25)
CATEGORIES = """
red blue green yellow white black brown pink orange purple gray
monday tuesday wednesday thursday friday saturday sunday
january february march april june july august september october november december
dog cat horse cow pig sheep bird lion wolf bear rabbit mouse
mother father brother sister son daughter uncle aunt wife husband cousin
one two three four five six seven eight nine ten
france germany italy spain england russia japan china india canada
london paris rome berlin moscow vienna madrid boston chicago
doctor nurse teacher lawyer farmer soldier sailor priest judge clerk
king queen prince duke lord lady knight emperor princess
hand arm leg foot head neck shoulder finger knee chest
eye nose mouth ear lip tongue cheek chin
bread butter cheese milk meat sugar salt wine beer coffee tea
chair table bed desk lamp mirror window door shelf
car truck bus train plane ship boat bicycle ferry
happy sad angry afraid proud jealous lonely nervous
good great excellent wonderful superb fine brilliant perfect
bad terrible awful horrible poor dreadful worst weak
north south east west northern southern eastern western
spring summer autumn winter season
morning afternoon evening night noon midnight
gold silver iron copper steel lead metal bronze
shirt coat hat dress shoes boots jacket gloves
rain snow wind storm thunder cloud fog ice
river lake sea ocean bay stream coast island
mountain hill valley cliff peak slope ridge canyon
tree flower grass leaf branch root forest garden
run walk jump climb swim ride march dance
say tell speak talk whisper shout cry reply
think believe know understand remember forget guess imagine
buy sell pay cost price trade market money
film movie cinema drama comedy horror thriller documentary
actor actress director producer writer screenplay scene script
book novel poem story chapter author essay poetry
music song album band guitar piano singer concert
football baseball basketball tennis hockey soccer golf cricket
school college university student teacher professor lecture campus
army navy soldier officer captain general troops battle
gun rifle sword knife weapon bomb pistol bullet
church priest bishop pope prayer cathedral temple monastery
president minister senator governor mayor congress parliament election
court judge jury trial lawyer crime prison guilty
physics chemistry biology mathematics science theory laboratory
computer software internet data program digital network web
hour minute second day week month year decade century
big large huge enormous vast giant massive
small little tiny short narrow slight thin
english french german italian spanish latin greek russian
christian jewish muslim catholic protestant religion faith
heart blood brain bone skin lung liver muscle
disease cancer fever infection illness virus symptoms patient
kitchen bedroom bathroom hall room stairs floor ceiling
"""
"""words of one category a line, written for this project"""


def categories(vocabulary: Vocabulary) -> list[np.ndarray]:
    """Ids of the categories' words that are single pieces of a vocabulary, of categories with at least
    five.
    """
    known = {vocabulary.tokens[token_id]: int(token_id) for token_id in vocabulary.searchable_ids}
    lines = [
        [known.get(f" {word}", known.get(f" {word.capitalize()}")) for word in line.split()]
        for line in CATEGORIES.strip().splitlines()
    ]
    return [
        np.array([token_id for token_id in line if token_id is not None])
        for line in lines
        if sum(token_id is not None for token_id in line) >= GROUP
    ]


def planted(vocabulary: Vocabulary, ids: np.ndarray, cosine: float, seed: int) -> np.ndarray:
    """Vectors [N, H] at a cosine to the mean of the rows ids [N, 5]; the rest is Gaussian with the
    vocabulary's covariance.
    """
    mean = unit(vocabulary.embedding[ids].mean(axis=1))
    noise = gaussian_vectors(vocabulary, len(ids), seed) - mean_row(vocabulary)
    noise = unit(noise - (noise * mean).sum(axis=1, keepdims=True) * mean)
    return cosine * mean + np.sqrt(1 - cosine**2) * noise


def power(vocabulary: Vocabulary, draws: int = 500, seed: int = 0) -> pd.DataFrame:
    """One row per kind of vector: kind, cosine, test, coherence: shares with p ≤ 0.05 of `draws` vectors,
    0…1.
    """
    generator, rows = stream(seed, "power"), vocabulary.searchable_ids
    lines = categories(vocabulary)
    grouped = np.array(
        [generator.choice(lines[generator.integers(len(lines))], GROUP, replace=False) for _ in range(draws)]
    )
    unrelated = generator.choice(rows, (draws, GROUP))
    kinds = [
        ("fresh null", np.nan, gaussian_vectors(vocabulary, 4 * draws, seed + 1)),
        ("real rows", 1.0, vocabulary.embedding[generator.choice(rows, draws)]),
    ]
    kinds += [("category", cosine, planted(vocabulary, grouped, cosine, seed + 2)) for cosine in COSINES]
    kinds += [("unrelated words", 0.9, planted(vocabulary, unrelated, 0.9, seed + 3))]
    measures: dict[str, tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]] = {
        "test": (
            null_statistic(vocabulary, "gaussian", NULLS, seed),
            lambda vectors: group_statistic(vectors, vocabulary)[0],
        ),
        "coherence": (
            mean_cosine(null_neighbors(vocabulary, K, NULLS, seed)[1], vocabulary),
            lambda vectors: mean_cosine(search(vectors, vocabulary, K)[0], vocabulary),
        ),
    }
    found = []
    for kind, cosine, vectors in kinds:
        shares = {
            name: float((p_values(measure(vectors), null) <= 0.05).mean())
            for name, (null, measure) in measures.items()
        }
        found.append({"kind": kind, "cosine": cosine, **shares})
    return pd.DataFrame(found)


def tables() -> dict[str, str]:
    """The table of the bundled vocabulary, as Markdown."""
    rows = [
        [
            row.kind,
            "–" if np.isnan(row.cosine) else f"{row.cosine:.2f}",
            f"{row.test:.2f}",
            f"{row.coherence:.2f}",
        ]
        for row in power(Vocabulary.load()).itertuples()
    ]
    return {"power": markdown(["vectors", "cosine", "test", "coherence"], rows)}


def main() -> None:
    """Print the table of one model."""
    parser = argparse.ArgumentParser(description="Power of the cluster test on planted truth.")
    parser.add_argument(
        "model", nargs="?", default=DEFAULT_MODEL, help="model folder, bundled name or Hugging Face id"
    )
    parser.add_argument("--draws", type=int, default=500, help="vectors of each kind")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    vocabulary = Vocabulary.load(asked.model)
    size = f"{len(vocabulary.searchable_ids):,} rows of width {vocabulary.dimension}"
    print(f"{vocabulary.name}: {size}, {len(categories(vocabulary))} categories; share with p ≤ 0.05")
    print(
        power(vocabulary, asked.draws, asked.seed).to_string(
            index=False, float_format=lambda value: f"{value:.2f}", na_rep="–"
        )
    )


if __name__ == "__main__":
    main()
