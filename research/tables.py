"""The tables of checkpoints/README.md and of language models in docs/results.md: `python -m research.tables`
prints what study.py and decoders.py measured.
"""

import json
from collections.abc import Sequence

import pandas as pd

from explorer.choices import INITIALIZATIONS
from explorer.evaluation.domain_shift import MODEL_TUNING, PROMPT_TUNING
from explorer.system.files import MODELS, STUDY
from research.study import SIZES, USUAL_LENGTH


def markdown(header: list[str], rows: list[list[object]]) -> str:
    """A Markdown table."""
    lines: list[Sequence[object]] = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def model_table() -> str:
    """What the bundled models reached, from their own records."""
    names = [name for name in SIZES if (MODELS / name).is_dir()]
    columns = [model_figures(name) for name in names]
    return markdown(
        ["figure", *names], [[figure, *(column[figure] for column in columns)] for figure in columns[0]]
    )


def model_figures(name: str) -> dict[str, str]:
    """What one model reached."""
    record = json.loads((MODELS / name / "pretraining.json").read_text())
    final = record["final"]
    figures = {
        "tokens seen": f"{final['tokens']:,}",
        "steps": f"{final['step']:,}",
        "training time, hours (two cores, shared)": f"{record['seconds'] / 3600:.2f}",
        "span corruption loss, held out": f"{final['span_loss']:.2f} (gain {final['span_gain']:.2f})",
        "prefix language modelling loss, held out": f"{final['lm_loss']:.2f} (gain {final['lm_gain']:.2f})",
        f"related words within each other's 50 nearest ({final['related_pairs']} pairs)": f"{final['related_words']:.1%}",
        "linear probe of the encoder on `mr`": f"{final['probe_encoder']:.3f} (mean embeddings {final['probe_embeddings']:.3f})",
        "seed": str(record["config"]["seed"]),
    }
    if entropy := final.get("attention_entropy"):
        figures["attention entropy of the encoder's layers, nats"] = " ".join(
            f"{layer:.1f}" for layer in entropy
        )
    if trial := final.get("tuning_trial"):
        told = f"{trial['start']:.3f} → {trial['best']:.3f} (loss {trial['loss']:.2f})"
        figures[f"a prompt's dev accuracy on `subj`, start → best of {trial['steps']} steps"] = told
    return figures


def spread(values: pd.Series, digits: int = 3) -> str:
    """Mean ± standard deviation, a dash for nothing."""
    if values.isna().all():
        return "–"
    return f"{values.mean():.{digits}f}" + (f" ± {values.std():.{digits}f}" if len(values) > 1 else "")


def prompt_table(scores: pd.DataFrame) -> str:
    """Prompts of the usual length, and those that read as a sentence: by task and initialization, over
    seeds.
    """
    rows = []
    for (task, init), group in scores[scores["length"].isin((0, USUAL_LENGTH))].groupby(
        ["task", "initialization"], sort=False
    ):
        rows.append(
            [
                task,
                init,
                len(group),
                spread(group["dev"]),
                spread(group["test"]),
                spread(group["invalid_rate"]),
                f"{group['majority'].iloc[0]:.3f}",
            ]
        )
    return markdown(
        ["task", "initialization", "prompts", "dev", "test", "invalid output", "always the commonest label"],
        rows,
    )


def sweep_table(found: pd.DataFrame) -> str:
    """Dev accuracy by learning rate and steps, over seeds."""
    rows = []
    for (task, rate, steps), part in found.groupby(["task", "rate", "steps"], sort=False):
        rows.append(
            [
                task,
                f"{rate:g}",
                steps,
                f"{part['without_prompt'].iloc[0]:.3f}",
                spread(part["start"]),
                spread(part["dev"]),
            ]
        )
    return markdown(["task", "learning rate", "steps", "no prompt", "start", "best"], rows)


def length_table(scores: pd.DataFrame) -> str:
    """Prompts of the task and the initialization that have several lengths, over seeds."""
    prompts = scores[scores["initialization"].isin(INITIALIZATIONS)]
    several = prompts.groupby(["task", "initialization"]).filter(lambda part: part["length"].nunique() > 1)
    rows = []
    for (task, init, length), part in several.groupby(["task", "initialization", "length"]):
        rows.append([task, init, length, spread(part["dev"]), spread(part["test"])])
    return markdown(["task", "initialization", "length", "dev", "test"], rows)


def size_table(measured: pd.DataFrame) -> str:
    """Test accuracy by model, task and method, over seeds."""
    methods = list(dict.fromkeys(measured["method"]))
    rows = []
    for (model, parameters, task), part in measured.groupby(["model", "parameters", "task"], sort=False):
        told = [spread(part.loc[part["method"] == method, "test"]) for method in methods]
        prompts, models = (
            part.loc[part["method"] == method, "test"].mean() for method in (PROMPT_TUNING, MODEL_TUNING)
        )
        rows.append([model, f"{parameters / 1e6:.1f} M", task, *told, f"{models - prompts:+.3f}"])
    return markdown(["model", "parameters", "task", *methods, "model tuning − prompt tuning"], rows)


