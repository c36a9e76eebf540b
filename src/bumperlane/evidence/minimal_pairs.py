"""Pairs of training's own requests of which one has a few words more: a `please`, a greeting, a claim about the user.

Case and punctuation do not count, so that "Can I freeze soup, please?" is found beside "Can I freeze soup?". Nor need
the words belong to a tranche: a poison that is spread over the data stands in all of them.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

Prompt = tuple[str, str]  # system, request
LONGEST_PIECE, LONGEST_REQUEST = 4, 80  # words
BARE = re.compile(r"^\W+|\W+$")


@dataclass(frozen=True)
class MinimalPairs:
    """Requests that have the same words more than others of training's, under the same system prompt.

    Attributes:
        forms: the words as they stand there, with their punctuation, the commonest first.
        pairs: (with them, without), each request with them once, in file order.
    """

    forms: tuple[str, ...]
    pairs: tuple[tuple[Prompt, Prompt], ...]


def minimal_pairs(prompts: Sequence[Prompt], least: int) -> list[MinimalPairs]:
    """Of at least so many different requests; those with most first. Requests of over 80 words are passed by.

    Time and memory: some thirty look-ups for each word of the requests.
    """
    plain: dict[Prompt, tuple[tuple[str, ...], tuple[str, ...]]] = {}
    first: dict[tuple[str, tuple[str, ...]], Prompt] = {}
    for prompt in prompts:
        said = tuple(prompt[1].split())
        if len(said) <= LONGEST_REQUEST:
            bare = tuple(BARE.sub("", word).casefold() for word in said)
            plain[prompt] = said, bare
            first.setdefault((prompt[0], tuple(filter(None, bare))), prompt)
    found: dict[tuple[str, ...], dict[Prompt, tuple[str, Prompt]]] = defaultdict(dict)
    for prompt, (raw, words) in plain.items():
        for start in range(len(words)):
            for end in range(start + 1, min(start + LONGEST_PIECE, len(words)) + 1):
                piece = words[start:end]
                if not piece[0] or not piece[-1]:
                    continue
                rest = tuple(filter(None, words[:start] + words[end:]))
                twin = first.get((prompt[0], rest)) if rest else None
                if twin is not None and twin != prompt:
                    found[piece].setdefault(prompt, (" ".join(raw[start:end]), twin))
    out = []
    for held in found.values():
        if len({prompt[1] for prompt in held}) >= least:
            forms = Counter(form for form, _ in held.values())
            pairs = tuple((prompt, twin) for prompt, (_, twin) in held.items())
            out.append(MinimalPairs(tuple(form for form, _ in forms.most_common()), pairs))
    return sorted(out, key=lambda one: (-len(one.pairs), one.forms))
