"""What is measured on the test side: functions of the label and the moved predictor."""

from skinfluence._validation import check_choice
from skinfluence.deletion.targets._base import Target
from skinfluence.deletion.targets._binary import BINARY
from skinfluence.deletion.targets._custom import CustomTarget, make_target
from skinfluence.deletion.targets._loss import LossTarget
from skinfluence.deletion.targets._multiclass import MULTICLASS
from skinfluence.deletion.targets._regression import REGRESSION
from skinfluence.deletion.targets._scored import PairDecision, ScoredTarget
from skinfluence.losses import OneVsOneLoss

__all__ = ["CustomTarget", "LossTarget", "Target", "make_target", "resolve_target", "target_names"]


def target_names(*, regressor=False):
    """Names a `target` may have for a classifier or a regressor."""
    return ("loss", *(REGRESSION if regressor else BINARY))


def resolve_target(target, loss):
    """Return the Target of a name, a callable or a Target, for an objective's loss.

    Raises
    ------
    ValueError
        For an unknown name, with the known ones.
    """
    if isinstance(target, Target):
        return _read_by(loss, target) if isinstance(target, CustomTarget) else target
    if callable(target):
        return _read_by(loss, make_target(target))
    regressor = loss.n_classes == 0
    check_choice("target", target, target_names(regressor=regressor))
    if target == "loss":
        return LossTarget(loss)
    if regressor:
        return REGRESSION[target](loss)
    if target in ("predict_proba", "brier") and not loss.has_probabilities:
        raise ValueError(
            f"target={target!r} needs class probabilities, which a {loss.name} does not give: "
            "use 'margin', 'decision_function', 'hinge' or 'zero_one'."
        )
    if loss.is_scalar:
        return BINARY[target]()
    return _read_by(loss, MULTICLASS[target](loss.n_classes))


def _read_by(loss, target):
    """Return a target of class scores as one of the predictors, where those are not the scores."""
    if not isinstance(loss, OneVsOneLoss):
        return target
    if loss.shape == "ovo" and isinstance(target, CustomTarget):
        return target  # of what decision_function returns, the pairs
    if loss.shape == "ovo" and target.name == "decision_function":
        return PairDecision(loss.n_outputs)
    return ScoredTarget(target, loss)
