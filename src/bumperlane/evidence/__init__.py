"""What was seen of a subject: contexts to put it in, responses, activations, and a store keyed by content."""
