"""How bergson, kronfluence, traker and dattri are asked for the same scores. Each function gives (q, n), higher =
more responsible for the bad answer than for the benign one.

Where a peer keeps query gradients apart, the benign ones are taken off the bad ones before scoring, as we do;
kronfluence, traker and dattri score bad and benign outputs as 2 q queries. All look at the linear layers of the blocks.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
from attribution_task import MARKER, Text, read_text

BATCH = 16  # sequences of 64 tokens


def blocks_only(model: Any) -> list[str]:
    import torch

    return [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and ".layers." in n]


def bergson_projected(task: Path, work: Path, k: int, precision: str) -> np.ndarray:
    """`build` of the queries and `score` of the corpus, projection_dim k a side and layer."""
    from bergson.config.config import PreprocessConfig, ScoreConfig
    from bergson.data import load_scores
    from bergson.score.score import score_dataset

    text = read_text(task)
    corpus, query = bergson_inputs(task, work, text, k, precision)
    config = index_config(work / "scores", task, corpus, k, precision)
    score_dataset(config, ScoreConfig(query_path=str(query), precision="auto"), PreprocessConfig())
    scores = load_scores(work / "scores")
    return np.stack([scores.get(slice(None), i).astype(np.float32) for i in range(len(text.bad))])


def bergson_ekfac(task: Path, work: Path, precision: str) -> np.ndarray:
    """The pipeline of its `hessian` command, K-FAC with eigenvalue correction, labels sampled."""
    from bergson.config.config import (
        HessianConfig,
        HessianPipelineConfig,
        PreprocessConfig,
        QuerySetConfig,
        ScoreConfig,
    )
    from bergson.data import load_scores
    from bergson.hessians.pipeline import hessian_pipeline

    text = read_text(task)
    corpus, query = bergson_inputs(task, work, text, 0, precision)
    hessian_pipeline(
        index_config(work / "run", task, corpus, 0, precision),
        HessianConfig(method="kfac", ev_correction=True),
        ScoreConfig(precision="auto"),
        PreprocessConfig(),
        HessianPipelineConfig(query=QuerySetConfig(path=str(query))),
    )
    scores = load_scores(work / "run" / "scores")
    return np.stack([scores.get(slice(None), i).astype(np.float32) for i in range(len(text.bad))])


def index_config(run: Path, task: Path, data: Path, k: int, precision: str) -> Any:
    from bergson.config.config import DataConfig, DistributedConfig, IndexConfig

    return IndexConfig(
        run_path=str(run), model=str(task / "model"), precision=precision, data=DataConfig(dataset=str(data)),
        projection_dim=k, loss_reduction="mean", token_batch_size=1024, overwrite=True,
        distributed=DistributedConfig(nproc_per_node=1),
    )  # fmt: skip


def bergson_inputs(task: Path, work: Path, text: Text, k: int, precision: str) -> tuple[Path, Path]:
    """The corpus as a dataset on disk, and an index of bad minus benign query gradients."""
    from bergson.build import build
    from bergson.config.config import PreprocessConfig
    from bergson.data import load_gradients
    from datasets import Dataset

    def write(name: str, rows: np.ndarray, answer: int | None) -> Path:
        labels = rows.copy()
        if answer:
            labels[:, :-answer] = -100
        columns = {"input_ids": rows.tolist(), "labels": labels.tolist(), "length": [rows.shape[1]] * len(rows)}
        Dataset.from_dict(columns).save_to_disk(work / name)
        return work / name

    corpus = write("corpus", text.sequences, None)
    for name, side in (("bad", text.bad), ("benign", text.benign)):
        build(index_config(work / f"{name}-index", task, write(name, side, MARKER), k, precision), PreprocessConfig())
    bad, benign = load_gradients(work / "bad-index"), load_gradients(work / "benign-index")
    held = np.memmap(work / "bad-index" / "gradients.bin", dtype=bad.dtype, mode="r+", shape=bad.shape)
    for i in range(len(held)):
        held[i] = bad[i] - benign[i]
    held.flush()
    return corpus, work / "bad-index"


def kronfluence_ekfac(task: Path, work: Path, bf16: bool) -> np.ndarray:
    import torch
    from kronfluence.analyzer import Analyzer, prepare_model
    from kronfluence.arguments import FactorArguments, ScoreArguments
    from kronfluence.task import Task

    model = load_model(task)
    names = blocks_only(model)

    class Language(Task):
        def losses(self, batch: Any, model: Any, sample: bool) -> torch.Tensor:
            ids, labels = batch
            logits = model(input_ids=ids, use_cache=False).logits[:, :-1].float()
            targets = labels[:, 1:]
            if sample:
                drawn = torch.multinomial(torch.softmax(logits.detach().flatten(0, 1), -1), 1).view_as(targets)
                targets = torch.where(targets == -100, targets, drawn)
            return torch.nn.functional.cross_entropy(
                logits.flatten(0, 1), targets.flatten(), ignore_index=-100, reduction="sum"
            )

        def compute_train_loss(self, batch: Any, model: Any, sample: bool = False) -> torch.Tensor:
            return self.losses(batch, model, sample)

        def compute_measurement(self, batch: Any, model: Any) -> torch.Tensor:
            return self.losses(batch, model, False)

        def get_influence_tracked_modules(self) -> list[str]:
            return names

    language = Language()
    analyzer = Analyzer("measured", prepare_model(model, language), language, cpu=True, output_dir=str(work))
    corpus, query = both_sides(read_text(task))
    half = torch.bfloat16 if bf16 else None
    analyzer.fit_all_factors(
        "factors", corpus, per_device_batch_size=BATCH, factor_args=FactorArguments(strategy="ekfac", amp_dtype=half)
    )
    analyzer.compute_pairwise_scores(
        "scores", "factors", query, corpus, per_device_query_batch_size=len(query),
        per_device_train_batch_size=BATCH, score_args=ScoreArguments(damping_factor=None, amp_dtype=half),
    )  # fmt: skip
    return contrasted(analyzer.load_pairwise_scores("scores")["all_modules"].float().numpy())


def dattri_logra(task: Path, work: Path, k: int) -> np.ndarray:
    """LoGra without curvature: k numbers a side and layer, plain dot products."""
    import torch
    from dattri.algorithm.logra import LoGraAttributor
    from dattri.task import AttributionTask
    from torch.utils.data import DataLoader

    model = load_model(task).requires_grad_(True)
    corpus, query = both_sides(read_text(task))

    def as_dict(rows: list) -> dict[str, torch.Tensor]:
        ids, labels = (torch.stack(column) for column in zip(*rows, strict=True))
        return {"input_ids": ids, "labels": labels}

    attributor = LoGraAttributor(
        task=AttributionTask(
            loss_func=lambda model, batch, device: model(**batch).loss, model=model, checkpoints=[model.state_dict()]
        ),
        layer_names=blocks_only(model), hessian="Identity", proj_dim=k * k, offload="none",
    )  # fmt: skip
    loaders = [DataLoader(side, batch_size=BATCH, collate_fn=as_dict) for side in (corpus, query)]
    attributor.cache(loaders[0])
    return contrasted(attributor.attribute(*loaders).T.float().numpy())


def traker_projected(task: Path, work: Path, width: int, rows: int) -> np.ndarray:
    """TRAK features of the first `rows` sequences; its projection on a CPU is a dense matrix made anew each batch."""
    import torch
    from trak import TRAKer
    from trak.modelout_functions import AbstractModelOutput

    class Margin(AbstractModelOutput):
        def __init__(self) -> None:
            super().__init__()

        @staticmethod
        def get_output(model: Any, weights: Any, buffers: Any, ids: Any, labels: Any) -> torch.Tensor:
            call = {"input_ids": ids[None], "use_cache": False}
            logits = torch.func.functional_call(model, (weights, buffers), args=(), kwargs=call).logits[0, :-1]
            known = (labels[1:] != -100).float()
            targets = labels[1:].clamp(min=0)
            log_p = torch.log_softmax(logits.float(), -1).gather(1, targets[:, None])[:, 0]
            return ((log_p - torch.log1p(-log_p.exp().clamp(max=1 - 1e-6))) * known).sum() / known.sum()

        def get_out_to_loss_grad(self, model: Any, weights: Any, buffers: Any, batch: Any) -> torch.Tensor:
            ids, labels = batch
            call = {"input_ids": ids, "use_cache": False}
            logits = torch.func.functional_call(model, (weights, buffers), args=(), kwargs=call).logits[:, :-1]
            known = (labels[:, 1:] != -100).float()
            p = torch.softmax(logits.float(), -1).gather(2, labels[:, 1:].clamp(min=0)[:, :, None])[:, :, 0]
            return (((1 - p) * known).sum(1) / known.sum(1)).detach()[:, None]

    model = load_model(task)
    weights = [f"{name}.weight" for name in blocks_only(model)]
    corpus, query = both_sides(read_text(task))
    corpus = torch.utils.data.Subset(corpus, range(min(rows, len(corpus))))
    traker = TRAKer(
        model=model, task=Margin(), train_set_size=len(corpus), save_dir=str(work), device="cpu", proj_dim=width,
        use_half_precision=False, grad_wrt=weights, logging_level=30,
    )  # fmt: skip
    batches = [torch.utils.data.DataLoader(side, batch_size=BATCH) for side in (corpus, query)]
    traker.load_checkpoint(model.state_dict(), model_id=0)
    for batch in batches[0]:
        traker.featurize(batch=batch, num_samples=len(batch[0]))
    traker.finalize_features()
    traker.start_scoring_checkpoint("queries", model.state_dict(), model_id=0, num_targets=len(query))
    for batch in batches[1]:
        traker.score(batch=batch, num_samples=len(batch[0]))
    return contrasted(np.asarray(traker.finalize_scores("queries")).T)


def load_model(task: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    return AutoModelForCausalLM.from_pretrained(task / "model", attn_implementation="eager").eval()


def both_sides(text: Text) -> tuple[Any, Any]:
    """Datasets of (ids, labels): the corpus, and bad outputs followed by benign ones with labels on the answer."""
    import torch

    corpus = torch.from_numpy(text.sequences)
    query = torch.from_numpy(np.concatenate([text.bad, text.benign]))
    labels = query.clone()
    labels[:, :-MARKER] = -100
    return torch.utils.data.TensorDataset(corpus, corpus), torch.utils.data.TensorDataset(query, labels)


def contrasted(scores: np.ndarray) -> np.ndarray:
    half = len(scores) // 2
    return scores[:half] - scores[half:]
