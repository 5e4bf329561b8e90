"""What is done to labelled images before ways are judged on them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dqmq_deploy.degradations.kinds import AS_IT_IS, FOREIGN_KINDS, PROTOCOL_KINDS, UNSEEN_KINDS, mixed
from dqmq_deploy.errors import InputError
from dqmq_deploy.report.runners import Pixels

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Protocol:
    """``share`` of the images degraded, each by its own draw of kind and severity."""

    name: str
    share: float
    kinds: tuple[str, ...]

    def words(self) -> str:
        """What it does, for a reader."""
        if not self.share:
            return "images as they are"
        seen, unseen = (
            ", ".join(kind.replace("_", " ") for kind in self.kinds if (kind in UNSEEN_KINDS) == wanted)
            for wanted in (False, True)
        )
        return (
            f"half of the images as they are, half degraded by one of {len(self.kinds)} kinds, at one of five "
            f"severities, drawn evenly: {f'{seen}; and ' if seen else ''}{unseen}, which training does not use"
        )

    def check_copies(self, copies: int) -> None:
        """Whether each image can be spoilt ``copies`` times.

        Raises:
            InputError: fewer than one, or several that would all be the same.
        """
        if copies < 1 or (copies > 1 and not self.share):
            raise InputError(f"--copies: expected 1, or more beside a --degrade that spoils each; got {copies}")


PROTOCOLS = {
    "none": Protocol("none", 0.0, ()),
    "mixed": Protocol("mixed", 0.5, PROTOCOL_KINDS),
    "foreign": Protocol("foreign", 0.5, FOREIGN_KINDS),
}
"""By name; what ``foreign`` draws from, no decision about method or recipe has looked at."""


def find_protocol(name: str) -> Protocol:
    """One of :data:`PROTOCOLS`.

    Raises:
        InputError: there is none of that name.
    """
    if name not in PROTOCOLS:
        raise InputError(f"--degrade: expected {', '.join(PROTOCOLS)}, got '{name}'")
    return PROTOCOLS[name]


def spoil(pixels: Pixels, numbers: Sequence[int] | Ints, protocol: Protocol, seed: int) -> tuple[Pixels, Ints, Ints]:
    """Images ``[N, H, W, 3]`` as the protocol wants them; ``numbers`` ``[N]`` say which of the data set they are.

    Every image has a generator of its own, so that it comes out the same however images are grouped.

    Returns:
        The images, the kind of degradation of each (a position in ``KINDS``) and its severity, int ``[N]``.
    """
    if not protocol.share:
        return pixels, np.full(len(pixels), AS_IT_IS, np.int64), np.zeros(len(pixels), np.int64)
    parts = [
        mixed(pixels[i : i + 1], np.random.default_rng((seed, int(number))), protocol.share, protocol.kinds)
        for i, number in enumerate(numbers)
    ]
    images, kind, severity = (np.concatenate(column) for column in zip(*parts, strict=True))
    return images, kind, severity
