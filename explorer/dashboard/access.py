"""What visitors may do here. A read-only dashboard takes no files and never runs the model: it shows what lies in its folder of prompts."""

import os

READ_ONLY = "EXPLORER_READ_ONLY"
"""set to 1: no uploads, no model"""
FOLDERS = "EXPLORER_FOLDERS"
"""set to 1 where the app serves only whoever sits at this machine: behind a proxy every visitor looks like that"""


def folders() -> bool:
    """Whether visitors may name folders of the server's machine."""
    return os.environ.get(FOLDERS, "") not in ("", "0")


def read_only() -> bool:
    """Whether uploads and every page that runs the model are left out."""
    return os.environ.get(READ_ONLY, "") not in ("", "0")
