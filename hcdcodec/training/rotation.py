"""Crops whose search goes on from update to update.

A whole search in each update would leave little time for updates. So each update takes the crops of one slot, brings
their LRs some steps further, and trains on them; the next update takes the next slot. When the search of a slot is
over, new crops take its place. The crops of a slot are of one age; from update to update, the decoder sees all ages.
"""

from hcdcodec.training.loss import Batch, Objective, Searched


class Rotation:
    """Slots of crops that take turns, as many as a search has turns.

    Args:
        objective: searches, `search_stride` of its recipe's `search_steps` in a turn.
    """

    def __init__(self, objective: Objective) -> None:
        self._objective, self._stride = objective, objective.recipe.search_stride
        self._slots: list[Searched | None] = [None] * -(-objective.recipe.search_steps // self._stride)

    def turn(self, number: int, new: Batch) -> Searched:
        """Return the crops of a slot, with their LRs further than after its last turn.

        Args:
            number: of the update; tells which slot it is.
            new: crops to begin with, where the slot is empty or the search of its crops is over.
        """
        round_, slot = divmod(number, len(self._slots))
        crops = self._slots[slot]
        # Slots begin in different rounds, so that updates in a row see LRs of different ages.
        if crops is None or round_ % len(self._slots) == slot:
            crops = self._objective.begin_search(new)
        crops = self._slots[slot] = self._objective.search(crops, self._stride)
        return crops
