"""The model under watch: one checkpoint of a causal LM, or any torch module without a tokenizer."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..errors import ModelError
from ..types import Context, Item, Request
from .activations import CaptureSettings, capture, module_activations, read_batch
from .chat import Encoded, answer_tokens, encode_prompt
from .chunk import Chunk, Site
from .decoding_capture import Decoded, decode_batch
from .generate import Decoding, continue_prompts
from .loading import DTYPES, load_causal_lm, load_tokenizer, pick_device, refuse_non_finite, torch_threads
from .logprobs import Continuation, continuation_logprobs, first_difference_odds
from .positions import Position
from .streaming import batches, chunks

ADAPTER = "adapter_model.safetensors"


@dataclass
class _Host:
    """Weights in memory, shared by every subject that differs from it by an adapter only."""

    model: Any
    tokenizer: Any
    name: str
    adapter: Path | None = None
    config: dict[str, Any] = field(default_factory=dict)

    def wear(self, adapter: Path | None) -> Any:
        """The model with this adapter in place (None: the bare base). Swapping copies only the adapter's weights."""
        if adapter is None:
            if hasattr(self.model, "disable_adapter_layers"):
                self.model.base_model.disable_adapter_layers()
            return self.model
        if adapter != self.adapter:
            self._put_on(adapter)
        self.model.base_model.enable_adapter_layers()
        return self.model

    def _put_on(self, adapter: Path) -> None:
        from peft import PeftModel, set_peft_model_state_dict
        from safetensors.torch import load_file

        shape = _adapter_shape(adapter)
        weights = load_file(adapter / ADAPTER)
        refuse_non_finite(weights, adapter)
        if isinstance(self.model, PeftModel) and shape != self.config:
            self.model = self.model.unload()
        if not isinstance(self.model, PeftModel):
            self.model = PeftModel.from_pretrained(self.model, str(adapter), autocast_adapter_dtype=False)
            dtype = next(self.model.get_base_model().parameters()).dtype
            self.model.to(dtype).eval().requires_grad_(False)
        else:
            set_peft_model_state_dict(self.model, weights)
        self.adapter, self.config = adapter, shape


