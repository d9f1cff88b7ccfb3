"""Prints the figures of docs/results.md: `python -m research.readings DATA`, DATA holding the folder `tasks`.

Every table is of the bundled prompts: how often chance is significant, what the readings say, and what running the model says of them.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from explorer.analysis.clusters import coherence, redundancy
from explorer.analysis.hubness import hubness
from explorer.analysis.labels import read_labels
from explorer.analysis.neighbors import nearest_neighbors
from explorer.analysis.norms import read_norms
from explorer.analysis.nulls import SIGNIFICANT_AT, null_vectors
from explorer.evaluation.attribution import attribute
from explorer.evaluation.faithfulness import faithfulness
from explorer.formats import read_prompt
from explorer.models.encoder_decoder import FrozenT5
from explorer.prompt import Origin, SoftPrompt
from explorer.tasks import read_task
from explorer.vocabulary import Vocabulary
from research.study import TEST_SETS, bundled

TEXTS, ATTRIBUTED = 300, 10
RUN = (
    "sentiment/wayward-0",
    "sentiment/class-label-0",
    "sentiment/random-0",
    "subjectivity/class-label-0",
    "subjectivity/random-0",
    "question-type/class-label-0",
)


def markdown(frame: pd.DataFrame) -> str:
    """A frame as a Markdown table, three decimals."""
    lines = [frame.columns, ["---"] * len(frame.columns), *frame.map(lambda v: f"{v:.3f}" if isinstance(v, float) else v).itertuples(index=False)]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def calibration(vocabulary: Vocabulary) -> pd.DataFrame:
    """What 2,000 fresh vectors of each null distribution would show."""
    rows = []
    for null in ("gaussian", "isotropic", "mixtures", "rows"):
        fresh = SoftPrompt(null_vectors(vocabulary, null, 2000, 12345), null, Origin(format="null"))
        near, clusters = nearest_neighbors(fresh, vocabulary, 10), coherence(fresh, vocabulary)
        rows.append((null, *(float((p <= SIGNIFICANT_AT).mean()) for p in (near.p[:, 0], near.q[:, 0], clusters.p, clusters.q))))
    return pd.DataFrame(rows, columns=["2,000 vectors of", "nearest, p ≤ 0.05", "nearest significant", "coherence, p ≤ 0.05", "coherence significant"])


def readings(vocabulary: Vocabulary) -> pd.DataFrame:
    """Every bundled prompt's readings, by task and initialization."""
    rows = []
    for prompt in bundled():
        near, clusters, norms, labels = (
            nearest_neighbors(prompt, vocabulary),
            coherence(prompt, vocabulary),
            read_norms(prompt, vocabulary),
            read_labels(prompt, vocabulary),
        )
        again = redundancy(prompt, vocabulary)
        rows.append(
            {
                "task": prompt.origin.task,
                "initialization": f"{prompt.origin.initialization}" + ("" if prompt.length == 20 else f", length {prompt.length}"),
                "prompts": 1,
                "nearest significant": float((near.q[:, 0] <= SIGNIFICANT_AT).mean()),
                "coherence significant": float(clusters.significant.mean()),
                "of these lexical": float(np.mean([kind == "lexical" for kind in clusters.kind])),
                "labels kept": len(labels.kept) / len(labels.persistence) if labels.persistence else float("nan"),
                "norm": float(np.median(norms.ratio)),
                "still its first word": float((nearest_neighbors(prompt.at(0), vocabulary, 1, nulls=0).token_ids[:, 0] == near.token_ids[:, 0]).mean()),
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
        shown = {reading: float(frame.loc[reading, "accuracy"]) for reading in ("soft", "cosine", "none", "random-words", "initial", "shuffled", "mean")}
        spread = f"{words.difference:+.3f} ({words.difference_low:+.3f} to {words.difference_high:+.3f})"
        faith.append({"prompt": name, **shown, "words − soft (95 %)": spread, "KL of the words": float(words.kl)})
        found = attribute(model, vocabulary, prompt, task.texts[:ATTRIBUTED], task.labels)
        largest = float(np.abs(found.leave_one_out).max())
        rests.append((name, largest, found.completeness, found.deletion_area, found.deletion_p, found.insertion_area, found.insertion_p))
    columns = ["prompt", "largest leave-one-out", "worst completeness error", "deletion", "p", "insertion", "p "]
    return pd.DataFrame(faith), pd.DataFrame(rests, columns=columns)


if __name__ == "__main__":
    vocabulary, model = Vocabulary.load(), FrozenT5.load(dtype="float32", device="cpu")
    hubs = hubness(vocabulary)
    print(f"Hubness of the vocabulary: skewness {hubs.skewness:.2f}, {len(hubs.hubs)} hubs, no query's neighbor {hubs.anti_hub_share:.0%}\n")
    print(markdown(calibration(vocabulary)), "\n")
    print(markdown(readings(vocabulary)), "\n")
    for table in trials(model, vocabulary, Path(sys.argv[1]) / "tasks"):
        print(markdown(table), "\n")
