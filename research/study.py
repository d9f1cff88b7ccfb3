"""Measures the bundled prompts on their tasks' test texts and writes the tables of `checkpoints/study/`:
`python -m research.study DATA MODELS`.

DATA holds the folder `tasks`, MODELS the models that make.sh tuned whole on the same texts
(`mini-t5/sentiment/model-0`, …). `python -m research.tables` prints the tables as checkpoints/README.md shows
them, `python -m research.plots` draws them.
"""

import json
import sys
from pathlib import Path

import pandas as pd

from explorer.choices import INITIALIZATIONS
from explorer.cli.output import plain
from explorer.errors import ExplorerError
from explorer.evaluation.domain_shift import (
    MODEL_TUNING,
    PROMPT_TUNING,
    UNTUNED,
    DomainShift,
    answer,
    answer_with_model,
)
from explorer.evaluation.ensemble import AVERAGE, MAJORITY, MEAN_PROBABILITY, ensemble, fleiss_kappa
from explorer.evaluation.scoring import evaluate
from explorer.formats import find_prompts
from explorer.models.encoder_decoder import FrozenT5
from explorer.models.loading import DEFAULT_MODEL
from explorer.prompt import SoftPrompt
from explorer.system.files import MODELS, STUDY
from explorer.texts.tasks import Task, read_task
from explorer.tuning.whole_models import read_tuned_model

TEST_SETS = {"sentiment": "mr", "subjectivity": "subj", "question-type": "trec"}
TARGETS = ("cr", "amazon-books", "amazon-dvd", "amazon-electronics", "amazon-kitchen")
SIZES = ("nano-t5", "micro-t5", "mini-t5")
"""the bundled models from the smallest"""
USUAL_LENGTH, SIZE_INITIALIZATION = 20, "class-label"


def bundled(model: str | None = None) -> list[SoftPrompt]:
    """Every bundled prompt, or those of one bundled model. Raises what is wrong with one that cannot be
    read.
    """
    found = []
    for _, prompt in find_prompts():
        if isinstance(prompt, ExplorerError):
            raise prompt
        if model in (None, prompt.origin.base_model):
            found.append(prompt)
    return found


def prompt_scores(model: FrozenT5, prompts: list[SoftPrompt], tests: dict[str, Task]) -> pd.DataFrame:
    """One row per prompt, and per task one of the bare model: dev accuracy (recorded), test accuracy and
    invalid output (measured).
    """
    rows = []
    for task, test in tests.items():
        of_task = [prompt for prompt in prompts if prompt.origin.task == task]
        majority = max(test.answers.count(label) for label in test.labels) / len(test)
        scores = evaluate(model, [*of_task, None], test, progress=print).to_frame()
        for prompt, score in zip([*of_task, None], scores.itertuples(), strict=True):
            known = {"initialization": "no prompt", "length": 0, "seed": None, "dev": None, "step": None}
            if prompt is not None:
                origin = prompt.origin
                known = {
                    "initialization": origin.initialization,
                    "length": prompt.length,
                    "seed": origin.seed,
                    "dev": origin.dev_accuracy,
                    "step": origin.step,
                }
            measured = {
                "n": len(test),
                "test": score.accuracy,
                "macro_f1": score.macro_f1,
                "invalid_rate": score.invalid_rate,
                "majority": majority,
            }
            rows.append({"prompt": score.prompt, "task": task, **known, **measured})
    return pd.DataFrame(rows).astype({"seed": "Int64", "step": "Int64"})


def votes(model: FrozenT5, prompts: list[SoftPrompt], tests: dict[str, Task]) -> pd.DataFrame:
    """Ensembles of each task: the seeds of one initialization, and all of them."""
    rows = []
    for task, test in tests.items():
        for group in (*INITIALIZATIONS, "all"):
            members = [
                p
                for p in prompts
                if p.origin.task == task
                and p.length == USUAL_LENGTH
                and group in (p.origin.initialization, "all")
            ]
            members = [p for p in members if p.origin.initialization in INITIALIZATIONS]
            result = ensemble(model, members, test)
            frame = result.to_frame().set_index("prompt")
            best = frame[frame["kind"] == "best"].iloc[0]
            vote, mean, average = (frame.loc[name] for name in (MAJORITY, MEAN_PROBABILITY, AVERAGE))
            rows.append(
                {
                    "task": task,
                    "members": group,
                    "prompts": len(members),
                    "average": average.accuracy,
                    "best": best.accuracy,
                    "majority": vote.accuracy,
                    "mean_probability": mean.accuracy,
                    "gain_over_average": -average.difference,
                    "gain_low": -average.difference_high,
                    "gain_high": -average.difference_low,
                    "kappa": fleiss_kappa(result.votes),
                    "disagreement": result.disagreement,
                    "calibration_error_members": average.calibration_error,
                    "calibration_error_mean_probability": mean.calibration_error,
                }
            )
    return pd.DataFrame(rows)


