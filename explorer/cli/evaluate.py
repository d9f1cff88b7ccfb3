"""`evaluate`: how often each prompt is right on labelled texts."""

from typing import TYPE_CHECKING

from explorer.cli.processes import Processes
from explorer.cli.reading import Asked, Command, command
from explorer.cli.session import load_model
from explorer.readings import EVALUATE

if TYPE_CHECKING:
    from explorer.evaluation.scoring import Scores


def _result(asked: Asked) -> "Scores | None":
    """The scores of all processes, in the first one."""
    from explorer.evaluation.scoring import Scores

    processes, no_prompt = Processes(), asked.typed["no_prompt"]
    asked.progress = processes.note
    asked.typed["device"] = processes.device_for(asked.typed["device"])
    with processes.failing_together():
        session, task = asked.session, asked.task
        mine = processes.share([prompt.name for prompt in session.prompts])
        bare = no_prompt and processes.first
        scores: list[Scores] = []
        if mine:
            chosen = session.only(*mine)
            load_model(chosen)
            scores = chosen.evaluate(task, bare).each()
    last = [scores.pop()] if bare else []
    found = [*processes.gathered(scores), *last]
    return Scores.joined(found) if processes.first else None


evaluate = command(Command(EVALUATE, result=_result))
