"""What pages read without the model, each reading made once: thin wrappers over the modules below. `live` has those that run the model.

Keys are names, paths with the state of their files, and settings; never arrays. Everything is bounded.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import streamlit as st

from explorer.analysis import clusters, labels, norms
from explorer.analysis import hubness as hub
from explorer.analysis import neighbors as nearest
from explorer.analysis import trajectory as trajectories
from explorer.analysis.compare import matching
from explorer.analysis.map import place as placing
from explorer.errors import DataError, ExplorerError, ModelError
from explorer.files import MODELS, PROMPTS
from explorer.formats import find_prompts
from explorer.models.loading import model_folder
from explorer.prompt import SoftPrompt
from explorer.tasks import Task, read_task
from explorer.vocabulary import Vocabulary

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"
STUDY = MODELS.parent / "study"
LONGEST_UPLOAD = 500
"""labelled texts that a page runs the model on"""
NULLS = 1000
"""random vectors that p-values compare with; the command line's default"""


@dataclass(frozen=True, eq=False)
class Opened:
    """A prompt with the path it was read from and the state of its files at that time."""

    prompt: SoftPrompt
    path: Path
    state: str

    @property
    def name(self) -> str:
        """What the prompt is called here: different for every prompt below the folder."""
        return self.prompt.name


@dataclass(frozen=True)
class Broken:
    """What looks like a prompt and cannot be read."""

    path: Path
    error: ExplorerError


KEYS = {
    Opened: lambda opened: (opened.name, str(opened.path), opened.state),
    Vocabulary: lambda vocabulary: (vocabulary.name, str(vocabulary.path), vocabulary.fingerprint),
}
"""what stands for a prompt and a vocabulary in a key"""


def collection() -> tuple[Opened | Broken, ...]:
    """Everything below the folder of EXPLORER_PROMPTS (default: the bundled prompts), read again when a file changed."""
    folder = os.environ.get("EXPLORER_PROMPTS") or str(PROMPTS)
    return _read(folder, state(folder), id(Opened))


def without_folder(text: str) -> str:
    """A message without the path of the folder of prompts."""
    return text.replace(f"{os.environ.get('EXPLORER_PROMPTS') or PROMPTS}/", "")


@st.cache_data(ttl=5, max_entries=4, show_spinner=False)
def state(path: str) -> str:
    """Names, sizes and times of all files below a path; looked at again after some seconds."""
    lines = []
    for file in sorted(Path(path).rglob("*")):
        with suppress(OSError):  # gone meanwhile, or not to be read: whoever opens it will say so
            known = file.stat()
            lines.append(f"{file} {known.st_size} {known.st_mtime_ns}")
    return "\n".join(lines)


@st.cache_resource(max_entries=2, show_spinner="Reading the prompts")
def _read(folder: str, state: str, code: int) -> tuple[Opened | Broken, ...]:
    """`code` changes when this module is edited and loaded anew: what was cached before is of another class then."""
    read = list(find_prompts(folder))
    names = [prompt.name for _, prompt in read if isinstance(prompt, SoftPrompt)]
    return tuple(_opened(folder, path, prompt, names, state) for path, prompt in read)


def _opened(folder: str, path: Path, prompt: SoftPrompt | ExplorerError, names: list[str], state: str) -> Opened | Broken:
    if isinstance(prompt, ExplorerError):
        return Broken(path, prompt)
    if names.count(prompt.name) > 1 and path != Path(folder):
        prompt = replace(prompt, name=path.relative_to(folder).as_posix())
    return Opened(prompt, path, state)


def vocabulary(model: str) -> Vocabulary:
    """The vocabulary of a model. Raises ModelError when it cannot be read."""
    read = _vocabulary(model, model_state(model), id(Vocabulary))
    if isinstance(read, ModelError):
        raise read
    return read


def model_state(model: str) -> str:
    """The state of a local model's files; empty for one that is not here."""
    return next((state(str(folder)) for folder in (Path(model), MODELS / model) if folder.is_dir()), "")


@st.cache_resource(max_entries=3, show_spinner="Reading the vocabulary")
def _vocabulary(model: str, state: str, code: int) -> Vocabulary | ModelError:
    """A failure is kept like a success: asking a hub that is not there takes long."""
    try:
        return Vocabulary.load(model)
    except ModelError as error:
        return error


@st.cache_data(max_entries=64, show_spinner=False)
def folder(model: str) -> Path | None:
    """The folder of a model; None when there is none."""
    try:
        return model_folder(model)
    except ModelError:
        return None


@st.cache_data(max_entries=64, hash_funcs=KEYS, show_spinner="Searching the neighbors")
def neighbors(
    opened: Opened, vocabulary: Vocabulary, k: int, metric: nearest.Metric, include_special: bool = False, merge_variants: bool = False
) -> nearest.NearestNeighbors:
    """See explorer.analysis.neighbors."""
    return nearest.nearest_neighbors(opened.prompt, vocabulary, k, metric, include_special, merge_variants, NULLS)


@st.cache_data(max_entries=64, hash_funcs=KEYS, show_spinner=False)
def centered_neighbors(opened: Opened, vocabulary: Vocabulary, k: int) -> nearest.NearestNeighbors:
    """See explorer.analysis.neighbors."""
    return nearest.centered_neighbors(opened.prompt, vocabulary, k)


@st.cache_data(max_entries=8, hash_funcs=KEYS, show_spinner=False)
def hubness(vocabulary: Vocabulary) -> hub.Hubness:
    """See explorer.analysis.hubness."""
    return hub.hubness(vocabulary)


@st.cache_data(max_entries=64, hash_funcs=KEYS, show_spinner="Comparing clusters with random vectors", show_time=True)
def coherence(opened: Opened, vocabulary: Vocabulary, k: int) -> clusters.Coherence:
    """See explorer.analysis.clusters."""
    return clusters.coherence(opened.prompt, vocabulary, k, NULLS)


