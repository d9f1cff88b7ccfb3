"""Several processes, as `accelerate launch` starts them: what each takes of the work, and how results come
together.

Without a launcher there is one process, which takes everything, and Accelerate is not even imported.
"""

import atexit
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

from explorer.choices import Device
from explorer.cli.output import note
from explorer.errors import ExplorerError, WriteError
from explorer.system.files import locked

T = TypeVar("T")

LOCK = ".lock"
"""a file in the folder that runs are written to while they are tuned"""


class Processes:
    """This process among those of its launch."""

    def __init__(self) -> None:
        self.count, self.rank, self.device, self._state = 1, 0, "auto", None
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            import torch
            from accelerate import PartialState

            self._state = PartialState(cpu=not torch.cuda.is_available())
            atexit.register(
                self._state.destroy_process_group
            )  # else gloo's threads may abort a dying interpreter (pytorch #179291)
            self.count, self.rank, self.device = (
                self._state.num_processes,
                self._state.process_index,
                str(self._state.device),
            )

    @property
    def first(self) -> bool:
        """Whether this process prints the results."""
        return self.rank == 0

    def device_for(self, asked: Device) -> str:
        """Where this process runs a model: where it was asked to, else on the device that the launcher gave
        it.
        """
        return self.device if asked == "auto" else asked

    def share(self, items: Sequence[T]) -> list[T]:
        """What this process takes: every n-th."""
        return list(items)[self.rank :: self.count]

    def gathered(self, mine: Sequence[T]) -> list[T]:
        """The items of all processes in the order they were shared out, in the first process; nothing in the
        others. Waits for all.
        """
        if self._state is None:
            return list(mine)
        from accelerate.utils import gather_object

        everyone = gather_object([(place * self.count + self.rank, item) for place, item in enumerate(mine)])
        return [item for _, item in sorted(everyone, key=lambda pair: pair[0])] if self.first else []

    @contextmanager
    def alone_in(self, folder: Path) -> Iterator[None]:
        """Within, no other launch works in this folder: the first process holds its lock for all. Raises
        WriteError, in all, where one does.
        """
        refused: list[WriteError | None] = [None]
        with ExitStack() as stack:
            if self.first:
                try:
                    stack.enter_context(locked(folder / LOCK))
                except WriteError as error:
                    refused = [error]
            if self._state is not None:
                from accelerate.utils import broadcast_object_list

                broadcast_object_list(refused)
            if refused[0] is not None:
                raise refused[0]
            yield

    def note(self, message: str) -> None:
        """Progress or a warning, with the process that says it where there are several."""
        note(message if self.count == 1 else f"[{self.rank}] {message}")

    @contextmanager
    def failing_together(self) -> Iterator[None]:
        """Work that the others wait for: an error here is said with the process it happened in, and ends the
        launch.
        """
        try:
            yield
        except ExplorerError as error:
            if self.count > 1:
                raise ExplorerError(f"process {self.rank} of {self.count}: {error}", error.setting) from error
            raise
