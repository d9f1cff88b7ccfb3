"""How long `python -m explorer neighbors PROMPT` takes, against only importing the libraries it cannot do
without.

Both run alternately in fresh processes, so that a busy machine slows both; the ratio of each pair is what
counts. Usage: python benchmarks/startup.py [--runs 15] [PROMPT]
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IMPORTS = "import numpy, pandas, faiss, safetensors, tokenizers"
PROMPT = "sentiment/class-label-0"
ALLOWED = 2.0


def seconds(arguments: list[str]) -> float:
    """Wall-clock time of one fresh Python process. Raises CalledProcessError when it fails."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, env=environment)
    return time.perf_counter() - started


def compare(imports: str, command: list[str], runs: int, allowed: float) -> bool:
    """Print the medians and the ratio of alternating pairs; whether the median ratio is within what is
    allowed.

    One pair goes before, unmeasured, to fill the disk cache.
    """
    arguments = ["-m", "explorer", *command]
    pairs = [(seconds(["-c", imports]), seconds(arguments)) for _ in range(runs + 1)][1:]
    ratios = sorted(ours / theirs for theirs, ours in pairs)
    median, low, high = statistics.median(ratios), ratios[len(ratios) // 10], ratios[-1 - len(ratios) // 10]
    print(f"{imports}: median {statistics.median(pair[0] for pair in pairs):.2f} s")
    print(f"python {' '.join(arguments)}: median {statistics.median(pair[1] for pair in pairs):.2f} s")
    print(
        f"ratio: median {median:.2f}, middle 80 % of {len(ratios)} pairs {low:.2f} to {high:.2f}; "
        f"allowed {allowed:g}"
    )
    return median <= allowed


def main() -> None:
    """Measure and print; exit with 1 when the command takes more than twice the time of the imports."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prompt", nargs="?", default=PROMPT)
    parser.add_argument("--runs", type=int, default=15)
    options = parser.parse_args()
    sys.exit(not compare(IMPORTS, ["neighbors", options.prompt], options.runs, ALLOWED))


if __name__ == "__main__":
    main()
