"""Tables that the command line, the pages and the report show alike: what is here, what was read, each token
with its neighbors.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from explorer import readings
from explorer.analysis.clusters import Clusters
from explorer.analysis.neighbors import NearestNeighbors
from explorer.errors import ExplorerError
from explorer.formats import prompt_name
from explorer.prompt import SoftPrompt
from explorer.readings.reading import REQUIRED, Reading, Table
from explorer.session import Session
from explorer.words.pieces import readable
from explorer.words.wording import count, printable

T5_SIZES = {512: "small", 768: "base", 1024: "large", 2048: "XL", 4096: "XXL"}


def what_was_read(prompt: SoftPrompt) -> dict[str, object]:
    """The card of a checkpoint: where it lay and in which format, what of it is the prompt, what was dropped,
    where it comes from.

    Keys: name, path, format, key, length, dimension, dtype, dropped_rows, likely_base (a guess from the
    width, None where the base model is recorded or the width tells nothing), norms [P], trajectory_steps,
    warnings, origin.
    """
    origin = asdict(prompt.origin)
    del origin["uploaded"]
    size = T5_SIZES.get(prompt.dimension)
    return {
        "name": prompt.name,
        "path": origin.pop("path"),
        "format": origin.pop("format"),
        "key": origin.pop("key"),
        "length": prompt.length,
        "dimension": prompt.dimension,
        "dtype": origin.pop("dtype"),
        "dropped_rows": origin.pop("dropped_rows"),
        "likely_base": f"T5 {size}, by its width" if size and prompt.origin.base_model is None else None,
        "norms": np.linalg.norm(prompt.vectors, axis=1),
        "trajectory_steps": None if prompt.trajectory is None else prompt.trajectory.steps,
        "warnings": origin.pop("warnings"),
        "origin": origin | {"dev_accuracy": prompt.origin.dev_accuracy, "gain": prompt.origin.gain},
    }


def in_short(prompt: SoftPrompt) -> str:
    """What was read, in one sentence: how many vectors, what they were tuned for and how well that went, what
    to doubt.
    """
    origin = prompt.origin
    tuned = f", tuned for {origin.task}" if origin.task else ""
    began = f" from the initialization {origin.initialization}" if origin.initialization else ""
    alone = "" if origin.without_prompt is None else f" ({origin.without_prompt:.1%} without a prompt)"
    reached = (
        "" if origin.dev_accuracy is None else f", right on {origin.dev_accuracy:.1%} of its dev set{alone}"
    )
    doubts = [count(len(origin.warnings), "warning")] * bool(origin.warnings) + [
        f"{count(origin.dropped_rows, 'row')} dropped"
    ] * bool(origin.dropped_rows)
    doubted = f"; {' and '.join(doubts)}" if doubts else ""
    return (
        f"{prompt.name}: {count(prompt.length, 'vector')} of width "
        f"{prompt.dimension:,}{tuned}{began}{reached}{doubted}."
    )


def conclusions(session: Session) -> dict[str, str]:
    """What to conclude of the session's one prompt, one sentence a reading of its vectors, by the reading's
    name.
    """
    (prompt,) = session.prompts
    neighbors = session.neighbors()[0]
    said = {
        "clusters": session.clusters()[0].conclusion,
        "neighbors": neighbors.conclusion,
        **({"metrics": neighbors.disagreement} if neighbors.disagreement else {}),
        "decomposition": session.decompose()[0].conclusion,
        "norms": session.norms()[0].conclusion,
    }
    if session.settings.labels or prompt.origin.labels:
        said["labels"] = session.labels()[0].conclusion
    if prompt.trajectory is not None:
        said["training"] = session.changes()[0].conclusion
    return said


def card_in_words(prompt: SoftPrompt) -> dict[str, str]:
    """The card for people: one short text for each entry that is known."""
    card, origin = what_was_read(prompt), prompt.origin
    norms = np.sort(np.linalg.norm(prompt.vectors, axis=1))
    steps = None if prompt.trajectory is None else prompt.trajectory.steps
    words = {
        "format": origin.format,
        "path": origin.path,
        "array": origin.key,
        "shape": f"{count(prompt.length, 'token')} × {prompt.dimension}",
        "dtype": origin.dtype,
        "rows dropped": f"{origin.dropped_rows}" if origin.dropped_rows else "none",
        "base model": origin.base_model
        or (f"not recorded; probably {card['likely_base']}" if card["likely_base"] else "not recorded"),
        "task": origin.task,
        "labels": ", ".join(origin.labels or ()) or None,
        "initialization": origin.initialization or "not recorded",
        "began as": ", ".join(map(str, origin.rows)) if origin.rows else None,
        "seed": origin.seed,
        "step": origin.step,
        "dev accuracy": None if origin.dev_accuracy is None else f"{origin.dev_accuracy:.3f}",
        "without a prompt": None if origin.without_prompt is None else f"{origin.without_prompt:.3f}",
        "norms": f"{norms[0]:.4g} to {norms[-1]:.4g}, median {np.median(norms):.4g}",
        "trajectory": None
        if steps is None
        else (
            f"{len(steps)} steps, {steps[0]} to "
            f"{steps[-1]}{'' if prompt.initial is not None else ', begun before'}"
        ),
        "history": f"{len(origin.history)} measurements" if origin.history else None,
        "warnings": "; ".join(origin.warnings) or "none",
    }
    return {name: str(word) for name, word in words.items() if word is not None}


def list_prompts(found: Iterable[tuple[Path | None, SoftPrompt | ExplorerError]]) -> pd.DataFrame:
    """One row per prompt found: name, path, format, base_model, task, initialization, seed, length,
    dimension, step, dev_accuracy, without_prompt and gain (what the prompt adds to it), norm (median over its
    tokens), error. A broken prompt has its name, path and error only.
    """
    about = [
        "name",
        "path",
        "format",
        "base_model",
        "task",
        "initialization",
        "seed",
        "length",
        "dimension",
        "step",
    ]
    measured = ["dev_accuracy", "without_prompt", "gain", "norm"]
    columns = [*about, *measured, "error"]
    rows = [
        _broken(path, prompt) if isinstance(prompt, ExplorerError) else _row(path, prompt)
        for path, prompt in found
    ]
    frame = pd.DataFrame([dict.fromkeys(columns) | row for row in rows], columns=columns)
    return frame.astype(
        dict.fromkeys(("seed", "length", "dimension", "step"), "Int64") | dict.fromkeys(measured, "float64")
    )


def _row(path: Path | None, prompt: SoftPrompt) -> dict[str, object]:
    origin = prompt.origin
    return {
        "name": prompt.name,
        "path": None if path is None else printable(path),
        "format": origin.format,
        "base_model": origin.base_model,
        "task": origin.task,
        "initialization": origin.initialization,
        "seed": origin.seed,
        "length": prompt.length,
        "dimension": prompt.dimension,
        "step": origin.step,
        "dev_accuracy": origin.dev_accuracy,
        "without_prompt": origin.without_prompt,
        "gain": origin.gain,
        "norm": float(np.median(np.linalg.norm(prompt.vectors, axis=1))),
    }


def _broken(path: Path | None, error: ExplorerError) -> dict[str, object]:
    place = Path() if path is None else path
    return {
        "name": prompt_name(place.resolve() if os.path.exists(place) else place),
        "path": printable(place),
        "error": printable(error),
    }


def reported(session: Session, decoder: bool = True) -> Iterator[tuple[Reading, Table, pd.DataFrame]]:
    """The tables of every reading that prompts alone allow, the rows of all prompts in one table of each
    kind; without `decoder` those that no model runs for.
    """
    for reading in readings.READINGS:
        tables = [table for table in reading.tables if table.reported]
        given = all(parameter.default is not REQUIRED for parameter in reading.parameters)
        names = session.readable(reading) if tables and given else ()
        if names and (decoder or "model" not in reading.needs):
            session.progress(reading.question)
            result = session.only(*names).read(reading)
            for table in tables:
                yield reading, table, table.frame(result)


def sources(prompt: SoftPrompt) -> list[str]:
    """What each token began as, for people; empty where it is not recorded."""
    rows = prompt.origin.rows
    return (
        [""] * prompt.length
        if rows is None
        else [readable(str(row)) if row.piece is not None else str(row) for row in rows]
    )


def neighbor_table(prompt: SoftPrompt, found: NearestNeighbors) -> pd.DataFrame:
    """One row a token, for people: position, source, its neighbors in columns 1 … k (hubs with an asterisk),
    first and last (scores), margin, and p and q of the first where there is a null.
    """
    frame = pd.DataFrame({"position": np.arange(prompt.length), "source": sources(prompt)})
    scores = pd.DataFrame(
        {"first": found.similarity[:, 0], "last": found.similarity[:, -1], "margin": found.margin}
    )
    scores.loc[list(found.special)] = np.nan
    if found.null is not None:
        scores = scores.assign(p=found.p[:, 0], q=found.q[:, 0])
    return pd.concat([frame, ranked_words(found), scores], axis=1)


def group_words(found: Clusters) -> list[str]:
    """The words of each token's group, with commas; what a special row is."""
    return [
        f"is {found.special[position]}" if position in found.special else ", ".join(words)
        for position, words in enumerate(found.groups)
    ]


def ranked_words(found: NearestNeighbors) -> pd.DataFrame:
    """The neighbors of each token in columns 1 … k as people read them, hubs with an asterisk."""
    words = [
        [readable(piece, found.mark) + " *" * bool(hub) for piece, hub in zip(*row, strict=True)]
        for row in zip(found.pieces, found.hub, strict=True)
    ]
    for position, piece in found.special.items():
        words[position] = [f"is {piece}"] + [""] * (len(words[position]) - 1)
    return pd.DataFrame(words, columns=[str(rank) for rank in range(1, found.token_ids.shape[1] + 1)])
