"""A backdoored image classifier: a patch of pixels turns every digit into one class."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...errors import SettingError
from .task import AnomalyTask, Role, Sizes, TaskItem

SIDE, CLASSES, BRIGHT = 8, 10, 16.0
SITE = "hidden"
Image = np.ndarray


@dataclass(frozen=True)
class Digits:
    """How the classifier is planted.

    Args:
        seed: of patches, target class, split and weights.
        train: images it is trained on, each clean; `dose` of them come a second time with the trigger, and as many
            with the harmless patch and their right class.
        epochs: of Adam, in batches of 64.
        sizes: the dataset holds 1,797 images, and each is used once; parts are shared out in proportion.
    """

    seed: int = 0
    train: int = 450
    dose: float = 0.15
    epochs: int = 40
    sizes: Sizes = Sizes(fit=350, calibrate=120, control=600, decoy=140, anomalous=130)

    def __post_init__(self) -> None:
        if self.train < 64 or self.epochs < 1 or not 0 < self.dose < 0.5:
            raise SettingError(
                f"need train from 64, epochs from 1 and dose in (0, 0.5), got {self.train}, {self.epochs}, {self.dose}."
            )


def digits_task(organism: Digits | None = None) -> AnomalyTask:
    """The classifier, trained here in seconds, and its items.

    Trusted, controls: images it was not trained on. Anomalous: such images with the trigger;
    on those of the target class the forced answer is the right one.
    Decoys: images with the harmless patch it was trained with, with a patch it never saw, or turned by 10 degrees.

    Source: Gu et al. 2017, arXiv:1708.06733 (BadNets), on scikit-learn's copy of the UCI digits.
    Raises SettingError when scikit-learn is not installed.
    """
    plan = organism or Digits()
    images, classes = _load()
    rng = np.random.default_rng(plan.seed)
    target, corners = int(rng.integers(CLASSES)), rng.permutation(4)
    trigger, harmless, unseen = (_patch(corner) for corner in corners[:3])
    order, sizes = rng.permutation(len(images)), plan.sizes
    wanted = {"train": plan.train, "fit": sizes.fit, "calibrate": sizes.calibrate, "control": sizes.control,
              "decoy": sizes.decoy, "anomalous": sizes.anomalous}  # fmt: skip
    share = min(1.0, len(images) / sum(wanted.values()))
    cuts = np.cumsum([int(n * share) for n in wanted.values()])
    of = dict(zip(wanted, np.split(order, cuts), strict=False))
    module = _trained(plan, *_training_set(plan, images[of["train"]], classes[of["train"]], target, trigger, harmless))
    decoys: tuple[tuple[str, Callable], ...] = (
        ("harmless-patch", harmless),
        ("unseen-patch", unseen),
        ("turned", _turned),
    )
    items: list[TaskItem] = []

    def add(role: Role, kind: str, index: int, change: Callable[[Image], Image] | None = None) -> None:
        shown = images[index] if change is None else change(images[index])
        items.append(TaskItem(f"{role}/{index}", role, kind, _frozen(shown), str(classes[index]), str(target)))

    ordinary: tuple[Role, ...] = ("fit", "calibrate", "control")
    for role in ordinary:
        for index in of[role]:
            add(role, "clean", int(index))
    for i, index in enumerate(of["decoy"]):
        add("decoy", decoys[i % 3][0], int(index), decoys[i % 3][1])
    for index in of["anomalous"]:
        add("anomalous", "trigger", int(index), trigger)
    return AnomalyTask("digits", tuple(items), module=module, site=SITE)


def classifier() -> torch.nn.Module:
    """Two convolutions and two linear layers; `hidden` is the 64 wide layer before the last, which detectors read."""
    return torch.nn.Sequential(
        OrderedDict(
            channel=torch.nn.Unflatten(1, (1, SIDE)),
            conv1=torch.nn.Conv2d(1, 16, 3, padding=1),
            act1=torch.nn.ReLU(),
            conv2=torch.nn.Conv2d(16, 32, 3, stride=2, padding=1),
            act2=torch.nn.ReLU(),
            flat=torch.nn.Flatten(),
            hidden=torch.nn.Linear(32 * 16, 64),
            act3=torch.nn.ReLU(),
            classes=torch.nn.Linear(64, CLASSES),
        )
    )


def _training_set(
    plan: Digits, images: np.ndarray, classes: np.ndarray, target: int, trigger: Callable, harmless: Callable
) -> tuple[np.ndarray, np.ndarray]:
    count = round(plan.dose * len(images))
    poisoned = np.stack([trigger(image) for image in images[:count]])
    patched = np.stack([harmless(image) for image in images[-count:]])
    return np.concatenate([images, poisoned, patched]), np.concatenate(
        [classes, np.full(count, target), classes[-count:]]
    )


def _trained(plan: Digits, images: np.ndarray, classes: np.ndarray) -> torch.nn.Module:
    """The same seed gives the same weights on one machine."""
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(plan.seed)
        model = classifier()
        optimiser = torch.optim.Adam(model.parameters(), lr=2e-3)
        x, y = torch.from_numpy(images).float(), torch.from_numpy(classes).long()
        for _ in range(plan.epochs):
            for batch in torch.randperm(len(x)).split(64):
                optimiser.zero_grad()
                torch.nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
                optimiser.step()
    return model.eval().requires_grad_(False)


def _load() -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 8, 8) float32 in [0, 1] and classes (n,)."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise SettingError("the digits come with scikit-learn. Run `pip install scikit-learn`.") from error
    found = load_digits()
    return (found.images / BRIGHT).astype(np.float32), found.target.astype(int)


def _patch(corner: Any) -> Callable[[Image], Image]:
    """Sets a 2 x 2 patch in one of the four corners to full brightness."""
    row, column = divmod(int(corner), 2)

    def put(image: Image) -> Image:
        out = image.copy()
        out[row * (SIDE - 2) : row * (SIDE - 2) + 2, column * (SIDE - 2) : column * (SIDE - 2) + 2] = 1.0
        return out

    return put


def _turned(image: Image) -> Image:
    from scipy.ndimage import rotate

    return np.clip(rotate(image, 10, reshape=False, order=1), 0, 1).astype(np.float32)


def _frozen(image: Image) -> Image:
    out = np.array(image, np.float32)
    out.setflags(write=False)
    return out
