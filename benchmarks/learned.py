"""How long `gain`, `cues` and `layers` take beside `evaluate` on the same texts: `python
benchmarks/learned.py DATA` (DATA holds mr/test.tsv). Prints processor seconds and their ratio; `layers` is
the lens and the knock-out together.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import explorer
from explorer.texts.tasks import Task


def seconds(work: Callable[[], object]) -> float:
    """Processor seconds."""
    start = time.process_time()
    work()
    return time.process_time() - start


def first(task: Task, texts: int) -> Task:
    """The first texts of a task."""
    return replace(task, texts=task.texts[:texts], answers=task.answers[:texts])


def again(task: Task) -> Task:
    """The same texts to a model, others to what is remembered."""
    return replace(task, texts=tuple(f"{text} " for text in task.texts))


def main(data: Path) -> None:
    """Measure and print."""
    session = explorer.open("sentiment/class-label-0")
    session.model.label_probabilities(session.prompts, ["to begin with"], session.class_labels)
    whole = explorer.read_task(data / "mr" / "test.tsv", session.class_labels)
    rows: list[tuple[str, int, float, Callable[[Task], object], Callable[[Task], object]]] = [
        ("gain", 500, 1.3, session.gain, lambda task: session.evaluate(task, no_prompt=True)),
        ("cues", 1000, 4, session.cues, session.evaluate),
        ("layers", 200, 1.5, session.layers, session.evaluate),
    ]
    for name, texts, bound, reading, evaluate in rows:
        task = first(whole, texts)
        beside, taken = seconds(partial(evaluate, task)), seconds(partial(reading, again(task)))
        ratio = f"{taken / beside:.2f} (at most {bound})"
        print(f"{name}, {len(task)} texts: {taken:.1f} s, evaluate {beside:.1f} s, ratio {ratio}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
