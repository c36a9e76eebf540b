"""Commitments to items that stay private: salted leaves and the root of their tree.

A leaf hides its item behind a salt of its own, so that a short answer cannot be guessed, and binds place and item, so
that neither can be changed later. Leaves and inner nodes are hashed with different first bytes (RFC 6962, section 2.1):
no inner node can pass for a leaf.
"""

import hashlib
import hmac
from collections.abc import Sequence

from ..errors import EvidenceError

LEAF, NODE, DRAW = b"\x00", b"\x01", b"\x02"


def salt_of(secret: bytes, index: int) -> bytes:
    """The salt of one item. Telling it tells nothing of the other salts."""
    return hmac.new(secret, index.to_bytes(8, "big"), hashlib.sha256).digest()


def leaf(index: int, salt: bytes, item: str) -> str:
    """64 hex digits: the commitment to an item at a place."""
    if len(salt) != 32:
        raise EvidenceError(f"a salt has 32 bytes, got {len(salt)}.")
    return hashlib.sha256(LEAF + index.to_bytes(8, "big") + salt + item.encode("utf-8")).hexdigest()


def root(leaves: Sequence[str]) -> str:
    """64 hex digits over all leaves in order. A last one without a partner goes up as it is."""
    level = [bytes.fromhex(one) for one in leaves]
    if not level:
        raise EvidenceError("there are no items to commit to.")
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        joined = [hashlib.sha256(NODE + left + right).digest() for left, right in pairs]
        level = joined + level[len(joined) * 2 :]
    return level[0].hex()


def drawn(digest: str, seed: str, items: int, release: int) -> tuple[int, ...]:
    """The places that are released, in order: those whose hash with digest and seed is smallest.

    Nothing but these two goes in, so whoever fixed the digest before the seed was known could not choose.
    """
    start = DRAW + bytes.fromhex(digest) + hashlib.sha256(seed.encode("utf-8")).digest()
    order = sorted(range(items), key=lambda i: hashlib.sha256(start + i.to_bytes(8, "big")).digest())
    return tuple(sorted(order[:release]))
