"""What visitors' arrays took goes back to the system when they are freed, and what stays is not looked
through again and again.

Every run of a page is a thread of its own. glibc gives threads separate heaps, up to eight a core, and keeps
in them what it once took for arrays of up to 32 MB: after ten visitors the server holds far more than it
uses. See mallopt(3).
"""

import ctypes
import gc
from contextlib import suppress

M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8
"""of malloc.h"""
LARGE = 2**20
"""bytes from which on an array has pages of its own"""
HEAPS = 2


def bound() -> None:
    """Few heaps, and pages of their own for large arrays; nothing where the C library has no such
    settings.
    """
    with suppress(OSError, AttributeError, TypeError):
        library = ctypes.CDLL(None)
        library.mallopt(M_ARENA_MAX, HEAPS)
        library.mallopt(M_MMAP_THRESHOLD, LARGE)


def settle() -> None:
    """Take what is in memory now, imported modules above all, as there to stay.

    Streamlit looks for garbage among all objects after every run of a page; with torch and transformers
    imported that takes a fifth of a second, in which no other visitor is answered. What refers to itself in a
    circle and is in memory now is not freed later. See gc.freeze.
    """
    gc.collect()
    gc.freeze()
