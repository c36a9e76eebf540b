"""Load a model, generate, log-probabilities, activations, per-example gradients."""
