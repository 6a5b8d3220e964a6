"""One scorer or several, by name."""


def is_multimetric(scoring):
    """Whether there are several scorers; raise for what is none."""
    if scoring is None or isinstance(scoring, str) or callable(scoring):
        return False
    if isinstance(scoring, dict) and scoring and all(isinstance(name, str) for name in scoring):
        values = scoring.values()
        if all(isinstance(value, str) or callable(value) for value in values):
            return True
    if isinstance(scoring, list | tuple | set):
        names = [name for name in scoring if isinstance(name, str)]
        if scoring and len(set(names)) == len(scoring):
            return True
    raise ValueError(
        "scoring should be None, the name of a scorer, a callable that gives one number, a list of "
        f"different names, or a dict of names and callables; got {scoring!r}."
    )


def scorings_by_name(scoring):
    """Scorers as given, by name; "score" where there is one."""
    if not is_multimetric(scoring):
        return {"score": scoring}
    if isinstance(scoring, dict):
        return dict(scoring)
    return {name: name for name in (sorted(scoring) if isinstance(scoring, set) else scoring)}


def check_refit(refit, scorings):
    """Raise unless `refit` is False or names one of several scorers."""
    if refit is False or (isinstance(refit, str) and refit in scorings):
        return
    raise ValueError(
        "with several scorers refit should name the one that chooses, one of "
        f"{', '.join(map(repr, scorings))}, or be a callable or False; got {refit!r}."
    )