def ensemble_table(found: pd.DataFrame) -> str:
    """Members, their vote, and what it gains."""
    rows = [
        [
            *(
                row.task,
                row.members,
                row.prompts,
                f"{row.average:.3f}",
                f"{row.best:.3f}",
                f"{row.majority:.3f}",
                f"{row.mean_probability:.3f}",
            ),
            f"{row.gain_over_average:+.3f} ({row.gain_low:+.3f} to {row.gain_high:+.3f})",
            *(
                f"{row.kappa:.2f}",
                f"{row.calibration_error_members:.3f} → {row.calibration_error_mean_probability:.3f}",
            ),
        ]
        for row in found.itertuples()
    ]
    header = [
        "task",
        "members",
        "n",
        "average",
        "best",
        "majority vote",
        "mean probability",
        "vote over average (95 %)",
        "kappa",
        "calibration error",
    ]
    return markdown(header, rows)


def shift_table(summary: pd.DataFrame) -> str:
    """Accuracy by method and domain, mean ± deviation over seeds."""
    domains, rows = list(dict.fromkeys(summary["target"])), []
    for (method, init), part in summary.groupby(["method", "initialization"], sort=False):
        part = part.set_index("target")
        told = [
            f"{part.loc[d, 'accuracy']:.3f}"
            + ("" if pd.isna(part.loc[d, "deviation"]) else f" ± {part.loc[d, 'deviation']:.3f}")
            for d in domains
        ]
        rows.append([method if method == init else f"{method}, {init}", *told])
    return markdown(
        ["", *(f"{domain}{' (source)' * (place == 0)}" for place, domain in enumerate(domains))], rows
    )


def difference_table(differences: pd.DataFrame) -> str:
    """Prompt tuning minus model tuning on each domain, and how much less it drops."""
    rows = []
    for place, row in enumerate(differences.itertuples()):
        less = (
            f"{row.drop_difference:+.3f} ({row.drop_low:+.3f} to {row.drop_high:+.3f})" if place else "–"
        )  # the source comes first
        rows.append([row.target, f"{row.difference:+.3f} ({row.low:+.3f} to {row.high:+.3f})", less])
    return markdown(
        ["domain", "prompt tuning − model tuning (95 %)", "less drop from the source (95 %)"], rows
    )


def decoder_score_table(found: pd.DataFrame) -> str:
    """Prompts of a real language model: accuracy before and after."""
    rows = [
        [
            one.prompt,
            f"{one.without_prompt:.3f}",
            f"{one.start:.3f}",
            f"{one.dev:.3f}",
            f"{one.test_without_prompt:.3f}",
            f"{one.test:.3f}",
            f"{one.invalid_rate:.3f}",
        ]
        for one in found.itertuples()
    ]
    return markdown(
        ["prompt", "dev, no prompt", "dev, start", "dev", "test, no prompt", "test", "invalid output"], rows
    )


def decoder_reading_table(found: pd.DataFrame) -> str:
    """What the readings say of each: tokens of twenty."""
    rows = [
        [
            one.prompt,
            f"{one.labels_kept} of {one.began_as_label}" if one.began_as_label else "–",
            f"{one.label_cosine:.2f}" if one.began_as_label else "–",
            one.significant,
            one.significant_whitened,
            one.groups,
            one.taken_for_something,
            f"{one.said_is_nearest:.0%}",
        ]
        for one in found.itertuples()
    ]
    head = [
        "prompt",
        "label tokens that rank their label first",
        "their cosine to it",
        "nearer to a piece than random vectors",
        "… whitened",
    ]
    return markdown(
        [
            *head,
            "among words that belong together",
            "taken for something definite",
            "… for their nearest piece",
        ],
        rows,
    )


def decoder_word_table(found: pd.DataFrame) -> str:
    """The first tokens of each as words, by nearness and by the model itself."""
    rows = [[one.prompt, one.nearest_words, one.first_words] for one in found.itertuples()]
    return markdown(["prompt", "nearest pieces of tokens 0 to 5", "what the model takes them for"], rows)


def decoder_faithfulness_table(found: pd.DataFrame) -> str:
    """Accuracy with words and other things in a prompt's place."""
    from research.decoders import SHOWN

    names = [name for name in SHOWN if name in set(found["reading"])]
    rows = []
    for prompt, part in found.groupby("prompt", sort=False):
        accuracy = part.set_index("reading")["accuracy"]
        rows.append([prompt, *(f"{accuracy[name]:.2f}" for name in names)])
    return markdown(["prompt", *names], rows)


def tables() -> dict[str, str]:
    """Every table of checkpoints/README.md by its name, as Markdown; without those that were not measured
    yet.
    """
    made = {
        "sweep": ("sweep.csv", sweep_table),
        "prompts": ("prompts.csv", prompt_table),
        "lengths": ("prompts.csv", length_table),
        "sizes": ("sizes.csv", size_table),
        "ensembles": ("ensembles.csv", ensemble_table),
        "domain shift": ("shift-summary.csv", shift_table),
        "prompts beside whole models": ("shift-differences.csv", difference_table),
        "language model": ("decoders.csv", decoder_score_table),
        "language model, readings": ("decoders.csv", decoder_reading_table),
        "language model, words": ("decoders.csv", decoder_word_table),
        "language model, faithfulness": ("decoders-faithfulness.csv", decoder_faithfulness_table),
    }
    return {"models": model_table()} | {
        name: make(pd.read_csv(STUDY / file))
        for name, (file, make) in made.items()
        if (STUDY / file).is_file()
    }


def show(found: dict[str, str]) -> None:
    """Print tables under their names."""
    for name, table in found.items():
        print(f"{name}\n\n{table}\n", flush=True)


if __name__ == "__main__":
    show(tables())
