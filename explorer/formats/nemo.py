"""NeMo's `.nemo` files: a tar, gzipped or not, whose `model_weights.ckpt` holds a prompt table with one
prompt per task.
"""

import re
from pathlib import Path
from tempfile import TemporaryDirectory

from explorer.errors import PromptError
from explorer.formats.archives import GZIP, tar_member
from explorer.formats.declared import Format
from explorer.formats.stored import choose, load, starts_with
from explorer.formats.torch_arrays import list_torch
from explorer.prompt import Origin, SoftPrompt

WEIGHTS = "model_weights.ckpt"
TABLE = re.compile(r"(?:.*\.)?prompt_table\.(?P<task>.+)\.prompt_embeddings\.weight")
_MAGIC_AT, _MAGIC = 257, b"ustar"


def recognizes(path: Path) -> bool:
    """Whether `path` is a tar file, or a gzipped one called `.nemo`."""
    if path.suffix == ".nemo" and path.is_file():
        return True
    try:
        if not path.is_file() or starts_with(path, GZIP):
            return False
        with path.open("rb") as file:
            file.seek(_MAGIC_AT)
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def read(path: Path, name: str, key: str | None = None) -> SoftPrompt:
    """Read the prompt of one task; `key` names the task where there are several.

    Raises PromptError when the archive is damaged or hostile, holds no prompt table, or several tasks and
    none is named.
    """
    content = tar_member(path, WEIGHTS)
    if content is None:
        raise PromptError(
            f"{path}: a tar file without {WEIGHTS}; expected a .nemo file of a prompt-learning model"
        )
    with TemporaryDirectory() as private:
        file = Path(private) / "weights.ckpt"
        file.write_bytes(content)
        try:
            arrays = list_torch(file)
        except PromptError as error:
            raise PromptError(str(error).replace(str(file), f"{path}, {WEIGHTS}")) from error
        tables = {
            match["task"]: stored
            for place, stored in arrays.items()
            if (match := TABLE.fullmatch(place)) and stored.matrix
        }
        key = choose(path, tables or arrays, key, tables)
        vectors = load(path, key, (tables or arrays)[key])
    return SoftPrompt(vectors, name, Origin("nemo", path, key, (tables or arrays)[key].dtype, task=key))


USAGE = ("NeMo, the prompt of one task", '"prompts.nemo#task"')
FORMAT = Format("nemo", "NeMo", recognizes, read, (USAGE,))
