"""`evaluate`: how often each prompt is right on labelled texts."""

from explorer.choices import LONGEST_INPUT
from explorer.cli import options
from explorer.cli.labelled import Columns, labelled
from explorer.cli.output import Output, concluded, records, table
from explorer.cli.processes import Processes
from explorer.cli.session import load_model, open_session


def evaluate(
    prompts: options.Prompts,
    data: options.Data,
    labels: options.Labels = None,
    no_prompt: options.NoPrompt = False,
    text_column: options.TextColumn = None,
    label_column: options.LabelColumn = None,
    max_length: options.MaxLength = LONGEST_INPUT,
    template: options.Template = None,
    model: options.Model = None,
    revision: options.Revision = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    wide: options.Wide = False,
    as_json: options.Json = False,
    csv: options.Csv = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Score prompts on labelled texts.

    Accuracy and macro F1 by rank classification; the share of generated outputs that are no label. Under
    `accelerate launch` prompts are spread over its processes.
    """
    output, processes = Output(as_json, csv, overwrite=overwrite), Processes()
    with processes.failing_together():
        session = open_session(
            prompts,
            model,
            processes.device_for(device),
            dtype,
            processes.note,
            labels=options.label_values(labels),
            max_length=max_length,
            template=template,
            revision=revision,
        )
        from explorer.evaluation.scoring import Scores

        task = labelled(session, data, Columns(text_column, label_column))
        mine, bare = (
            processes.share([prompt.name for prompt in session.prompts]),
            no_prompt and processes.first,
        )
        scores: list[Scores] = []
        if mine:
            chosen = session.only(*mine)
            load_model(chosen)
            scores = chosen.evaluate(task, bare).each()
    last = [scores.pop()] if bare else []
    found = [*processes.gathered(scores), *last]
    if processes.first:
        result = Scores.joined(found)
        frame = result.to_frame()
        output.write(
            lambda: records(frame),
            lambda: frame,
            lambda: concluded(result.conclusion, table(frame, wide), wide),
        )
