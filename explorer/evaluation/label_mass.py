"""Does the decoder rather begin with the labels of a prompt's own task than with those of other tasks?
Prompts are permuted, never tokens.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb, prod

import numpy as np
import pandas as pd

from explorer.analysis.nulls import SIGNIFICANT_AT, stream
from explorer.evaluation.neutral_texts import where
from explorer.prompt import SoftPrompt
from explorer.results import Result
from explorer.vocabulary import Vocabulary
from explorer.words.pieces import Mark, readable
from explorer.words.wording import count

EXACT_UP_TO, DRAWS = 20_000, 9_999
ALL = "all tasks"
"""the row of the test over all tasks together"""
TIE = 1e-12
"""probability; relabelings that come so near count as reaching what was observed"""


@dataclass(frozen=True, eq=False, repr=False)
class LabelMass(Result):
    """Probability that the decoder's first piece begins a class label, of N prompts and the labels of T
    tasks, in A readings.

    Label mass: the sum over the different first pieces of a task's labels, 0…1.
    """

    prompts: tuple[str, ...]
    """[N] those whose labels are known"""
    texts: tuple[str, ...]
    """[A] as in DecoderReading"""
    tasks: tuple[str, ...]
    """[T]"""
    labels: tuple[tuple[str, ...], ...]
    """[T]"""
    pieces: tuple[tuple[str, ...], ...]
    """[T] what their labels begin with; tasks may share a piece"""
    own: np.ndarray
    """[N] int64, the task of each prompt"""
    mass: np.ndarray
    """[N, A, T] 0…1"""
    without_prompt: np.ndarray
    """[A, T] 0…1"""
    seed: int = 0
    mark: Mark = ""
    """how its pieces show where words begin or end"""

    @property
    def conclusion(self) -> str:
        """What to conclude, in one sentence."""
        frame = self.to_frame()
        last = frame[frame["text"] == self.texts[-1]].iloc[-1]
        if len(self.tasks) < 2:
            whole = frame[frame["task"] == self.tasks[0]].set_index("text")
            each = [
                f"{_share(row.own)} {where(text)} (without a prompt {_share(row.without_prompt)})"
                for text, row in whole[::-1].iterrows()
            ]
            return (
                f"With {count(len(self.prompts), 'prompt')} the decoder begins with one of "
                f"{', '.join(self.labels[0])} with probability {', '.join(each)}."
            )
        said = (
            f"Read {where(self.texts[-1])}, a prompt's own class labels begin what the decoder writes "
            f"with probability {_share(last['own'])} on average"
        )
        if last["difference"] <= 0:
            return f"{said}, no likelier than labels of other tasks ({_share(last['others'])})."
        if last["least_p"] > SIGNIFICANT_AT:
            return (
                f"{said}, labels of other tasks with {_share(last['others'])}; these prompts are too "
                "few to tell whether that is chance."
            )
        return (
            f"{said}, labels of other tasks with {_share(last['others'])}; a difference as large "
            f"comes with p {last['p']:.4f} when the prompts exchange their "
            f"tasks (the smallest possible: {last['least_p']:.4f})."
        )

    def to_frame(self) -> pd.DataFrame:
        """One row per reading and task, then one for all tasks: text, task, labels, prompts, own, others,
        difference, without_prompt, p, least_p.

        own: mean mass that the task's prompts give to its labels; others: that they give to labels of other
        tasks, mean over those; difference: own − others, above 0 a prompt brings its own labels;
        without_prompt: mass of its labels without any prompt. p: share of relabelings (which prompt belongs
        to which task) with as large a difference, over all of them where they are at most 20,000, else 9,999
        random ones (Phipson and Smyth 2010); least_p: the smallest p these prompts allow. others, difference,
        p are nan where there is one task only.
        """
        given, exact = relabelings(self.own, self.seed)
        rows = []
        for reading, text in enumerate(self.texts):
            mass = self.mass[:, reading]
            p = self._p(mass, given, exact)
            for task in range(len(self.tasks)):
                rows.append(
                    (
                        text,
                        self.tasks[task],
                        ", ".join(self.labels[task]),
                        *self._means(mass, reading, self.own == task),
                        p[task],
                    )
                )
            if len(self.tasks) > 1:
                rows.append((text, ALL, "", *self._means(mass, reading, self.own >= 0), p[-1]))
        columns = ["text", "task", "labels", "prompts", "own", "others", "difference", "without_prompt", "p"]
        frame = pd.DataFrame(rows, columns=columns)
        ways = [
            len(given) if task == ALL else comb(len(self.own), n)
            for task, n in zip(frame["task"], frame["prompts"], strict=True)
        ]
        least = 1 / np.array(ways, np.float64) if exact else 1 / (1 + len(given))
        return frame.assign(least_p=np.where(np.isnan(frame["p"]), np.nan, least))

    def prompt_frame(self) -> pd.DataFrame:
        """One row per prompt, reading and task: prompt, text, task, own (whether the prompt belongs to it),
        labels, pieces, mass, without_prompt.
        """
        return pd.DataFrame(
            [
                {
                    "prompt": prompt,
                    "text": text,
                    "task": task,
                    "own": bool(self.own[n] == t),
                    "labels": ", ".join(self.labels[t]),
                    "pieces": ", ".join(readable(piece, self.mark) for piece in self.pieces[t]),
                    "mass": self.mass[n, a, t],
                    "without_prompt": self.without_prompt[a, t],
                }
                for n, prompt in enumerate(self.prompts)
                for a, text in enumerate(self.texts)
                for t, task in enumerate(self.tasks)
            ]
        )

    def _means(
        self, mass: np.ndarray, reading: int, chosen: np.ndarray
    ) -> tuple[int, float, float, float, float]:
        """Of some prompts: their number, mean mass of their own labels, of other tasks', the difference, and
        of their own without a prompt.
        """
        own, rest = _own_and_others(mass[chosen], self.own[chosen])
        return (
            int(chosen.sum()),
            own.mean(),
            rest.mean(),
            (own - rest).mean(),
            self.without_prompt[reading, self.own[chosen]].mean(),
        )

    def _p(self, mass: np.ndarray, given: np.ndarray, exact: bool) -> np.ndarray:
        """[T + 1] p of each task and of all together; mass: [N, T]; given: relabelings [R, N]."""
        tasks = len(self.tasks)
        if tasks < 2:
            return np.full(tasks + 1, np.nan)
        score = mass - (mass.sum(axis=1, keepdims=True) - mass) / (
            tasks - 1
        )  # [N, T] what a prompt would add if the task were its own
        places = np.arange(len(self.own))

        def differences(rows: np.ndarray) -> np.ndarray:
            """[R, T + 1] of relabelings [R, N]."""
            added = score[places, rows]
            each = [
                np.where(rows == task, added, 0).sum(axis=1) / max(1, (self.own == task).sum())
                for task in range(tasks)
            ]
            return np.column_stack([*each, added.mean(axis=1)])

        extreme = (differences(given) >= differences(self.own[None]) - TIE).sum(axis=0)
        return extreme / len(given) if exact else (1 + extreme) / (1 + len(given))


def label_mass(
    prompts: Sequence[SoftPrompt],
    texts: tuple[str, ...],
    sets: Sequence[tuple[str, ...]],
    firsts: Sequence[np.ndarray],
    vocabulary: Vocabulary,
    mass: np.ndarray,
    without_prompt: np.ndarray,
    recorded: bool,
    seed: int = 0,
) -> LabelMass:
    """Label mass of prompts [N, A, T], and without one [A, T], for T sets of labels that begin with `firsts`
    (ids).

    recorded: whether a prompt belongs to the set that it records, and those that record none are left out;
    else all belong to the one set there is.
    """
    number = {frozenset(one): t for t, one in enumerate(sets)}
    own = np.array(
        [number.get(frozenset(prompt.origin.labels or ()), -1) if recorded else 0 for prompt in prompts],
        np.int64,
    )
    kept = np.flatnonzero(own >= 0)
    members = [prompt for prompt, task in zip(prompts, own, strict=True) if task >= 0]
    pieces = tuple(tuple(vocabulary.pieces[token_id] for token_id in ids) for ids in firsts)
    tasks = _task_names(members, own[kept], sets) if recorded else (" / ".join(sets[0]),)
    return LabelMass(
        tuple(prompt.name for prompt in members),
        texts,
        tasks,
        tuple(sets),
        pieces,
        own[kept],
        mass[kept],
        without_prompt,
        seed,
        vocabulary.mark,
    )


def relabelings(own: np.ndarray, seed: int = 0) -> tuple[np.ndarray, bool]:
    """Ways to say which prompt belongs to which task, as many prompts to each as there are: [R, N] int64, and
    whether those are all.

    own: [N] int64, the task of each prompt. All of them where they are at most 20,000, what is observed among
    them; else 9,999 random ones.
    """
    sizes = np.bincount(own)
    left = np.cumsum(sizes[::-1])[::-1].tolist()
    if prod(comb(total, size) for total, size in zip(left, sizes.tolist(), strict=True)) <= EXACT_UP_TO:
        return np.array(list(_all_relabelings(tuple(range(len(own))), sizes.tolist(), len(own)))), True
    generator = stream(seed, "tasks of prompts")
    return np.array([generator.permutation(own) for _ in range(DRAWS)]), False


def _all_relabelings(
    free: tuple[int, ...], sizes: list[int], length: int, task: int = 0
) -> Iterator[np.ndarray]:
    """Every way to give the prompts `free` to tasks from `task` on: [N], 0 at prompts that are not free."""
    if task == len(sizes):
        yield np.zeros(length, np.int64)
        return
    for chosen in combinations(free, sizes[task]):
        rest = tuple(n for n in free if n not in chosen)
        for one in _all_relabelings(rest, sizes, length, task + 1):
            one[list(chosen)] = task
            yield one


def _own_and_others(mass: np.ndarray, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[n] mass of each prompt's own labels, [n] mean over the other tasks' (nan where there are none); mass:
    [n, T].
    """
    mine = mass[np.arange(len(own)), own]
    return mine, (mass.sum(axis=1) - mine) / (mass.shape[1] - 1) if mass.shape[1] > 1 else np.full(
        len(own), np.nan
    )


def _task_names(
    prompts: Sequence[SoftPrompt], own: np.ndarray, sets: Sequence[tuple[str, ...]]
) -> tuple[str, ...]:
    """What each set of labels is called: by the tasks that its prompts record, by the labels where they
    record none or another set is called so.
    """
    found = [
        dict.fromkeys(
            prompt.origin.task or "" for prompt, task in zip(prompts, own, strict=True) if task == number
        )
        for number in range(len(sets))
    ]
    names = ["" if "" in tasks else ", ".join(tasks) for tasks in found]
    return tuple(
        name if name and names.count(name) == 1 else " / ".join(labels)
        for name, labels in zip(names, sets, strict=True)
    )


def _share(probability: float) -> str:
    return "less than 0.001" if probability < 0.001 else f"{probability:.3f}"
