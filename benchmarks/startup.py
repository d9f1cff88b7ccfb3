"""How long `python -m explorer neighbors PROMPT` takes, against only importing the libraries it cannot do without.

Both run alternately in fresh processes, so that a busy machine slows both; the ratio of each pair is what counts.
Usage: python benchmarks/startup.py [--runs 15] [PROMPT]
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IMPORTS = "import numpy, pandas, faiss, safetensors, tokenizers"
ALLOWED = 2.0


def seconds(arguments: list[str]) -> float:
    """Wall-clock time of one fresh Python process. Raises CalledProcessError when it fails."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, env=environment)
    return time.perf_counter() - started


def some_prompt(folder: Path) -> str:
    """A bundled prompt, or else a random one of the bundled model's width."""
    import numpy as np

    sys.path.insert(0, str(ROOT))
    from explorer.formats import find_prompts
    from explorer.prompt import SoftPrompt
    from explorer.vocabulary import Vocabulary

    bundled = ROOT / "checkpoints" / "prompts"
    for path, prompt in find_prompts(bundled) if bundled.is_dir() else ():
        if isinstance(prompt, SoftPrompt):
            return str(path)
    vectors = np.random.default_rng(0).standard_normal((20, Vocabulary.load().dimension)).astype(np.float32)
    np.save(folder / "random.npy", vectors)
    return str(folder / "random.npy")


def compare(prompt: str, runs: int) -> tuple[list[float], list[float]]:
    """Seconds of `runs` alternating runs: the imports, the command. One run of each goes before, to fill the disk cache."""
    command = ["-m", "explorer", "neighbors", prompt]
    pairs = [(seconds(["-c", IMPORTS]), seconds(command)) for _ in range(runs + 1)][1:]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def main() -> None:
    """Measure and print; exit with 1 when the command takes more than twice the time of the imports."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prompt", nargs="?")
    parser.add_argument("--runs", type=int, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        prompt = options.prompt or some_prompt(Path(folder))
        imports, command = compare(prompt, options.runs)
    ratios = sorted(ours / theirs for ours, theirs in zip(command, imports, strict=True))
    median, low, high = statistics.median(ratios), ratios[len(ratios) // 10], ratios[-1 - len(ratios) // 10]
    print(f"{IMPORTS}: median {statistics.median(imports):.2f} s")
    print(f"python -m explorer neighbors {prompt}: median {statistics.median(command):.2f} s")
    print(f"ratio: median {median:.2f}, middle 80 % of {len(ratios)} pairs {low:.2f} to {high:.2f}; allowed {ALLOWED:g}")
    sys.exit(median > ALLOWED)


if __name__ == "__main__":
    main()
