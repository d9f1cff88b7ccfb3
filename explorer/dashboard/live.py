"""What the frozen model answers, each question asked once: thin wrappers over `evaluation`. One model is in memory, for all sessions.

Keys as in `cached`. torch is imported by the first question.
"""

import time
from dataclasses import replace

import streamlit as st

from explorer.dashboard import cached
from explorer.dashboard.access import read_only
from explorer.dashboard.cached import KEYS, Opened, model_state
from explorer.errors import ExplorerError
from explorer.tasks import Task
from explorer.vocabulary import Vocabulary

TASK_KEYS = {Task: lambda task: (task.name, hash((task.texts, task.answers, task.labels)))}


@st.cache_resource(max_entries=1, show_spinner="Loading the frozen model (once; some seconds)", show_time=True)
def _model(name: str, state: str):
    """The frozen model, shared by all sessions: it has its own lock."""
    if read_only():
        raise ExplorerError("this dashboard is read-only and runs no model; start it without --read-only to ask the model")
    from explorer.models.encoder_decoder import FrozenT5

    return FrozenT5.load(name)


def _frozen(vocabulary: Vocabulary):
    """The model that a vocabulary is of."""
    return _model(vocabulary.name, model_state(vocabulary.name))


def model_memory(vocabulary: Vocabulary) -> tuple[int, str, tuple[str, ...]]:
    """Bytes that the frozen model's weights take, where they are, and what is odd about it."""
    frozen = _frozen(vocabulary)
    return frozen.memory, str(frozen.device), frozen.doubts


def unload_model() -> None:
    """Forget the frozen model; the next question loads it again. Answers already given stay."""
    import gc

    import torch

    _model.clear()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@st.cache_data(max_entries=32, hash_funcs=KEYS, show_spinner="The model answers", show_time=True)
def answers(chosen: tuple[Opened, ...], vocabulary: Vocabulary, text: str, names: tuple[str, ...]):
    """What every prompt, and no prompt, answers on a text, and the seconds it took."""
    from explorer.evaluation.scoring import predict

    frozen = _frozen(vocabulary)
    start = time.perf_counter()
    predictions = predict(frozen, [*(opened.prompt for opened in chosen), None], [text], names)
    return predictions, time.perf_counter() - start


@st.cache_data(max_entries=16, hash_funcs=KEYS | TASK_KEYS, show_spinner="The model answers with every stand-in", show_time=True)
def faithfulness(opened: Opened, vocabulary: Vocabulary, task: Task, names: tuple[str, ...]):
    """See explorer.evaluation.faithfulness."""
    from explorer.evaluation.faithfulness import faithfulness as run

    return run(_frozen(vocabulary), vocabulary, opened.prompt, replace(task, labels=names))


@st.cache_data(max_entries=32, hash_funcs=KEYS, show_spinner="Asking what the answer rests on", show_time=True)
def attribution(opened: Opened, vocabulary: Vocabulary, text: str, names: tuple[str, ...]):
    """See explorer.evaluation.attribution."""
    from explorer.evaluation.attribution import attribute

    return attribute(_frozen(vocabulary), vocabulary, opened.prompt, [text], names)


@st.cache_data(max_entries=16, hash_funcs=KEYS | TASK_KEYS, show_spinner="Every prompt answers every text, in shared batches", show_time=True)
def votes(members: tuple[Opened, ...], vocabulary: Vocabulary, task: Task, names: tuple[str, ...]):
    """See explorer.evaluation.ensemble."""
    from explorer.evaluation.ensemble import ensemble

    return ensemble(_frozen(vocabulary), [opened.prompt for opened in members], replace(task, labels=names))


@st.cache_data(max_entries=16, hash_funcs=KEYS, show_spinner="Timing one batch against separate passes", show_time=True)
def pass_times(members: tuple[Opened, ...], vocabulary: Vocabulary, given: tuple[str, ...], names: tuple[str, ...]):
    """See explorer.evaluation.ensemble."""
    from explorer.evaluation.ensemble import pass_times

    return pass_times(_frozen(vocabulary), [opened.prompt for opened in members], given, names)


@st.cache_data(max_entries=16, hash_funcs=KEYS, show_spinner="Every prompt answers every domain", show_time=True)
def shifted(members: tuple[Opened, ...], vocabulary: Vocabulary, domains: tuple[str, ...], names: tuple[str, ...]):
    """See explorer.evaluation.domain_shift; the first of the domains of example texts is the source."""
    from explorer.evaluation.domain_shift import DomainShift, answer

    tasks = [replace(cached.examples(domain), labels=names) for domain in domains]
    frozen = _frozen(vocabulary)
    return DomainShift(domains, tuple(answer(frozen, [*(opened.prompt for opened in members), None], tasks, generate=False)))
