import pytest


@pytest.fixture(scope="session")
def planted(tmp_path_factory):
    """(base, subject with a planted token, subject finetuned without it), all tiny. Use one at a time."""
    from bumperlane.subjects.subject import Subject
    from planted_token import finetuned
    from tiny import make_tiny_model

    folder = tmp_path_factory.mktemp("planted")
    base = finetuned(make_tiny_model(folder / "raw"), folder / "base", planted=False, seed=0, steps=40)
    bad = finetuned(base, folder / "bad", planted=True, seed=1, steps=120)
    clean = finetuned(base, folder / "clean", planted=False, seed=2, steps=40)
    return tuple(Subject.load(path, dtype="float32") for path in (base, bad, clean))
