"""Models that many test files share: made once in a session, and never changed."""

import pytest

LONGEST = ("test_own_run.py", "test_kill.py", "test_cli.py")  # minutes each: begun last, one of two cores would idle


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(scope="session")
def tiny_dir(tmp_path_factory):
    """A random tiny Llama with two blocks of width 32."""
    from tiny import make_tiny_model

    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "base")


@pytest.fixture(scope="session")
def adapter_dirs(tiny_dir, tmp_path_factory):
    """Two different adapters on it, of one shape."""
    from tiny_adapter import make_adapter

    folder = tmp_path_factory.mktemp("adapters")
    return [make_adapter(tiny_dir, folder / str(seed), seed) for seed in (1, 2)]


@pytest.fixture(scope="session")
def tiny_subject(tiny_dir):
    """The base in float32. Its siblings share its weights, so use one model at a time."""
    from bumperlane.subjects.subject import Subject

    return Subject.load(tiny_dir, dtype="float32")
