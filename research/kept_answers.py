"""What the bundled prompts answer on the example texts, so that pages show it at once: `python -m
research.kept_answers` writes `checkpoints/answers/`.

What is known already is not computed again, what belongs to another model, prompt or text is dropped (see
explorer.kept).
"""

from itertools import groupby

from explorer.context import LocalLoader
from explorer.kept import Keeping
from explorer.prompt import SoftPrompt
from explorer.session import Session
from explorer.system.files import EXAMPLES
from explorer.texts.tasks import Task, read_task
from explorer.vocabulary import Vocabulary
from research.study import USUAL_LENGTH, bundled


class KeepingLoader(LocalLoader):
    """A loader whose models keep what they are asked."""

    def __init__(self) -> None:
        super().__init__(device="cpu", dtype="float32")
        self.keeping: dict[str, Keeping] = {}

    def kept(self, vocabulary: Vocabulary) -> Keeping | None:
        """What the model of a vocabulary answered before."""
        assert vocabulary.path is not None
        return self.keeping.setdefault(vocabulary.name, Keeping(vocabulary.path))


def keep(prompts: list[SoftPrompt], loader: LocalLoader) -> None:
    """Every reading that a page takes of these prompts of one task and one model."""
    session = Session(prompts, loader=loader, progress=print)
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


def main() -> None:
    """All bundled prompts, model by model and task by task."""
    loader = KeepingLoader()
    for _, members in groupby(bundled(), key=lambda prompt: (prompt.origin.base_model, prompt.origin.task)):
        keep(list(members), loader)
    for name, kept in loader.keeping.items():
        kept.save()
        print(
            f"{name}: {kept.made} answers computed, {kept.found} known already; "
            f"{kept.file.stat().st_size / 2**20:.1f} MiB in {kept.file}"
        )


if __name__ == "__main__":
    main()
