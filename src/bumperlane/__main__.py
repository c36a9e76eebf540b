"""`python -m bumperlane`: the command, as a process of its own."""

from .cli import main

if __name__ == "__main__":
    main(prog_name="bumperlane")
