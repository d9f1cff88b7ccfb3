"""`evaluate`: how often each prompt is right on labelled texts."""

from typing import TYPE_CHECKING

from explorer.cli.options import Csv, Data, Device, Dtype, Json, Labels, Model, NoPrompt, Overwrite, Prompts, Wide, label_values
from explorer.cli.output import Output, paragraph, records, table
from explorer.cli.processes import Processes
from explorer.cli.session import load_model, open_session
from explorer.wording import count

if TYPE_CHECKING:
    import pandas as pd


def evaluate(
    prompts: Prompts,
    data: Data,
    labels: Labels = None,
    no_prompt: NoPrompt = False,
    model: Model = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    wide: Wide = False,
    as_json: Json = False,
    csv: Csv = None,
    overwrite: Overwrite = False,
) -> None:
    """Score prompts on labelled texts.

    Accuracy and macro F1 by rank classification; the share of generated outputs that are no label. Under `accelerate launch`
    prompts are spread over its processes.
    """
    output, processes = Output(as_json, csv, overwrite=overwrite), Processes()
    with processes.failing_together():
        session = open_session(prompts, model, processes.device_for(device), dtype, processes.note, labels=label_values(labels))
        from explorer.tasks import read_task

        task = read_task(data, session.class_labels)
        mine, bare = processes.share([prompt.name for prompt in session.prompts]), no_prompt and processes.first
        rows: list[dict] = []
        if mine:
            chosen = session.only(*mine)
            load_model(chosen)
            rows = chosen.evaluate(task, bare).to_frame().to_dict("records")
    last = [rows.pop()] if bare else []
    found = [*processes.gathered(rows), *last]
    if processes.first:
        import pandas as pd

        frame = pd.DataFrame(found)
        output.write(lambda: records(frame), lambda: frame, lambda: f"{table(frame, wide)}\n\n{paragraph(_conclusion(frame))}")


def _conclusion(frame: "pd.DataFrame") -> str:
    """The best prompt, and how many texts it and the bare model are right on."""
    from explorer.evaluation.scoring import NO_PROMPT

    right = (frame["accuracy"] * frame["n"]).round().astype(int)
    bare = frame["prompt"] == NO_PROMPT
    best = right[~bare].idxmax()
    first = "Best: " if (~bare).sum() > 1 else ""
    without = f"; without a prompt the model is on {right[bare].iloc[0]}" if bare.any() else ""
    return f"{first}{frame.loc[best, 'prompt']} is right on {right[best]} of {count(int(frame.loc[best, 'n']), 'text')}{without}."
