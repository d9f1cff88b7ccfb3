"""`python -m explorer`: the command line."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C while it is still starting ends it as quietly as later."""
    try:
        from explorer.cli import app

        app(prog_name="python -m explorer")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
