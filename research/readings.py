"""Prints the figures of docs/results.md: `python -m research.readings [DATA]`, DATA holding the folder
`tasks`.

Every table is of the bundled prompts: how often chance is significant, what the readings say, and what
running the model says of them.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from explorer.analysis.clusters import clusters, group_statistic, null_statistic
from explorer.analysis.decomposition import decompose
from explorer.analysis.hubness import hubness, null_neighbors
from explorer.analysis.labels import read_labels
from explorer.analysis.neighbors import nearest_neighbors
from explorer.analysis.norms import read_norms
from explorer.analysis.nulls import SIGNIFICANT_AT, benjamini_hochberg, null_vectors, p_values
from explorer.analysis.redundancy import redundancy
from explorer.analysis.search import search
from explorer.evaluation.attribution import attribute
from explorer.evaluation.faithfulness import faithfulness
from explorer.formats import read_prompt
from explorer.models.encoder_decoder import FrozenT5
from explorer.models.loading import DEFAULT_MODEL
from explorer.texts.tasks import read_task
from explorer.vocabulary import Vocabulary
from research.study import TEST_SETS, bundled
from research.tables import markdown, show

TEXTS, ATTRIBUTED = 300, 10
DRAWS = 4000
RUN = (
    "sentiment/wayward-0",
    "sentiment/class-label-0",
    "sentiment/random-0",
    "subjectivity/class-label-0",
    "subjectivity/random-0",
    "question-type/class-label-0",
)


def in_words(frame: pd.DataFrame) -> str:
    """A frame as a Markdown table, three decimals."""

    def told(value: object) -> object:
        return value if not isinstance(value, float) else "–" if value != value else f"{value:.3f}"

    return markdown(
        list(frame.columns), [[told(value) for value in row] for row in frame.itertuples(index=False)]
    )


def calibration(vocabulary: Vocabulary) -> pd.DataFrame:
    """What 2,000 fresh vectors of each null distribution would show, as a hundred prompts of twenty
    tokens.
    """
    rows, nearest = [], null_neighbors(vocabulary, 1, DRAWS, 0)[0][:, 0]
    groups = null_statistic(vocabulary, "gaussian", DRAWS, 0)
    for null in ("gaussian", "isotropic", "mixtures", "rows"):
        fresh = null_vectors(vocabulary, null, 2000, 12345)
        near = p_values(search(fresh, vocabulary, 1)[1][:, 0], nearest)
        grouped = p_values(group_statistic(fresh, vocabulary)[0], groups)
        shares = [
            float((p <= SIGNIFICANT_AT).mean())
            for p in (near, _corrected(near), grouped, _corrected(grouped))
        ]
        rows.append((null, *shares))
    return pd.DataFrame(
        rows,
        columns=[
            "2,000 vectors of",
            "nearest, p ≤ 0.05",
            "nearest significant",
            "in a group, p ≤ 0.05",
            "in a group, significant",
        ],
    )


def _corrected(p: np.ndarray) -> np.ndarray:
    """q over every twenty of p [N]."""
    return np.concatenate([benjamini_hochberg(part) for part in p.reshape(-1, 20)])


def readings(vocabulary: Vocabulary) -> pd.DataFrame:
    """Every bundled prompt's readings, by task and initialization."""
    rows = []
    for prompt in bundled(DEFAULT_MODEL):
        near, groups, norms = (
            nearest_neighbors(prompt, vocabulary),
            clusters(prompt, vocabulary),
            read_norms(prompt, vocabulary),
        )
        labels, again = read_labels(prompt, vocabulary), redundancy(prompt, vocabulary)
        rows.append(
            {
                "task": prompt.origin.task,
                "initialization": f"{prompt.origin.initialization}"
                + ("" if prompt.length == 20 else f", length {prompt.length}"),
                "prompts": 1,
                "nearest significant": float((near.q[:, 0] <= SIGNIFICANT_AT).mean()),
                "in a group": float(groups.significant.mean()),
                "lexical": float(np.mean([kind == "lexical" for kind in groups.kind])),
                "mixed": float(np.mean([kind == "mixed" for kind in groups.kind])),
                "whole prompt, p ≤ 0.05": float(groups.prompt_p <= SIGNIFICANT_AT),
                "energy of 5 words": float(decompose(prompt, vocabulary).energy[:, -1].mean()),
                "labels kept": len(labels.kept) / len(labels.persistence)
                if labels.persistence
                else float("nan"),
                "norm": float(np.median(norms.ratio)),
                "still its first word": float(
                    (
                        nearest_neighbors(prompt.at(0), vocabulary, 1, nulls=0).token_ids[:, 0]
                        == near.token_ids[:, 0]
                    ).mean()
                ),
                "redundancy p": again.p,
                "effective rank": again.effective_rank,
            }
        )
    frame = pd.DataFrame(rows)
    grouped = frame.groupby(["task", "initialization"], sort=False)
    return grouped.mean().assign(prompts=grouped.size()).reset_index()


