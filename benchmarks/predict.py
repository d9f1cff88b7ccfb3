"""How long `python -m explorer predict PROMPT --text T` takes, against only importing torch, safetensors and
tokenizers.

The whole command: prompt, vocabulary, model, label probabilities and generated text. Measured as `startup.py`
does. Usage: python benchmarks/predict.py [--runs 15] [PROMPT]
"""

import argparse
import sys

from startup import PROMPT, compare

IMPORTS = "import torch, safetensors, tokenizers"
TEXT = "a warm, funny film"
ALLOWED = 1.8


def main() -> None:
    """Measure and print; exit with 1 when the command takes more than 1.8 times the time of the imports."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prompt", nargs="?", default=PROMPT)
    parser.add_argument("--runs", type=int, default=15)
    options = parser.parse_args()
    sys.exit(not compare(IMPORTS, ["predict", options.prompt, "--text", TEXT], options.runs, ALLOWED))


if __name__ == "__main__":
    main()
