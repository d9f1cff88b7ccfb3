"""Every reading of one prompt, as the Python API, the command line and the pages show it; and CSV that is safe to open."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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
            nearest_neighbors(prompt, vocabulary, k, metric),
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