def trials(model: FrozenT5, vocabulary: Vocabulary, tasks: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Faithfulness on the first test texts, and attribution on the first of these."""
    faith, rests = [], []
    for name in RUN:
        prompt = read_prompt(name)
        task = read_task(tasks / TEST_SETS[prompt.origin.task or ""] / "test.tsv", prompt.origin.labels)
        task = replace(task, texts=task.texts[:TEXTS], answers=task.answers[:TEXTS])
        frame = faithfulness(model, vocabulary, prompt, task).to_frame().set_index("reading")
        words = frame.loc["cosine"]
        shown = {
            reading: float(frame.loc[reading, "accuracy"])
            for reading in ("soft", "cosine", "none", "random-words", "initial", "shuffled", "mean")
        }
        spread = f"{words.difference:+.3f} ({words.difference_low:+.3f} to {words.difference_high:+.3f})"
        faith.append(
            {"prompt": name, **shown, "words − soft (95 %)": spread, "KL of the words": float(words.kl)}
        )
        found = attribute(model, vocabulary, prompt, task.texts[:ATTRIBUTED], task.labels)
        largest = float(np.abs(found.leave_one_out).max())
        rests.append(
            (
                name,
                largest,
                found.completeness,
                found.deletion_area,
                found.deletion_p,
                found.insertion_area,
                found.insertion_p,
            )
        )
    columns = [
        "prompt",
        "largest leave-one-out",
        "worst completeness error",
        "deletion",
        "p",
        "insertion",
        "p ",
    ]
    return pd.DataFrame(faith), pd.DataFrame(rests, columns=columns)


def initial_words(vocabulary: Vocabulary) -> pd.DataFrame:
    """Which metric leads? Where the word that a token began as ranks now, by cosine and whitened: share
    first, share in ten, median rank.
    """
    rows = []
    for prompt in bundled(DEFAULT_MODEL):
        begun = [
            (position, row.piece)
            for position, row in enumerate(prompt.origin.rows or ())
            if row.piece is not None
        ]
        if not begun:
            continue
        ids = np.array([vocabulary.pieces.index(piece) for _, piece in begun])
        vectors = prompt.vectors[[position for position, _ in begun]]
        for metric in ("cosine", "whitened"):
            order = search(vectors, vocabulary, len(vocabulary.searchable_ids), metric)[0]
            ranks = (order == ids[:, None]).argmax(axis=1) + 1
            rows += [
                (prompt.origin.task, "wayward" if prompt.origin.read_as else "others", metric, int(rank))
                for rank in ranks
            ]
    frame = pd.DataFrame(rows, columns=["task", "prompts", "metric", "rank"])
    grouped = frame.groupby(["task", "prompts", "metric"], sort=False)["rank"]
    found = grouped.agg(
        tokens="size",
        first=lambda rank: float((rank == 1).mean()),
        ten=lambda rank: float((rank <= 10).mean()),
        median="median",
    )
    return found.reset_index()


def tables() -> dict[str, str]:
    """The tables of the vectors alone, by name."""
    vocabulary = Vocabulary.load()
    hubs = hubness(vocabulary)
    hubs_found = pd.DataFrame(
        {
            "skewness of N_k": [hubs.skewness],
            "hubs": [len(hubs.hubs)],
            "rows that are no query's neighbor": [hubs.anti_hub_share],
        }
    )
    found = {
        "chance": calibration(vocabulary),
        "readings": readings(vocabulary),
        "metrics": initial_words(vocabulary),
        "hubs": hubs_found,
    }
    return {name: in_words(frame) for name, frame in found.items()}


def run_tables(data: Path) -> dict[str, str]:
    """Those that run the model, by name."""
    faith, rests = trials(FrozenT5.load(dtype="float32", device="cpu"), Vocabulary.load(), data / "tasks")
    return {"faithfulness": in_words(faith), "attribution": in_words(rests)}


if __name__ == "__main__":
    show(tables())
    if len(sys.argv) > 1:
        show(run_tables(Path(sys.argv[1])))
