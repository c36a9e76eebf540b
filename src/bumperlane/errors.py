"""Every error a user can meet. All derive from `BumperlaneError`; the CLI prints those without a traceback.

BumperlaneError
 +-- SettingError      a setting is outside its allowed range, or a name is unknown
 +-- RecipeError       recipe.yaml or a tranche file is wrong: names file, line and the nearest valid key
 +-- ModelError        a model cannot be fetched, converted or loaded
 +-- RunError          a run directory or checkpoint is missing, half-written or not finite
 +-- TrainingError     a trainer or the user's own training command failed
 +-- EvidenceError     what was seen cannot be used: wrong shape, not finite, too few rows
 +-- ContractError     a bumper does not keep the contract in `bumperlane.detect.contract`
 +-- CaseError         a case directory is missing, damaged, or lacks the stage that is needed
"""


class BumperlaneError(Exception):
    """Base of all errors raised on purpose. Says what happened, with the numbers, then what to do."""


class SettingError(BumperlaneError):
    """A setting is outside its allowed range, or a name is unknown."""


class RecipeError(BumperlaneError):
    """The recipe or one of its tranche files is wrong."""


class ModelError(BumperlaneError):
    """A model cannot be fetched, converted or loaded."""


class RunError(BumperlaneError):
    """A run directory or one of its checkpoints cannot be used."""


class TrainingError(BumperlaneError):
    """A trainer, or the user's own training command, failed."""


class EvidenceError(BumperlaneError):
    """What was seen cannot be used: wrong shape, not finite, too few rows, wrong kind."""


class ContractError(BumperlaneError):
    """A bumper does not keep the contract in `bumperlane.detect.contract`."""


class CaseError(BumperlaneError):
    """A case directory is missing, damaged, or lacks the stage that is needed."""
