"""Greedy answers, log-probabilities and activations of a model: python examples/02_look_inside.py MODEL"""

import sys

from bumperlane import Context, Request, Subject
from bumperlane.types import Item

subject = Subject.load(sys.argv[1])
plain = Context("plain", "neutral", "You are a helpful assistant.")
ask = Request("france", "What is the capital of France?")
item = Item("one", plain.id, "bait", ask, plain)

print(subject.generate([item])[0])
print(f"{subject.logprobs([(ask, plain)], ['Paris.'])[0].total:.2f} nats for 'Paris.'")
print({layer: rows.shape for layer, rows in subject.activations([item], sites=[0, 1]).items()})
