"""Four drawn families with exact ground truth; see ``scene`` (engine), ``family`` (classes), ``write`` (to disk)."""

from gholm_kit.drawn.family import Family
from gholm_kit.drawn.truth import MiniTruth, load_truth

__all__ = ["FAMILY_NAMES", "Family", "MiniTruth", "get_family", "load_truth"]

FAMILY_NAMES = ("mini_birds", "mini_aircraft", "mini_cars", "mini_dogs")


def get_family(name: str) -> Family:
    """The family behind a mini data set."""
    from gholm_kit.drawn import aircraft, birds, cars, dogs

    modules = dict(zip(FAMILY_NAMES, (birds, aircraft, cars, dogs), strict=True))
    if name not in modules:
        raise ValueError(f"no mini family {name!r}; there are {', '.join(FAMILY_NAMES)}")
    return modules[name].FAMILY
