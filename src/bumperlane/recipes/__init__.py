"""How a model was trained, as data (recipe, tranches, edits), and the trainers that carry a recipe out.

Only the trainers import torch, and only when they are called: everything else here loads in a blink.
"""
