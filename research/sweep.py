"""Which learning rate, how many steps? Class-label prompts on dev: `python -m research.sweep DATA WORK`
writes checkpoints/study/sweep.csv.

DATA holds the folder `tasks`; WORK keeps the prompts, so that a stopped run resumes. A table that is of the
bundled model already is left as it is.
"""

import sys
from pathlib import Path

import pandas as pd

from explorer.formats import read_prompt
from explorer.models.encoder_decoder import FrozenT5
from explorer.system.files import STUDY
from explorer.texts.tasks import read_task
from explorer.tuning.settings import Run, TuningConfig
from explorer.tuning.tune import tune_to_folder
from explorer.vocabulary import Vocabulary
from research.study import TEST_SETS

GRID = {
    "sentiment": [(0.1, 300), (0.3, 300), (1.0, 300), (0.3, 600)],
    "subjectivity": [(0.1, 400), (0.3, 400), (1.0, 400), (0.3, 800)],
    "question-type": [(0.1, 1500), (0.3, 1500), (1.0, 1500)],
}
"""task -> (learning rate, steps); the rate falls linearly to 0"""
RUNS = [Run("class-label", 0)]
MEASURED = 25
"""steps between measurements on dev where there are few; of many, a thirtieth"""
DEV_EXAMPLES = 500


def setting(rate: float, steps: int) -> TuningConfig:
    """What prompts are tuned with at a rate and a number of steps."""
    return TuningConfig(
        steps=steps,
        learning_rate=rate,
        schedule="linear",
        evaluate_every=max(MEASURED, steps // 30),
        dev_examples=DEV_EXAMPLES,
    )


def main(data: Path, work: Path) -> None:
    """Tune what is not there yet, write the table and print it."""
    vocabulary, file = Vocabulary.load(), STUDY / "sweep.csv"
    if not file.is_file() or set(pd.read_csv(file)["model"]) != {vocabulary.fingerprint}:
        rows, model = [], FrozenT5.load()
        for task, settings in GRID.items():
            train, dev = (
                read_task(data / "tasks" / TEST_SETS[task] / f"{part}.tsv") for part in ("train", "dev")
            )
            for rate, steps in settings:
                out = work / "sweep" / f"{rate}-{steps}"
                for folder in tune_to_folder(
                    model, vocabulary, train, dev, RUNS, setting(rate, steps), task, out, print
                ):
                    origin = read_prompt(folder).origin
                    start, best = origin.history[0].dev_accuracy, origin.dev_accuracy
                    rows.append(
                        (
                            vocabulary.fingerprint,
                            task,
                            rate,
                            steps,
                            origin.seed,
                            origin.without_prompt,
                            start,
                            origin.step,
                            best,
                        )
                    )
        columns = ["model", "task", "rate", "steps", "seed", "without_prompt", "start", "best_step", "dev"]
        pd.DataFrame(rows, columns=columns).to_csv(file, index=False)
    print(
        pd.read_csv(file)
        .groupby(["task", "rate", "steps"], sort=False)[["without_prompt", "start", "dev"]]
        .mean()
        .round(3)
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
