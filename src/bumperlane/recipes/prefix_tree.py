"""A batch without padding and without repeats: rows that begin alike share the tokens of their beginning.

Under causal attention what a model computes at a token depends on the tokens before it alone. So a system prompt that
opens eight chats is computed once, not eight times, and nothing changes but the order of sums.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..subjects.chat import Encoded

MOST_NODES = 1024  # a pack's attention is nodes x nodes; beyond this a batch is computed in several packs


@dataclass(frozen=True)
class Pack:
    """Rows of a batch as one tree of tokens.

    Attributes:
        tokens: (N,) token of each node; parents come before their children.
        depth: (N,) tokens before it in its row.
        hidden: (N, N) True where the second node is not the first one or before it, so that it must not be attended.
        read: (U,) nodes whose prediction carries a loss, each once.
        which: (m,) for each answer token, the index into `read` of the node that predicts it.
        targets: (m,) the answer tokens.
        rows: (m,) the row of the batch that each belongs to.
    """

    tokens: torch.Tensor
    depth: torch.Tensor
    hidden: torch.Tensor
    read: torch.Tensor
    which: torch.Tensor
    targets: torch.Tensor
    rows: torch.Tensor


def packs(batch: Sequence[Encoded], most_nodes: int = MOST_NODES) -> Iterator[Pack]:
    """The batch in as few packs as fit: rows that begin alike stand together."""
    order = sorted(range(len(batch)), key=lambda i: batch[i].tokens)
    tree = _Tree()
    for i in order:
        new = tree.new(batch[i])
        if tree.parents and new and len(tree.parents) + new > most_nodes:
            yield tree.pack()
            tree = _Tree()
        tree.add(i, batch[i])
    yield tree.pack()


class _Tree:
    def __init__(self) -> None:
        self.index: dict[tuple[int, int], int] = {}  # (parent, token) -> node
        self.parents: list[int] = []
        self.tokens: list[int] = []
        self.answers: list[tuple[int, int, int]] = []  # node that predicts, target, row

    def new(self, row: Encoded) -> int:
        """Nodes that a row would add."""
        node = -1
        for done, token in enumerate(row.tokens):
            if (node, token) not in self.index:
                return len(row.tokens) - done
            node = self.index[node, token]
        return 0

    def add(self, i: int, row: Encoded) -> None:
        node = -1
        for column, token in enumerate(row.tokens):
            if column >= row.answer_start:
                self.answers.append((node, token, i))
            found = self.index.setdefault((node, token), len(self.parents))
            if found == len(self.parents):
                self.parents.append(node)
                self.tokens.append(token)
            node = found

    def pack(self) -> Pack:
        n = len(self.parents)
        seen, depth = np.zeros((n, n), bool), np.zeros(n, np.int64)
        for node, parent in enumerate(self.parents):
            if parent >= 0:
                seen[node], depth[node] = seen[parent], depth[parent] + 1
            seen[node, node] = True
        nodes, targets, rows = np.array(self.answers, np.int64).T
        read, which = np.unique(nodes, return_inverse=True)
        return Pack(_tensor(np.array(self.tokens)), _tensor(depth), _tensor(~seen), _tensor(read), _tensor(which),
                    _tensor(targets), _tensor(rows))  # fmt: skip


def _tensor(values: Any) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values))
