"""Measures the bundled prompts of a real language model: `python -m research.decoders MODEL DATA` writes
`checkpoints/study/decoders.csv` and `decoders-faithfulness.csv`; `python -m research.tables` prints them.

MODEL is the folder of SmolLM2-135M-Instruct, DATA holds the folder `tasks`. Runs in bfloat16. Takes about
half an hour on two cores.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from explorer.context import LocalLoader, Settings
from explorer.formats import find_prompts
from explorer.prompt import SoftPrompt
from explorer.session import Session
from explorer.system.files import PROMPTS, STUDY
from explorer.texts.tasks import read_task
from explorer.tuning.batches import drawn
from explorer.words.pieces import readable

OURS = PROMPTS.with_name("prompts-smollm2")
TEST_SETS = {"sentiment": "sst2", "subjectivity": "subj", "question-type": "trec"}
TEXTS, FAITHFUL_TEXTS = 500, 100
"""test texts that accuracy is measured on, and faithfulness, drawn by a fixed seed; all where there are
fewer
"""
SHOWN = ("soft", "cosine", "whitened", "sparse-5", "sparse-20", "random-words", "initial", "none")
"""stand-ins that the document shows"""


def of_task(task: str) -> list[SoftPrompt]:
    """The prompts of one task, class labels first."""
    found = [
        prompt
        for _, prompt in find_prompts(OURS)
        if isinstance(prompt, SoftPrompt) and prompt.origin.task == task
    ]
    return sorted(found, key=lambda prompt: (prompt.origin.initialization, prompt.origin.seed))


def readings(session: Session) -> list[dict[str, object]]:
    """What the readings say of each prompt, one row each."""
    whitened, rows = session.change(metric="whitened"), []
    for prompt in session.prompts:
        one, white = session.only(prompt.name), whitened.only(prompt.name)
        (near,), (white_near,) = one.change(metric="cosine").neighbors(), white.neighbors()
        (clusters,), (labels,), (meant,) = one.clusters(), one.labels(), one.verbalize()
        words, pieces = meant.words(), session.vocabulary.pieces
        nearest = [readable(pieces[token_id]) for token_id in near.token_ids[:, 0]]
        rows.append(
            {
                "prompt": prompt.name,
                "labels_kept": len(labels.kept),
                "began_as_label": len(labels.persistence),
                "label_cosine": float(
                    np.mean(
                        [
                            labels.similarity[one.position, labels.labels.index(one.label)]
                            for one in labels.persistence
                        ]
                        or [np.nan]
                    )
                ),
                "significant": int((near.q[:, 0] <= 0.05).sum()),
                "significant_whitened": int((white_near.q[:, 0] <= 0.05).sum()),
                "same_nearest": float((near.token_ids[:, 0] == white_near.token_ids[:, 0]).mean()),
                "groups": int((clusters.q <= 0.05).sum()),
                "whole_p": float(clusters.prompt_p),
                "taken_for_something": int(meant.significant.sum()),
                "repeated": meant.repeated,
                "said_is_nearest": float(
                    np.mean([row[:1] == [one] for row, one in zip(words, nearest, strict=True)])
                ),
                "first_words": ", ".join(row[0] if row else "–" for row in words[:6]),
                "nearest_words": ", ".join(nearest[:6]),
                "said": meant.said,
                "said_without": meant.said_without,
            }
        )
    return rows


def measure(
    model: str, data: Path, tasks: Sequence[str] = tuple(TEST_SETS)
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores and readings of every prompt, and the faithfulness of those that began as class labels."""
    loader, scores, faithful = LocalLoader("auto", "bfloat16"), [], []
    for task in tasks:
        prompts, folder = of_task(task), TEST_SETS[task]
        session = Session(prompts, model, Settings(), loader, print)
        test = read_task(data / "tasks" / folder / "test.tsv", session.class_labels)
        sample = drawn(test, TEXTS)
        found = session.evaluate(sample, no_prompt=True).to_frame().set_index("prompt")
        for prompt, row in zip(prompts, readings(session), strict=True):
            origin, measured = prompt.origin, found.loc[prompt.name]
            known = {
                "task": task,
                "initialization": origin.initialization,
                "seed": origin.seed,
                "step": origin.step,
            }
            dev = {
                "without_prompt": origin.without_prompt,
                "start": origin.history[0].dev_accuracy,
                "dev": origin.dev_accuracy,
            }
            tested = {
                "n": len(sample),
                "test": measured["accuracy"],
                "test_without_prompt": found.loc["no prompt", "accuracy"],
            }
            scores.append({**known, **dev, **tested, "invalid_rate": measured["invalid_rate"], **row})
        chosen = session.only(prompts[0].name)
        (read,) = chosen.faithfulness(drawn(test, FAITHFUL_TEXTS), draws=3, points=2)
        faithful.append(read.to_frame().assign(prompt=prompts[0].name))
        print(f"{prompts[0].name}: {read.conclusion}", flush=True)
    return pd.DataFrame(scores), pd.concat(faithful)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    scores, faithful = measure(sys.argv[1], Path(sys.argv[2]))
    scores.round(6).to_csv(STUDY / "decoders.csv", index=False)
    faithful.drop(columns="words").round(6).to_csv(STUDY / "decoders-faithfulness.csv", index=False)
    print(f"wrote {STUDY}/decoders.csv and decoders-faithfulness.csv")
