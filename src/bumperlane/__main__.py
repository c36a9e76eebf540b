"""`python -m bumperlane`: how retrains are started as processes of their own."""

from .cli import main

if __name__ == "__main__":
    main(prog_name="bumperlane")
