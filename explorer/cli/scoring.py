"""Commands that score prompts on labelled texts: alone, on other domains, and as voters."""

from typing import Annotated

import typer

from explorer.cli.choosing import class_labels, load_model, read_prompts
from explorer.cli.options import Csv, Data, Json, Labels, Model, NoPrompt, Overwrite, Prompts, Seed
from explorer.cli.output import Output, cell, frame_table, plain, records
from explorer.errors import DataError


def evaluate(
    prompts: Prompts,
    data: Data,
    labels: Labels = None,
    no_prompt: NoPrompt = False,
    model: Model = None,
    as_json: Json = False,
    csv: Csv = None,
    overwrite: Overwrite = False,
) -> None:
    """Score prompts on labelled texts.

    Accuracy and macro F1 by rank classification; the share of generated outputs that are no label.
    """
    output = Output(as_json, csv, overwrite=overwrite)
    read = read_prompts(prompts)
    chosen = class_labels(read, labels)
    from explorer.tasks import read_task

    task = read_task(data, chosen)
    from explorer.cli.processes import Processes

    processes = Processes()
    frozen = load_model(read, model, processes.device)
    import pandas as pd

    from explorer.evaluation.scoring import evaluate as run

    with processes.failing_together():
        mine = processes.share([*read, None] if no_prompt else read)
        rows = run(frozen, mine, task, progress=processes.note).to_frame().to_dict("records") if mine else []
    if found := processes.gathered(rows):
        frame = pd.DataFrame(found)
        output.write(lambda: records(frame), lambda: frame, lambda: frame_table(frame))


def shift(
    prompts: Prompts,
    source: Annotated[str, typer.Option("--source", metavar="FILE", show_default=False, help="Labelled texts of the domain they were tuned on, held out.")],
    target: Annotated[list[str], typer.Option("--target", metavar="FILE", show_default=False, help="Labelled texts of another domain; may be repeated.")],
    tuned_model: Annotated[
        list[str] | None, typer.Option("--tuned-model", metavar="DIR", help="A model of `train --tune model` to compare with; may be repeated.")
    ] = None,
    renamed: Annotated[list[str] | None, typer.Option("--map", metavar="LABEL=LABEL", help="What a target's label is called in the source.")] = None,
    labels: Labels = None,
    no_prompt: NoPrompt = False,
    generate: Annotated[bool, typer.Option("--generate/--no-generate", help="Also generate, for the invalid-output rate.")] = True,
    summary: Annotated[str | None, typer.Option("--summary", metavar="FILE", help="Means and deviations over seeds as CSV in a file.")] = None,
    seed: Seed = 0,
    model: Model = None,
    as_json: Json = False,
    csv: Csv = None,
    overwrite: Overwrite = False,
) -> None:
    """Test what was tuned on one domain on others, as it is.

    Prompts, and whole models beside them: accuracy on the source and on every target, mean ± deviation over seeds, and paired
    differences. Under `accelerate launch` prompts and models are spread over its processes.
    """
    output, summary_output = Output(as_json, csv, overwrite=overwrite), Output(csv=summary, overwrite=overwrite)
    read = read_prompts(prompts)
    chosen = class_labels(read, labels)
    from explorer.cli.processes import Processes
    from explorer.evaluation.domain_shift import DomainShift, answer, answer_with_model, mapped
    from explorer.models.encoder_decoder import FrozenT5
    from explorer.tasks import read_task, task_name
    from explorer.tuning.whole_models import read_tuned_model

    names, domains = _renaming(renamed or []), [task_name(file) for file in (source, *target)]
    if len(set(domains)) < len(domains):
        domains = [source, *target]
    tasks = [mapped(read_task(file), names, chosen) for file in (source, *target)]
    models = [read_tuned_model(folder) for folder in tuned_model or []]
    for one in models:
        if set(one.labels) != set(chosen):
            raise DataError(f"{one.path}: was tuned on the labels {', '.join(one.labels)}; expected {', '.join(chosen)}: leave it out or give --labels")
    processes = Processes()
    with processes.failing_together():
        mine = processes.share([*read, None] if no_prompt else read)
        answered = answer(load_model(read, model, processes.device), mine, tasks, generate, processes.note) if mine else []
        of_models = [
            answer_with_model(FrozenT5.load(one.path, device=processes.device), one.name, one.seed, tasks, generate, processes.note)
            for one in processes.share(models)
        ]
    found = [*processes.gathered(answered), *processes.gathered(of_models)]
    if not processes.first:
        return
    result = DomainShift(tuple(domains), tuple(found), seed)
    frame, means, differences = result.to_frame(), result.summary(), result.differences()
    if summary is not None:
        summary_output.write(lambda: None, lambda: means)

    def text() -> str:
        parts = [frame_table(frame.drop(columns=["method", "source"])), "means over seeds", frame_table(means.drop(columns="source"))]
        if len(differences):
            parts += ["prompt tuning minus model tuning, paired over texts", frame_table(differences.drop(columns="source"))]
        return "\n\n".join(parts)

    output.write(lambda: records(frame), lambda: frame, text)


def _renaming(pairs: list[str]) -> dict[str, str]:
    """LABEL=LABEL pairs. Raises typer.BadParameter for what is none, or for one label with two names."""
    found: dict[str, str] = {}
    for pair in pairs:
        old, sign, new = (part.strip() for part in pair.partition("="))
        if not old or not sign or not new or found.get(old, new) != new:
            raise typer.BadParameter(f"found {pair!r}; expected LABEL=LABEL, each label once, such as pos=positive", param_hint="--map")
        found[old] = new
    return found


def ensemble(
    prompts: Prompts,
    data: Data,
    labels: Labels = None,
    seed: Seed = 0,
    model: Model = None,
    as_json: Json = False,
    csv: Csv = None,
    overwrite: Overwrite = False,
) -> None:
    """Let prompts vote, all in one batch.

    Members, their average, the best one, majority vote (ties by summed log-probability) and mean probability.
    """
    output = Output(as_json, csv, overwrite=overwrite)
    read = read_prompts(prompts)
    chosen = class_labels(read, labels)
    from explorer.tasks import read_task

    task = read_task(data, chosen)
    from explorer.evaluation.ensemble import ensemble as run

    result = run(load_model(read, model), read, task, seed=seed)
    frame, record = result.to_frame(), result.to_record()

    def text() -> str:
        agreement = (
            f"{len(task)} texts; {record['disagreement']:.1%} on which not all {len(read)} agree, {record['tied']:.1%} tied "
            f"(decided by summed log-probability); Fleiss' kappa {cell(record['kappa'])}"
        )
        return f"{frame_table(frame.drop(columns='kind'))}\n\n{agreement}"

    output.write(lambda: plain(record), lambda: frame, text)
