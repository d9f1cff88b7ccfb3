"""What the bundled prompts answer on the example texts, so that pages show it at once: `python -m
research.kept_answers` writes `checkpoints/answers/`.

What is known already is not computed again, what belongs to another model, prompt or text is dropped (see
explorer.cached.kept). After a change of code that computes answers, `python -m research.kept_answers --rekey`
computes a seeded sample of every kind and model again: kinds whose sample comes out the same stand beside the
present source from then on, the others are computed anew.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from explorer.cached import disk
from explorer.cached.kept import Question, Shipped, write_shipped
from explorer.context import LocalLoader
from explorer.prompt import SoftPrompt
from explorer.session import Session
from explorer.system.files import ANSWERS, EXAMPLES
from explorer.texts.tasks import Task, read_task
from explorer.vocabulary import Vocabulary
from research.study import USUAL_LENGTH, bundled

T = TypeVar("T")
SAMPLE, SEED = 3, 0
"""answers of every kind and model that are computed again, drawn with this seed"""
TOLERANCE = 1e-4
"""how far numbers of two computations may be apart, absolutely and relatively"""


class Keeping(Shipped):
    """Keeps what it is asked and does not find; `save` writes it. What was kept before and is not asked again
    is dropped.
    """

    def __init__(self, model: Path, folder: Path = ANSWERS):
        super().__init__(model, folder)
        self.found, self.made = 0, 0
        """how many answers were known, and how many were computed"""
        self.sources: dict[str, str] = {}
        self._asked: dict[str, msgspec.Raw] = {}

    def has(self, question: Question) -> bool:
        """Whether `answer` would find something."""
        return self.name(question) in self._asked or super().has(question)

    def answer(self, question: Question, of: type[T], make: Callable[[], T]) -> T:
        """Like `Shipped.answer`; what is made is kept."""
        name = self.name(question)
        if name in self._asked:
            return disk.unpack(self._asked[name], of)
        self.sources[question.kind] = question.computed_by
        if super().has(question):
            self.found += 1
            self._asked[name] = self._stored.answers[name]
            return self.read(question, of)
        made = make()
        self._asked[name] = msgspec.Raw(disk.pack(made))
        self.made += 1
        return made

    def save(self) -> None:
        """Write what was asked. Raises WriteError when the disk does not take it."""
        write_shipped(self.file, self.sources, self._asked)


class Asked(Shipped):
    """Notes what is asked, takes all that is known for right, and computes the chosen answers again."""

    def __init__(self, model: Path, folder: Path = ANSWERS):
        super().__init__(model, folder)
        self.questions: dict[str, Question] = {}
        self.chosen: set[str] = set()
        self.differing: dict[str, float] = defaultdict(float)
        """by kind: the largest difference of a chosen answer to what is known, in units of TOLERANCE"""

    def has(self, question: Question) -> bool:
        """Whether it is known, and not to be computed again."""
        name = self.name(question)
        self.questions[name] = question
        return name in self._stored.answers and name not in self.chosen

    def answer(self, question: Question, of: type[T], make: Callable[[], T]) -> T:
        """What is known; of the chosen ones what is computed now, which is compared."""
        if self.has(question):
            return self.read(question, of)
        made, name = make(), self.name(question)
        if name in self.chosen:
            known = msgspec.msgpack.decode(self._stored.answers[name])
            apart = difference(msgspec.msgpack.decode(disk.pack(made)), known)
            self.differing[question.kind] = max(self.differing[question.kind], apart)
        return made

    def choose(self) -> None:
        """Draw SAMPLE known answers of every kind to be computed again."""
        kinds: dict[str, list[str]] = defaultdict(list)
        for name, question in sorted(self.questions.items()):
            if name in self._stored.answers:
                kinds[question.kind].append(name)
        draw = np.random.default_rng(SEED)
        for names in kinds.values():
            self.chosen |= set(draw.choice(names, min(SAMPLE, len(names)), replace=False).tolist())

    def rekey(self) -> None:
        """Write the same answers beside the present source, without the kinds that differ."""
        good = {
            question.kind: question.computed_by
            for name, question in self.questions.items()
            if name in self.chosen and self.differing[question.kind] <= 1
        }
        kept = {
            name: raw
            for name, raw in self._stored.answers.items()
            if name in self.questions and self.questions[name].kind in good
        }
        write_shipped(self.file, good, kept)


def difference(value: Any, other: Any) -> float:
    """How far two answers, as they are written, are apart in units of TOLERANCE; infinite where they are of
    another shape, or differ in what is no number.
    """
    if isinstance(value, dict) and isinstance(other, dict) and value.keys() == other.keys():
        if value.keys() == {"dtype", "shape", "data"} and value["shape"] == other["shape"]:
            pair = [np.frombuffer(one["data"], one["dtype"]) for one in (value, other)]
            if all(array.dtype.kind == "f" for array in pair):
                return _apart(*pair)
            return 0.0 if np.array_equal(*pair) else np.inf
        return max((difference(value[name], other[name]) for name in value), default=0.0)
    if isinstance(value, list) and isinstance(other, list) and len(value) == len(other):
        return max(map(difference, value, other), default=0.0)
    if isinstance(value, float) and isinstance(other, float | int):
        return _apart(np.array(value), np.array(float(other)))
    return 0.0 if value == other else np.inf


def _apart(value: np.ndarray, other: np.ndarray) -> float:
    if (np.isnan(value) != np.isnan(other)).any():
        return np.inf
    apart = np.abs(value - other) / (TOLERANCE * (1 + np.abs(other)))
    return float(np.nanmax(apart, initial=0.0)) if not np.isnan(apart).all() else 0.0


class KeepingLoader(LocalLoader):
    """A loader whose models keep what they are asked."""

    def __init__(self, keeper: type[Shipped], keepers: dict[str, Shipped] | None = None) -> None:
        super().__init__(device="cpu", dtype="float32")
        self.keeper, self.keepers = keeper, {} if keepers is None else keepers

    def kept(self, vocabulary: Vocabulary) -> Shipped:
        """What the model of a vocabulary answered before."""
        assert vocabulary.path is not None
        if vocabulary.name not in self.keepers:
            self.keepers[vocabulary.name] = self.keeper(vocabulary.path)
        return self.keepers[vocabulary.name]


def keep(prompts: list[SoftPrompt], loader: LocalLoader) -> None:
    """Every reading that a page takes of these prompts of one task and one model."""
    session = Session(prompts, loader=loader)
    examples = [read_task(file) for file in sorted(EXAMPLES.glob("*.tsv"))]
    fitting: list[Task] = [task for task in examples if set(task.labels) <= set(session.class_labels)]
    for task in fitting:
        session.evaluate(task, no_prompt=True, generate=False)
    session.clusters()
    session.significant_groups()
    session.redundancy()
    for prompt in prompts:
        if prompt.length == USUAL_LENGTH and prompt.origin.seed == 0:
            one = session.only(prompt.name)
            one.faithfulness(fitting[0])
            one.attribution(fitting[0].texts[0])


def keep_all(loader: KeepingLoader, model: str | None = None) -> None:
    """All bundled prompts, or those of one model, model by model and task by task."""
    for _, members in groupby(bundled(model), lambda prompt: (prompt.origin.base_model, prompt.origin.task)):
        keep(list(members), loader)


def check(model: str | None = None) -> dict[str, Asked]:
    """What is asked of each model, with a sample of every kind computed again and compared."""
    first = KeepingLoader(Asked)
    keep_all(first, model)
    keepers: dict[str, Asked] = first.keepers  # type: ignore[assignment]
    for asked in keepers.values():
        asked.choose()
    keep_all(KeepingLoader(Asked, first.keepers), model)
    return keepers


def main() -> None:
    """Write what is missing; with --rekey check what is known first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--rekey", action="store_true", help="prove by a sample that known answers still hold"
    )
    if parser.parse_args().rekey:
        for name, asked in check().items():
            for kind, apart in sorted(asked.differing.items()):
                said = "holds" if apart <= 1 else "is computed anew"
                print(f"{name}: {kind} {said} ({apart:.3g} of the tolerance at most)", flush=True)
            asked.rekey()
    loader = KeepingLoader(Keeping)
    keep_all(loader)
    for name, kept in loader.keepers.items():
        assert isinstance(kept, Keeping)
        kept.save()
        print(
            f"{name}: {kept.made} answers computed, {kept.found} known already; "
            f"{kept.file.stat().st_size / 2**20:.1f} MiB in {kept.file}"
        )


if __name__ == "__main__":
    main()