def shifted(model: FrozenT5, prompts: list[SoftPrompt], tasks: Path, models: Path) -> DomainShift:
    """Sentiment prompts of the usual length, models tuned whole on the same texts, and the bare model, on
    films and on the targets.
    """
    members = [
        p
        for p in prompts
        if p.origin.task == "sentiment"
        and p.length == USUAL_LENGTH
        and p.origin.initialization in INITIALIZATIONS
    ]
    domains = (TEST_SETS["sentiment"], *TARGETS)
    tests = [read_task(tasks / domain / "test.tsv", members[0].origin.labels) for domain in domains]
    found = answer(model, [*members, None], tests, progress=print)
    for folder in sorted(models.glob("sentiment/model-*")):
        tuned = read_tuned_model(folder)
        found.append(answer_with_model(FrozenT5.load(folder), tuned.name, tuned.seed, tests, progress=print))
    return DomainShift(domains, tuple(found))


def sizes(data: Path, models: Path, tests: dict[str, Task]) -> pd.DataFrame:
    """One row per bundled model, task and run of either method, and of the bare model: parameters, seed, dev
    accuracy (recorded), test accuracy (measured).
    """
    rows = []
    for name in SIZES:
        model = FrozenT5.load(name)
        prompts = [
            p
            for p in bundled(name)
            if p.length == USUAL_LENGTH and p.origin.initialization == SIZE_INITIALIZATION
        ]
        for task, test in tests.items():
            asked = [None, *(p for p in prompts if p.origin.task == task)]
            found: list[tuple] = [
                (
                    UNTUNED if p is None else PROMPT_TUNING,
                    *((None, None) if p is None else (p.origin.seed, p.origin.dev_accuracy)),
                    accuracy,
                )
                for p, accuracy in zip(
                    asked, evaluate(model, asked, test, print, generate=False).accuracy, strict=True
                )
            ]
            for folder in sorted((models / name / task).glob("model-*")):
                tuned = read_tuned_model(folder)
                (accuracy,) = evaluate(FrozenT5.load(folder), [None], test, print, generate=False).accuracy
                found.append((MODEL_TUNING, tuned.seed, tuned.dev_accuracy, accuracy))
            rows += [(name, model.memory // model.dtype.itemsize, task, *one) for one in found]
    return pd.DataFrame(
        rows, columns=["model", "parameters", "task", "method", "seed", "dev", "test"]
    ).astype({"seed": "Int64"})


def main(data: Path, models: Path) -> None:
    """Write every table."""
    STUDY.mkdir(exist_ok=True)
    model, prompts = FrozenT5.load(), bundled(DEFAULT_MODEL)
    labels = {task: next(p.origin.labels for p in prompts if p.origin.task == task) for task in TEST_SETS}
    tests = {
        task: read_task(data / "tasks" / folder / "test.tsv", labels[task])
        for task, folder in TEST_SETS.items()
    }
    prompt_scores(model, prompts, tests).to_csv(STUDY / "prompts.csv", index=False)
    votes(model, prompts, tests).to_csv(STUDY / "ensembles.csv", index=False)
    if all((MODELS / name).is_dir() for name in SIZES):
        sizes(data, models, tests).to_csv(STUDY / "sizes.csv", index=False)
    shift = shifted(model, prompts, data / "tasks", models / DEFAULT_MODEL)
    shift.to_frame().to_csv(STUDY / "shift.csv", index=False)
    shift.summary().to_csv(STUDY / "shift-summary.csv", index=False)
    shift.differences().to_csv(STUDY / "shift-differences.csv", index=False)
    everything = {"prompts": shift.to_frame(), "summary": shift.summary(), "differences": shift.differences()}
    records = {
        name: plain(frame.astype(object).where(frame.notna(), None).to_dict("records"))
        for name, frame in everything.items()
    }
    (STUDY / "shift.json").write_text(
        json.dumps({"command": "python -m research.study DATA MODELS", **records}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