@st.cache_data(max_entries=64, hash_funcs=KEYS, show_spinner="Comparing redundancy with random rotations", show_time=True)
def redundancy(opened: Opened, vocabulary: Vocabulary, k: int) -> clusters.Redundancy:
    """See explorer.analysis.clusters."""
    return clusters.redundancy(opened.prompt, vocabulary, k)


@st.cache_data(max_entries=64, hash_funcs=KEYS, show_spinner="Comparing with the class labels")
def label_reading(opened: Opened, vocabulary: Vocabulary, names: tuple[str, ...], others: tuple[str, ...] = ()) -> labels.LabelReading:
    """See explorer.analysis.labels; `others` are labels of other tasks."""
    return labels.read_labels(opened.prompt, vocabulary, names, NULLS, other_labels=others)


@st.cache_data(max_entries=128, hash_funcs=KEYS, show_spinner="Measuring norms")
def norm_reading(opened: Opened, vocabulary: Vocabulary) -> norms.Norms:
    """See explorer.analysis.norms."""
    return norms.read_norms(opened.prompt, vocabulary)


@st.cache_data(max_entries=16, hash_funcs=KEYS, show_spinner="Reading every prompt", show_time=True)
def compared(chosen: tuple[Opened, ...], vocabulary: Vocabulary, by: comparison.Grouping, k: int) -> comparison.Comparison:
    """See explorer.analysis.compare.groups."""
    return comparison.compare([opened.prompt for opened in chosen], vocabulary, by, k, NULLS)


@st.cache_data(max_entries=8, hash_funcs=KEYS, show_spinner="Matching prompt against prompt", show_time=True)
def pairs(chosen: tuple[Opened, ...], vocabulary: Vocabulary) -> pd.DataFrame:
    """See explorer.analysis.compare.matching."""
    return matching.pairs([opened.prompt for opened in chosen], vocabulary)


@st.cache_data(max_entries=8, hash_funcs=KEYS, show_spinner=False)
def likeness(everyone: tuple[Opened, ...]) -> np.ndarray:
    """Cosine of mean tokens [N, N]; see explorer.analysis.compare.matching."""
    return matching.mean_token_similarity([opened.prompt for opened in everyone])


@st.cache_resource(
    max_entries=2, hash_funcs=KEYS, show_spinner="Drawing the map of the vocabulary: some seconds the first time, then it is kept", show_time=True
)
def vocabulary_map(vocabulary: Vocabulary) -> projection.VocabularyMap:
    """See explorer.analysis.map.fit."""
    return projection.load_map(vocabulary)


@st.cache_data(max_entries=64, hash_funcs=KEYS, show_spinner=False)
def placement(opened: Opened, vocabulary: Vocabulary, before_training: bool = False) -> placing.Placement:
    """A prompt on the map as it is, or as it was before training."""
    placed = placing.place_prompt(opened.prompt.at(0) if before_training else opened.prompt, vocabulary, vocabulary_map(vocabulary))
    return replace(placed, prompt=opened.name, kind="initial" if before_training else "prompt")


@st.cache_data(max_entries=32, hash_funcs=KEYS, show_spinner=False)
def label_placement(names: tuple[str, ...], vocabulary: Vocabulary) -> placing.Placement:
    """Class labels on the map."""
    return placing.place_labels(names, vocabulary, vocabulary_map(vocabulary))


@st.cache_data(max_entries=32, hash_funcs=KEYS, show_spinner=False)
def trajectory(opened: Opened, vocabulary: Vocabulary) -> tuple[np.ndarray, np.ndarray]:
    """Where a prompt's tokens were on the map: steps [S] and places [S, P, 2]."""
    return placing.place_trajectory(opened.prompt, vocabulary, vocabulary_map(vocabulary))


@st.cache_data(max_entries=32, hash_funcs=KEYS, show_spinner=False)
def changes(opened: Opened, vocabulary: Vocabulary) -> pd.DataFrame:
    """See explorer.analysis.trajectory."""
    return trajectories.neighbor_changes(opened.prompt, vocabulary)


@st.cache_data(max_entries=8, show_spinner=False)
def examples(domain: str) -> Task:
    """The example texts of a domain."""
    return read_task(EXAMPLES / f"{domain}.tsv")


def domains() -> Iterator[str]:
    """Domains there are example texts of."""
    return (path.stem for path in sorted(EXAMPLES.glob("*.tsv")))


@st.cache_data(max_entries=8, show_spinner=False)
def uploaded(name: str, content: bytes, labels: tuple[str, ...]) -> Task:
    """Labelled texts of an uploaded file, read from a private temporary file. Raises DataError for what is no task of these labels."""
    with TemporaryDirectory() as private:
        path = Path(private) / f"texts{Path(name).suffix.lower()}"
        path.write_bytes(content)
        try:
            task = read_task(path, labels)
        except ExplorerError as error:
            raise DataError(str(error).replace(str(path), name)) from error
    if len(task) > LONGEST_UPLOAD:
        raise DataError(f"{name}: {len(task):,} texts; expected at most {LONGEST_UPLOAD:,} here: use `python -m explorer faithfulness`")
    return replace(task, name=name)


@st.cache_data(max_entries=8, show_spinner=False)
def study(table: str, state: float) -> pd.DataFrame:
    """A table of the bundled study; state: when its file was last changed."""
    return pd.read_csv(STUDY / table)


def study_table(table: str) -> pd.DataFrame | None:
    """A table of the bundled study (checkpoints/study), or None where it is not here."""
    file = STUDY / table
    return study(table, file.stat().st_mtime) if file.is_file() else None
