"""What the prompts learned: `python -m research.learned DATA` prints the tables of docs/results.md, gain,
cues and layers of bundled prompts on test texts (DATA holds mr, subj and trec).

`--smollm2` reads SmolLM2's prompts. `--texts N`: the first N test texts of a task.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import explorer
from explorer.choices import INITIALIZATIONS
from explorer.session import Session
from explorer.texts.tasks import Task
from research.study import TEST_SETS
from research.tables import markdown

NAMES = ("class-label-0", "random-0", "sampled-vocab-0")
LENS_TEXTS = 200


def sessions(
    smollm2: bool, names: tuple[str, ...], data: Path, texts: int
) -> Iterator[tuple[str, Session, Task]]:
    """A session of the prompts of each task, and its test texts."""
    start = "smollm2/" if smollm2 else ""
    for name, folder in TEST_SETS.items():
        session = explorer.open(*(f"{start}{name}/{one}" for one in names))
        task = explorer.read_task(data / folder / "test.tsv", session.class_labels)
        part = replace(task, texts=task.texts[:texts], answers=task.answers[:texts])
        yield name, session, part


def gain_rows(session: Session, task: Task) -> list[list[object]]:
    """One row a prompt."""
    return [
        [
            row.prompt,
            f"{row.no_prompt:.3f} → {row.prior_fitted:.3f} → {row.accuracy:.3f}",
            f"{100 * row.gain:+.1f}",
            f"{100 * row.discrimination:+.1f} ({100 * row.discrimination_low:+.1f} to "
            f"{100 * row.discrimination_high:+.1f})",
            f"{row.auc_no_prompt:.3f} → {row.auc:.3f}",
            f"{row.fixed}/{row.broken}",
        ]
        for row in session.gain(task, generate=False).to_frame().itertuples()
    ]


def found_rows() -> list[list[object]]:
    """One row for each initialization: prompts whose tokens found a label while trained, of how many; tokens;
    those that words as frequent find.
    """
    rows = []
    for initialization in INITIALIZATIONS:
        names = [f"{task}/{initialization}-{seed}" for task in TEST_SETS for seed in range(3)]
        found = [result for name in names for result in explorer.open(name).labels_found()]
        tokens = sum(len(result.tokens) for result in found)
        control = sum(float(result.control.mean()) for result in found)
        share = f"{sum(result.found for result in found)} of {len(found)}"
        rows.append(
            [
                initialization,
                share,
                f"{tokens} of {sum(len(one.first_at) for one in found)}",
                f"{control:.1f}",
            ]
        )
    return rows


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--smollm2", action="store_true")
    parser.add_argument("--texts", type=int, default=500)
    parser.add_argument("--names", default=",".join(NAMES))
    parser.add_argument(
        "--cues", type=int, default=1, help="prompts of a task whose cues and layers are read"
    )
    asked = parser.parse_args()
    gains, cues, layers = [], [], []
    for name, session, task in sessions(
        asked.smollm2, tuple(asked.names.split(",")), asked.data, asked.texts
    ):
        gains += gain_rows(session, task)
        chosen = session.only(*(prompt.name for prompt in session.prompts[: asked.cues]))
        reading = chosen.cues(task)
        for line, prompt in zip(reading.conclusion.splitlines(), reading.prompts, strict=True):
            cues.append([prompt, line.removeprefix(f"{prompt}: ")])
        few = replace(task, texts=task.texts[:LENS_TEXTS], answers=task.answers[:LENS_TEXTS])
        layers += [[lens.prompt, lens.conclusion] for lens in chosen.layers(few)]
        print(f"{name}: done", flush=True)
    columns = ["prompt", "accuracy: none → prior fitted → prompt", "gain", "discrimination (95 %)", "AUC"]
    print(markdown([*columns, "became right / wrong"], gains))
    print(markdown(["prompt", "what it listens to"], cues))
    print(markdown(["prompt", "where the answer appears"], layers))
    columns = ["initialization", "prompts that found a label", "tokens", "by chance"]
    print(markdown(columns, [] if asked.smollm2 else found_rows()))


if __name__ == "__main__":
    main()
