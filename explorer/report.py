"""Every reading of one prompt, as the Python API, the command line and the pages show it; and CSV that is safe to open."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from explorer.analysis.clusters import Coherence, Redundancy, coherence, redundancy
from explorer.analysis.labels import LabelReading, read_labels
from explorer.analysis.neighbors import Metric, NearestNeighbors, nearest_neighbors
from explorer.analysis.norms import Norms, read_norms
from explorer.errors import ExplorerError
from explorer.formats import prompt_name
from explorer.prompt import SoftPrompt
from explorer.vocabulary import Vocabulary

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, eq=False)
class PromptReport:
    """Every reading of one prompt."""

    prompt: SoftPrompt
    neighbors: NearestNeighbors
    coherence: Coherence
    redundancy: Redundancy
    labels: LabelReading | None
    """None when neither the prompt nor the caller names class labels"""
    norms: Norms

    @classmethod
    def of(
        cls,
        prompt: SoftPrompt,
        vocabulary: Vocabulary,
        k: int = 10,
        metric: Metric = "cosine",
        labels: Sequence[str] | None = None,
        nulls: int = 1000,
        seed: int = 0,
    ) -> "PromptReport":
        """Read a prompt. `metric` is the neighbor table's; coherence and redundancy always use cosine.

        labels: by default those the prompt records. Raises what the readings raise: PromptError for another width,
        ExplorerError for k or nulls below 1 or an unknown metric.
        """
        known = labels or prompt.origin.labels
        return cls(
            prompt,
            nearest_neighbors(prompt, vocabulary, k, metric, nulls=nulls, seed=seed),
            coherence(prompt, vocabulary, k, nulls, seed),
            redundancy(prompt, vocabulary, k, seed=seed),
            read_labels(prompt, vocabulary, known, nulls, seed) if known else None,
            read_norms(prompt, vocabulary),
        )

    def frames(self) -> dict[str, pd.DataFrame]:
        """The tables by name: neighbors, coherence, redundancy, norms and, where there are labels, labels, persistence, dispersion."""
        frames = {
            "neighbors": self.neighbors.to_frame(),
            "coherence": self.coherence.to_frame(),
            "redundancy": self.redundancy.to_frame(),
            "norms": self.norms.to_frame(),
        }
        if self.labels is not None:
            frames["labels"] = self.labels.to_frame()
            frames["persistence"] = self.labels.persistence_frame()
            frames["dispersion"] = self.labels.dispersion_frame()
        return frames


T5_SIZES = {512: "small", 768: "base", 1024: "large", 2048: "XL", 4096: "XXL"}


def what_was_read(prompt: SoftPrompt) -> dict[str, object]:
    """The card of a checkpoint: where it lay and in which format, what of it is the prompt, what was dropped, where it comes from.

    Keys: name, path, format, key, length, dimension, dtype, dropped_rows, likely_base (a guess from the width, None where the
    base model is recorded or the width tells nothing), norms [P], trajectory_steps, warnings, origin.
    """
    origin = asdict(prompt.origin)
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
        "origin": origin | {"dev_accuracy": prompt.origin.dev_accuracy},
    }


def card_in_words(prompt: SoftPrompt) -> dict[str, str]:
    """The card for people: one short text for each entry that is known."""
    card, origin = what_was_read(prompt), prompt.origin
    norms = np.sort(card["norms"])
    steps = card["trajectory_steps"]
    words = {
        "format": origin.format,
        "path": origin.path,
        "array": origin.key,
        "shape": f"{prompt.length} tokens × {prompt.dimension}",
        "dtype": origin.dtype,
        "rows dropped": f"{origin.dropped_rows}" if origin.dropped_rows else "none",
        "base model": origin.base_model or (f"not recorded; probably {card['likely_base']}" if card["likely_base"] else "not recorded"),
        "task": origin.task,
        "labels": ", ".join(origin.labels or ()) or None,
        "initialization": origin.initialization or "not recorded",
        "began as": ", ".join(map(str, origin.rows)) if origin.rows else None,
        "seed": origin.seed,
        "step": origin.step,
        "dev accuracy": None if origin.dev_accuracy is None else f"{origin.dev_accuracy:.3f}",
        "norms": f"{norms[0]:.4g} to {norms[-1]:.4g}, median {np.median(norms):.4g}",
        "trajectory": None if steps is None else f"{len(steps)} steps, {steps[0]} to {steps[-1]}{'' if prompt.initial is not None else ', begun before'}",
        "history": f"{len(origin.history)} measurements" if origin.history else None,
        "warnings": "; ".join(origin.warnings) or "none",
    }
    return {name: str(word) for name, word in words.items() if word is not None}


def safe_csv(frame: pd.DataFrame) -> str:
    """A frame as CSV text without its index, lines ending in a line feed.

    Text cells that a spreadsheet would run as a formula get a leading apostrophe; numbers stay as they are.
    """
    rows = _Rows()
    frame.apply(_without_formulas).to_csv(rows, index=False, lineterminator="\r\n")
    return "".join(rows)


class _Rows(list):
    """CSV rows that end in a line feed. The csv module is told they end in "\\r\\n": then it quotes cells with a return in them too."""

    def write(self, row: str) -> None:
        self.append(row.removesuffix("\r\n") + "\n")


def _without_formulas(column: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column
    return column.map(lambda cell: f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_STARTS) else cell)


def list_prompts(found: Iterable[tuple[Path, SoftPrompt | ExplorerError]]) -> pd.DataFrame:
    """One row per prompt found: name, path, format, base_model, task, initialization, seed, length, dimension, step,
    dev_accuracy, norm (median over its tokens), error. A broken prompt has its name, path and error only.
    """
    columns = ["name", "path", "format", "base_model", "task", "initialization", "seed", "length", "dimension", "step", "dev_accuracy", "norm", "error"]
    rows = [_broken(path, prompt) if isinstance(prompt, ExplorerError) else _row(path, prompt) for path, prompt in found]
    frame = pd.DataFrame([dict.fromkeys(columns) | row for row in rows], columns=columns)
    return frame.astype(dict.fromkeys(("seed", "length", "dimension", "step"), "Int64") | dict.fromkeys(("dev_accuracy", "norm"), "float64"))


def _row(path: Path, prompt: SoftPrompt) -> dict[str, object]:
    origin = prompt.origin
    return {
        "name": prompt.name,
        "path": str(path),
        "format": origin.format,
        "base_model": origin.base_model,
        "task": origin.task,
        "initialization": origin.initialization,
        "seed": origin.seed,
        "length": prompt.length,
        "dimension": prompt.dimension,
        "step": origin.step,
        "dev_accuracy": origin.dev_accuracy,
        "norm": float(np.median(np.linalg.norm(prompt.vectors, axis=1))),
    }


def _broken(path: Path, error: ExplorerError) -> dict[str, object]:
    return {"name": prompt_name(path.resolve()), "path": str(path), "error": str(error)}
