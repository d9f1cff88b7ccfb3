"""Prints the tables of README.md as Markdown: `python checkpoints/tables.py DATA`, DATA holding the folder `tasks`."""

import json
import sys
from pathlib import Path

import pandas as pd

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from explorer.errors import ExplorerError  # noqa: E402
from explorer.evaluation.scoring import evaluate  # noqa: E402
from explorer.formats import find_prompts  # noqa: E402
from explorer.t5 import FrozenT5  # noqa: E402
from explorer.tasks import read_task  # noqa: E402

TEST_SETS = {"sentiment": "mr", "subjectivity": "subj", "question-type": "trec"}


def model_table() -> str:
    """What the bundled model reached, from its own record."""
    record = json.loads((HERE / "models" / "mini-t5" / "pretraining.json").read_text())
    final = record["final"]
    rows = {
        "tokens seen": f"{final['tokens']:,}",
        "steps": f"{final['step']:,}",
        "training time, hours (two cores, shared)": f"{record['seconds'] / 3600:.2f}",
        "span corruption loss, held out": f"{final['span_loss']:.2f} (gain {final['span_gain']:.2f})",
        "prefix language modelling loss, held out": f"{final['lm_loss']:.2f} (gain {final['lm_gain']:.2f})",
        f"related words within each other's 50 nearest ({final['related_pairs']} pairs)": f"{final['related_words']:.1%}",
        "linear probe of the encoder on `mr`": f"{final['probe_encoder']:.3f} (mean embeddings {final['probe_embeddings']:.3f})",
        "seed": str(record["config"]["seed"]),
    }
    return "\n".join(["| figure | value |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])


def prompt_scores(tasks: Path) -> pd.DataFrame:
    """One row per bundled prompt: what it scores on dev (recorded) and on test (measured now)."""
    model = FrozenT5.load()
    prompts = [prompt for _, prompt in find_prompts() if not isinstance(prompt, ExplorerError)]
    rows = []
    for name, folder in TEST_SETS.items():
        of_task = [prompt for prompt in prompts if prompt.origin.task == name]
        test = read_task(tasks / folder / "test.tsv", of_task[0].origin.labels)
        majority = max(test.answers.count(label) for label in test.labels) / len(test)
        scores = evaluate(model, [*of_task, None], test).to_frame()
        for prompt, score in zip([*of_task, None], scores.itertuples(), strict=True):
            init = "no prompt" if prompt is None else f"{prompt.origin.initialization}{'' if prompt.length == 20 else f', length {prompt.length}'}"
            dev = float("nan") if prompt is None else prompt.origin.dev_accuracy
            rows.append({"task": name, "init": init, "dev": dev, "test": score.accuracy, "invalid": score.invalid_rate, "majority": majority})
    return pd.DataFrame(rows)


def prompt_table(scores: pd.DataFrame) -> str:
    """Mean ± standard deviation over seeds, by task and initialization."""
    lines = ["| task | initialization | prompts | dev | test | invalid output | always the commonest label |", "|---|---|---|---|---|---|---|"]
    for (task, init), group in scores.groupby(["task", "init"], sort=False):

        def spread(column: str, group: pd.DataFrame = group) -> str:
            if group[column].isna().all():
                return "–"
            return f"{group[column].mean():.3f}" + (f" ± {group[column].std():.3f}" if len(group) > 1 else "")

        lines.append(f"| {task} | {init} | {len(group)} | {spread('dev')} | {spread('test')} | {spread('invalid')} | {group['majority'].iloc[0]:.3f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(model_table(), "\n")
    print(prompt_table(prompt_scores(Path(sys.argv[1]) / "tasks")))
