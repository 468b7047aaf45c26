"""Images that never came, by the numbers that publishers give their messages.

The middleware's own `message_lost` event says nothing of messages that newer ones pushed out of a full queue, which is
what happens to a process without CPU time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Gaps:
    """Follows the numbers of one subscription."""

    def __init__(self) -> None:
        self._last: dict[bytes, int] = {}

    def see(self, info: Mapping[str, Any], alone: bool) -> int | None:
        """How many messages of this one's publisher were lost since the one before.

        Args:
            info: that rclpy gives with a message.
            alone: whether there is one publisher only; some distributions do not say whose number it is.

        Returns:
            None where the numbers do not tell.
        """
        number, publisher = info.get('publication_sequence_number'), info.get('publisher_gid')
        if number is None or (publisher is None and not alone):
            return None
        key = b'' if publisher is None else bytes(publisher['data'])
        last = self._last.get(key, number)
        self._last[key] = number
        return max(0, number - last - 1)