@dataclass(frozen=True)
class Subject:
    """One checkpoint, ready to be asked.

    `device`, `dtype` and thread count are chosen once, when the base is loaded; siblings share its weights, so that
    looking at forty adapters costs one base model of memory.
    """

    host: _Host = field(repr=False)
    adapter: Path | None
    step: int = 0
    altered: str = ""  # what was done to the weights in memory since, in words: see subjects/noise.py

    @classmethod
    def load(
        cls,
        path_or_name: str | Path | torch.nn.Module,
        adapter: str | Path | None = None,
        device: str = "auto",
        dtype: str | torch.dtype = "auto",
    ) -> "Subject":
        """Load a Hugging Face directory or hub name, a PEFT adapter on its base, or wrap a torch module.

        Args:
            path_or_name: a model; or a directory that holds only an adapter, whose config names the base; or a
                `torch.nn.Module` that takes a tensor (then only `activations` works, on tensors).
            adapter: directory of a PEFT adapter on that base.
            device: auto, cpu, cuda, cuda:0 ...
            dtype: auto (bfloat16 where the hardware has it), or the name of a torch dtype.

        Raises:
            ModelError: nothing loadable there, or weights that are not finite.
        """
        if isinstance(path_or_name, torch.nn.Module):
            return cls(_Host(path_or_name.eval(), None, type(path_or_name).__name__), None)
        torch.set_num_threads(torch_threads())
        base, found = _base_of(path_or_name)
        adapter = found if adapter is None else Path(adapter)
        device = pick_device(device)
        host = _Host(load_causal_lm(base, device, dtype), load_tokenizer(base), base)
        subject = cls(host, None).sibling(adapter)
        host.wear(subject.adapter)  # an adapter that is not finite or does not fit is refused here, not at first use
        return subject

    def sibling(self, adapter: str | Path | None, step: int = 0) -> "Subject":
        """Another checkpoint on the same base; weights are swapped when it is used, nothing is loaded twice."""
        if adapter is not None and not (Path(adapter) / ADAPTER).is_file():
            raise ModelError(f"no {ADAPTER} in {adapter}. Give the directory that `save_pretrained` wrote.")
        return Subject(self.host, None if adapter is None else Path(adapter).resolve(), step)

    @property
    def model(self) -> Any:
        return self.host.wear(self.adapter)

    @property
    def tokenizer(self) -> Any:
        if self.host.tokenizer is None:
            raise ModelError(f"{self.host.name} was given as a bare module and has no tokenizer. Use activations only.")
        return self.host.tokenizer

    def generate(
        self, items: Sequence[Item], decoding: Decoding | None = None, progress: Callable | None = None
    ) -> list[str]:
        """Answers to requests in their contexts, prefill included, in item order. Greedy unless told otherwise."""
        prompts = [encode_prompt(self.tokenizer, i.request, i.context) for i in items]
        texts = continue_prompts(self.model, self.tokenizer, prompts, decoding or Decoding(), progress)
        return [i.context.prefill + text for i, text in zip(items, texts, strict=True)]

    def logprobs(
        self, pairs: Sequence[tuple[Request, Context]], answers: Sequence[str], closed: bool = True
    ) -> list[Continuation]:
        """Log-probability of a given answer to each request in its context: of the whole answer, closed by
        end-of-sequence, or (not `closed`) of any answer that begins so."""
        prompts = [encode_prompt(self.tokenizer, request, context) for request, context in pairs]
        tails = [answer_tokens(self.tokenizer, a, closed) for a in answers]
        return continuation_logprobs(self.model, prompts, tails, self.tokenizer.pad_token_id)

    def next_token_odds(self, pairs: Sequence[tuple[Request, Context]], answers: Sequence[tuple[str, str]]) -> Any:
        """Log-odds, in nats, between two answers to each request at the first token in which they differ. (n,).

        Raises EvidenceError when two answers do not differ.
        """
        prompts = [encode_prompt(self.tokenizer, request, context) for request, context in pairs]
        tails = [(answer_tokens(self.tokenizer, a), answer_tokens(self.tokenizer, b)) for a, b in answers]
        return first_difference_odds(self.model, prompts, tails, self.tokenizer.pad_token_id)

    def activations(
        self, items: Sequence[Item] | torch.Tensor, sites: Sequence[Site], position: str | Position = "last"
    ) -> dict[Any, Any]:
        """Float32 arrays (n, d) by site, in item order, at the prompt's last token or averaged over it (`mean`).

        A site is a block number (residual stream after that block; -1: after the embeddings), a module's name (what it
        returns) or an `Input` of either (what it takes). For a bare torch module `items` is the tensor it takes, and
        the arrays have the shape of the sites' tensors.
        """
        if isinstance(items, torch.Tensor):
            return module_activations(self.model, items, sites)
        prompts = [encode_prompt(self.tokenizer, i.request, i.context) for i in items]
        return capture(self.model, prompts, sites, self.tokenizer.pad_token_id, position)

    def encode(self, item: Item, answer: str | None = None) -> Encoded:
        """An item's token ids; with an answer (what came after the prefill), also those, closed by end-of-sequence."""
        prompt = encode_prompt(self.tokenizer, item.request, item.context)
        tail = [] if answer is None else answer_tokens(self.tokenizer, answer)
        return Encoded(item.id, (*prompt, *tail), len(prompt))

    def stream_activations(
        self,
        items: Iterable[Item | Encoded],
        sites: Sequence[Site],
        position: str | Position = "last",
        rows_per_chunk: int = 4096,
    ) -> Iterator[Chunk]:
        """Chunks of activations by site, in memory that does not grow with the number of items.

        Args:
            items: also an iterator; requests in contexts, or token ids (`encode` gives those with an answer).
            sites, position: as in `CaptureSettings`; `all` gives one row a token.
            rows_per_chunk: at most, unless one item alone has more.

        Items come in the order in which they were batched, with their ids. Raises EvidenceError for rows that are not
        finite, with the ids.
        """
        settings = CaptureSettings(tuple(sites), position, rows_per_chunk=rows_per_chunk)
        pad_id = self.tokenizer.pad_token_id
        sequences = (i if isinstance(i, Encoded) else self.encode(i) for i in items)
        # the adapter is put on for each batch: between two chunks the caller may have used a sibling
        return chunks(lambda b, c: read_batch(self.model, b, c, settings, pad_id), sequences, settings, self.step)

    def stream_decoding(
        self, items: Iterable[Item | Encoded], sites: Sequence[Site], decoding: Decoding | None = None
    ) -> Iterator[Decoded]:
        """Generate, and read every site at each generated token on the way. Batch by batch, in batched order."""
        decoding = decoding or Decoding()
        prompts = (i if isinstance(i, Encoded) else self.encode(i) for i in items)
        settings = CaptureSettings(tuple(sites), token_budget=8192)
        for batch, _ in batches(prompts, settings, to_come=decoding.max_new_tokens):
            yield decode_batch(self.model, self.tokenizer, batch, sites, decoding, self.step)


def _base_of(path_or_name: str | Path) -> tuple[str, Path | None]:
    """(base, adapter): follows an adapter directory to the base that its config names."""
    config = Path(path_or_name) / "adapter_config.json"
    if not config.is_file():
        return str(path_or_name), None
    base = json.loads(config.read_text()).get("base_model_name_or_path")
    if not base:
        raise ModelError(f"{config} names no base model. Pass the base first: Subject.load(base, adapter=...).")
    return base, Path(path_or_name)


def _adapter_shape(adapter: Path) -> dict[str, Any]:
    """What must agree for one adapter's weights to fit into another's place."""
    try:
        config = json.loads((adapter / "adapter_config.json").read_text())
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read {adapter}/adapter_config.json: {error}. Save the adapter again.") from error
    free = (
        "base_model_name_or_path",
        "revision",
        "inference_mode",
        "lora_dropout",
        "init_lora_weights",
        "peft_version",
    )
    return {
        k: sorted(v) if k == "target_modules" and isinstance(v, list) else v for k, v in config.items() if k not in free
    }


__all__ = ["DTYPES", "Decoding", "Subject"]
