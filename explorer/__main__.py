"""`python -m explorer` and the script `prompt-explorer`: the command line."""

import os
import sys

os.environ.setdefault(
    "OMP_WAIT_POLICY", "PASSIVE"
)  # read when the first library with OpenMP is loaded: idle threads sleep instead of spinning
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")  # Typer's; to look for plugins takes 50 ms


def main() -> None:
    """Run the command line; Ctrl-C while it is still starting ends it as quietly as later."""
    try:
        from explorer.cli import app
        from explorer.cli.commandline import program

        app(prog_name=program())
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
