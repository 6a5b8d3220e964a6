"""What is measured on the test side: functions of the label and the moved predictor."""

from skinfluence._validation import check_choice
from skinfluence.deletion.targets._base import Target
from skinfluence.deletion.targets._binary import BINARY
from skinfluence.deletion.targets._custom import CustomTarget, make_target
from skinfluence.deletion.targets._loss import LossTarget
from skinfluence.deletion.targets._multiclass import MULTICLASS
from skinfluence.deletion.targets._regression import REGRESSION

__all__ = [
    "CustomTarget",
    "LossTarget",
    "Target",
    "make_target",
    "register_target",
    "resolve_target",
    "target_names",
]


def target_names(*, regressor=False):
    """Names a `target` may have for a classifier or a regressor."""
    return ("loss", *(REGRESSION if regressor else BINARY))


def register_target(cls, *, regressors=False):
    """Make a target known by its name, everywhere a `target` may be a string; return the class.

    Parameters
    ----------
    cls : type
        Subclass of Target with a name of its own.
    regressors : bool, default=False
        Whether it is for regressors; else it is for classifiers of any number of classes.

    Returns
    -------
    type
        The class, so that this is a decorator.

    Raises
    ------
    ValueError
        If there is a target of the name.
    """
    tables = (REGRESSION,) if regressors else (BINARY, MULTICLASS)
    if cls.name == "loss" or any(cls.name in table for table in tables):
        raise ValueError(f"there is a target of the name {cls.name!r} already.")
    for table in tables:
        table[cls.name] = cls
    return cls


def resolve_target(target, link, loss):
    """Return the Target of a name, a callable or a Target, for the link and the loss of a model.

    Raises
    ------
    TypeError
        For a class in place of a Target.
    ValueError
        For an unknown name, with the known ones, or where it needs probabilities and the link has
        none.
    """
    if isinstance(target, type):
        raise TypeError(f"target should be an object; got the class {target.__name__}: call it.")
    if callable(target) and not isinstance(target, Target):
        target = make_target(target)
    found = target.bound_to(link) if isinstance(target, Target) else _by_name(target, link, loss)
    if found.needs_probabilities and not link.has_probabilities:
        others = [name for name, cls in _known(link).items() if not cls.needs_probabilities]
        raise ValueError(
            f"target={found.name!r} needs class probabilities, which a model of the loss "
            f"{loss.name!r} does not give: use {', '.join(map(repr, others[:-1]))} or "
            f"{others[-1]!r}."
        )
    return found


def _known(link):
    """Classes of the built-in targets for a link, by name."""
    if link.n_classes == 0:
        return REGRESSION
    return BINARY if link.is_scalar else MULTICLASS


def _by_name(name, link, loss):
    """Built-in target of a name."""
    check_choice("target", name, target_names(regressor=link.n_classes == 0))
    return LossTarget(loss, link) if name == "loss" else _known(link)[name](link)
