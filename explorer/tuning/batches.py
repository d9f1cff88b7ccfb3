"""Which examples a run sees at which step: its data order, and texts of like length side by side."""

from dataclasses import replace

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from explorer.models.frozen import FrozenModel
from explorer.models.passes import attention_mask
from explorer.texts.tasks import Task

BATCHES_PER_POOL = 16
IGNORED = -100


class Examples:
    """A task's texts and targets in pieces, and the order in which a run sees them."""

    def __init__(self, model: FrozenModel, task: Task, batch_size: int):
        self.batch_size, self.device = batch_size, model.device
        self.texts = [torch.tensor(ids) for ids in model.text_ids(task.texts)]
        self.lengths = np.array([len(ids) for ids in self.texts])
        ids = map(torch.tensor, model.targets(task.labels))
        targets = dict(zip(task.labels, ids, strict=True))
        self.targets = [targets[answer] for answer in task.answers]
        """of each example; they end with eos"""
        self.labels = list(targets.values())
        """of each class label"""

    def __len__(self) -> int:
        """The number of examples."""
        return len(self.texts)

    def batch(self, seed: int, step: int) -> np.ndarray:
        """The examples of a run at a step, [B]: a function of seed and step alone, so that a resumed run sees
        the same.

        An epoch is a permutation by the run's seed, cut into pools of many batches; within a pool texts of
        like length share a batch. Which length comes when is the same for all runs, so that runs in one pass
        pad little.
        """
        per_epoch = len(self) // self.batch_size
        if per_epoch == 0:
            return np.random.default_rng([seed, step]).choice(len(self), self.batch_size)
        epoch, place = divmod(step, per_epoch)
        order = np.random.default_rng([seed, epoch]).permutation(len(self))
        pool, place = divmod(place, BATCHES_PER_POOL)
        batches = min(BATCHES_PER_POOL, per_epoch - pool * BATCHES_PER_POOL)
        first = pool * BATCHES_PER_POOL * self.batch_size
        members = order[first : first + batches * self.batch_size]
        by_length = members[np.argsort(self.lengths[members], kind="stable")].reshape(batches, -1)
        return by_length[np.random.default_rng([epoch, pool]).permutation(batches)[place]]

    def inputs(self, examples: np.ndarray, front: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Pieces of texts [R, T], padded at the right, and their attention mask [R, front + T] with `front`
        prompt tokens before them.
        """
        ids = pad_sequence([self.texts[e] for e in examples], batch_first=True).to(self.device)
        lengths = torch.from_numpy(self.lengths[examples] + front).to(self.device)
        return ids, attention_mask(lengths, front + ids.shape[1])

    def wanted(self, examples: np.ndarray) -> torch.Tensor:
        """Pieces of the targets [R, U]; IGNORED after a target's end."""
        return pad_sequence([self.targets[e] for e in examples], batch_first=True, padding_value=IGNORED).to(
            self.device
        )


def drawn(task: Task, count: int | None) -> Task:
    """The task, or `count` of its examples drawn by a fixed seed, in their old order."""
    if count is None or count >= len(task):
        return task
    chosen = np.sort(np.random.default_rng(0).choice(len(task), count, replace=False))
    return replace(
        task, texts=tuple(task.texts[i] for i in chosen), answers=tuple(task.answers[i] for i in chosen)
    )
