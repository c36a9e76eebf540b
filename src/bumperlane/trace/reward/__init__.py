"""Which reward? What the logs of an RL run say about rollouts that a bumper flags."""
