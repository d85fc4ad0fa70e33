"""What another import would make of what a session announced: the judgement without its effects. Pure."""

from __future__ import annotations

from collections.abc import Callable, Generator

from bgpsvc.jobs import pieces
from bgpsvc.model import Attributes, Prefix, Reason
from bgpsvc.policy import Judgement, Weighed
from bgpsvc.session import Session

Work = Generator[None, None, None]


class Rejudged:
    """The announcements of a session under other settings and another prefix filter.

    `refuse` is that filter. With `same_filter` it says of accepted prefixes what it always said, and is not
    asked again. Attributes that are returned live as long as this object, so that their ids can be compared.
    """

    def __init__(
        self,
        session: Session,
        supposed: Session,
        refuse: Callable[[Prefix], Reason | None],
        same_filter: bool,
    ) -> None:
        self.session = session
        self.supposed = supposed
        self.admitted: dict[Prefix, Attributes] = {}
        """Refused or shed now, and accepted then; see `admit`."""
        self._refuse = refuse
        self._same_filter = same_filter
        self._weighed: dict[int, tuple[Attributes, Weighed, Attributes | None]] = {}
        """By id of received attributes: these themselves, their weight, what they are for every prefix."""

    def accepted(self, prefix: Prefix) -> Attributes | None:
        """The attributes with which the path would be in the Loc-RIB; None without an accepted path."""
        adj = self.session.adj
        received = adj.fresh.get(prefix) or adj.stale.get(prefix)
        if received is None:
            return self.admitted.get(prefix)
        _, weighed, uniform = self._weigh(received)
        if uniform is not None and self._same_filter and prefix[-1]:
            return uniform
        return weighed.judge(prefix, self._refuse(prefix)).attributes

    def judgement(self, prefix: Prefix) -> Judgement | None:
        """The judgement on whatever the session announced; None if it announced nothing."""
        adj = self.session.adj
        received = adj.get(prefix) or adj.shed.get(prefix)
        if received is None and prefix in adj.refused:
            received = adj.refused[prefix][0]
        return None if received is None else self._weigh(received)[1].judge(prefix, self._refuse(prefix))

    def admit(self) -> Work:
        """Find `admitted`, in bounded pieces and in the order in which the engine would take paths in.

        Shed paths take the room that there is. Refused ones follow once it is known which accepted ones
        leave, and the rest of the shed ones comes last.
        """
        adj = self.session.adj
        limit = self.supposed.settings.max_prefixes
        shed = list(adj.shed.items()) if self.session.over_limit else []
        refused = [(prefix, attributes) for prefix, (attributes, _) in adj.refused.items()]
        if len(adj.fresh) + len(shed) + len(refused) <= limit:
            yield from self._take(shed + refused, limit)
            return
        yield from self._take(shed, limit - len(adj.fresh))
        staying = 0
        for piece in pieces(list(adj.fresh)):
            staying += sum(self.accepted(prefix) is not None for prefix in piece if prefix in adj.fresh)
            yield
        yield from self._take(refused, limit - staying - len(self.admitted))
        yield from self._take(shed, limit - staying - len(self.admitted))

    def _take(self, paths: list[tuple[Prefix, Attributes]], room: int) -> Work:
        """Admit what is acceptable of the paths, `room` of them at the most."""
        left = room
        for piece in pieces(paths):
            for prefix, received in piece:
                made = self._weigh(received)[1].judge(prefix, self._refuse(prefix)).attributes
                if left > 0 and made is not None and prefix not in self.admitted:
                    self.admitted[prefix] = made
                    left -= 1
            yield

    def _weigh(self, received: Attributes) -> tuple[Attributes, Weighed, Attributes | None]:
        found = self._weighed.get(id(received))
        if found is None:
            weighed = self.supposed.weigh(received)
            found = self._weighed[id(received)] = (received, weighed, weighed.uniform)
        return found
