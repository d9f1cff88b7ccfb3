"""What visitors may do here. A read-only dashboard takes no files and never runs the model: it shows what
lies in its folder of prompts.
"""

import os
import re
import tempfile
from pathlib import Path

from explorer.system.files import BUNDLE, MODELS, PROMPTS, cache_folder

READ_ONLY = "EXPLORER_READ_ONLY"
"""set to 1: no uploads, no model"""
FOLDERS = "EXPLORER_FOLDERS"
"""set to 1 where the app serves only whoever sits at this machine: behind a proxy every visitor looks like
that
"""


def folders() -> bool:
    """Whether visitors may name folders of the server's machine."""
    return os.environ.get(FOLDERS, "") not in ("", "0")


def read_only() -> bool:
    """Whether uploads and every page that runs the model are left out."""
    return os.environ.get(READ_ONLY, "") not in ("", "0")


_PATH = re.compile(r"(?<![\w/.])/(?:[^\s/:;,()'\"]+/)+")
"""the folders of an absolute path"""


def without_paths(text: str) -> str:
    """A text without the folders of this server: what is named by its path keeps its last part. As it is
    where visitors may name folders themselves.
    """
    return text if folders() else _PATH.sub("", without_roots(text))


def without_roots(text: str) -> str:
    """A text without the folders that this server was started with, and those of its own files."""
    model = os.environ.get("EXPLORER_MODEL") or ""
    given = [os.environ.get("EXPLORER_PROMPTS"), os.path.dirname(model) if os.path.isabs(model) else None]
    own = [PROMPTS, MODELS, BUNDLE, cache_folder(), Path(tempfile.gettempdir()), os.path.expanduser("~")]
    roots = {str(root).rstrip("/") for root in (*given, *own) if root is not None} - {"", "."}
    for root in sorted(roots, key=len, reverse=True):
        text = text.replace(f"{root}/", "")
    return text
