"""``python -m primer recommend`` and ``similar``: items for a user, after a session, or like another item."""

from __future__ import annotations

from primer.cli.arguments import split_arguments
from primer.errors import InputError

RECOMMEND = "python -m primer recommend RUN USER [top=10], or RUN ITEM… for a model of next items"
SIMILAR = "python -m primer similar RUN ITEM [top=10]"


def recommend_command(arguments: list[str]) -> str:
    """Lists the items that a user would rate highest, or that most likely follow a session.

    Args:
        arguments: a run folder or a checkpoint, a user or the items seen so far, and ``top=…``.

    Returns:
        A line for each item, with its predicted rating or its probability.

    Raises:
        InputError: if the arguments are wrong, or the user or an item does not occur in the training part.
    """
    (run, *given), top = _arguments(arguments, RECOMMEND)
    from primer.run.recommendation import recommend_from_run

    return _table(recommend_from_run(run, given, top)) or "no items are left to recommend"


def similar_command(arguments: list[str]) -> str:
    """Lists the items whose vectors are most similar to that of an item.

    Args:
        arguments: a run folder or a checkpoint, an item, and ``top=…``.

    Returns:
        A line for each item, with the cosine.

    Raises:
        InputError: if the arguments are wrong, or the item does not occur in the training part.
    """
    (run, *given), top = _arguments(arguments, SIMILAR)
    if len(given) != 1:
        raise InputError(f"usage: {SIMILAR}")
    import primer

    return _table(primer.load(run).similar(given[0], top))


def _arguments(arguments: list[str], usage: str) -> tuple[list[str], int]:
    rest, settings = split_arguments(arguments, ("top",), usage)
    top = settings.get("top", "10")
    if not top.isdecimal() or not int(top):
        raise InputError(f"top must be an integer of at least 1, not {top}; usage: {usage}")
    if len(rest) < 2:
        raise InputError(f"usage: {usage}")
    return rest, int(top)


def _table(ranking: list[tuple[str, float]]) -> str:
    width = max((len(name) for name, _ in ranking), default=0)
    return "\n".join(f"{name:{width}}  {score:.3g}" for name, score in ranking)
