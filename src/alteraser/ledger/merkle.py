"""The tree of RFC 9162: a list that can only grow, and short proofs that something is in it and
that it only grew.

    leaf  = SHA-256(0x00 ‖ content) node  = SHA-256(0x01 ‖ left ‖ right) MTH(D[0:n]) =
    node(MTH(D[0:k]), MTH(D[k:n])),  k the largest power of two below n;  MTH({}) = SHA-256()

Proofs are made from a list of leaf hashes, and checked from hashes alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

Hash = bytes
EMPTY = hashlib.sha256(b"").digest()


def leaf(content: bytes) -> Hash:
    """SHA-256(0x00 ‖ content)."""
    return hashlib.sha256(b"\x00" + content).digest()


def node(left: Hash, right: Hash) -> Hash:
    """SHA-256(0x01 ‖ left ‖ right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaves: Sequence[Hash]) -> Hash:
    """MTH of leaf hashes, level by level.

    >>> root([leaf(b"a"), leaf(b"b")]) == node(leaf(b"a"), leaf(b"b"))
    True
    """
    if not leaves:
        return EMPTY
    level = list(leaves)
    while len(level) > 1:
        paired = [node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = paired if len(level) % 2 == 0 else [*paired, level[-1]]
    return level[0]


def inclusion(index: int, leaves: Sequence[Hash]) -> list[Hash]:
    """The proof that leaf ``index`` is in the tree of ``leaves``, from the leaf upwards (RFC 9162,
    2.1.3.1).
    """
    if not 0 <= index < len(leaves):
        raise ValueError(f"there is no leaf {index} among {len(leaves)}")
    proof, level = [], list(leaves)
    while len(level) > 1:
        if index ^ 1 < len(level):
            proof.append(level[index ^ 1])
        paired = [node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = paired if len(level) % 2 == 0 else [*paired, level[-1]]
        index //= 2
    return proof


GROUP = 1024
"""Leaves of a group, a power of two"""


class Tree:
    """What is needed of a long list to go on with it: the roots of its whole groups, and the leaves
    behind the last of them. As groups are whole subtrees,

        MTH(D) = MTH(root of the first group, …, root of the last group, root of the rest)

    the rest left out where there is none.
    """

    def __init__(
        self, groups: Sequence[Hash] = (), rest: Sequence[Hash] = (), *, group: int | None = None
    ) -> None:
        self.groups, self.rest, self._group = list(groups), list(rest), group or GROUP

    @property
    def size(self) -> int:
        """Leaves."""
        return len(self.groups) * self._group + len(self.rest)

    def add(self, content: Hash) -> None:
        """One more leaf hash."""
        self.rest.append(content)
        if len(self.rest) == self._group:
            self.groups.append(root(self.rest))
            self.rest = []

    @property
    def root(self) -> Hash:
        """``root`` of all leaves."""
        return root(self._above)

    @property
    def _above(self) -> list[Hash]:
        return [*self.groups, root(self.rest)] if self.rest else self.groups

    def inclusion(self, index: int, own: Sequence[Hash]) -> list[Hash]:
        """``inclusion`` of leaf ``index``, whose group has the leaves ``own``: of the last one
        those that there are.
        """
        number, place = divmod(index, self._group)
        return [*inclusion(place, own), *inclusion(number, self._above)]


def includes(content: Hash, index: int, size: int, proof: Sequence[Hash], expected: Hash) -> bool:
    """Whether ``proof`` shows the leaf hash ``content`` at ``index`` of the tree with ``size``
    leaves and that root.
    """
    if not 0 <= index < size:
        return False
    at, last, found = index, size - 1, content
    for sibling in proof:
        if last == 0:
            return False
        if at % 2 or at == last:
            found = node(sibling, found)
            while at % 2 == 0 and at:
                at, last = at // 2, last // 2
        else:
            found = node(found, sibling)
        at, last = at // 2, last // 2
    return last == 0 and found == expected


def consistency(first: int, leaves: Sequence[Hash]) -> list[Hash]:
    """The proof that the tree of the first ``first`` leaves is the beginning of that of all
    (2.1.4.1).
    """
    if not 0 < first <= len(leaves):
        raise ValueError(f"expected 1 to {len(leaves)} leaves, not {first}")
    return _subproof(first, leaves, True)


def _subproof(first: int, leaves: Sequence[Hash], whole: bool) -> list[Hash]:
    size = len(leaves)
    if first == size:
        return [] if whole else [root(leaves)]
    split = 1 << (size - 1).bit_length() - 1
    if first <= split:
        return [*_subproof(first, leaves[:split], whole), root(leaves[split:])]
    return [*_subproof(first - split, leaves[split:], False), root(leaves[:split])]


def consistent(first: int, second: int, old: Hash, new: Hash, proof: Sequence[Hash]) -> bool:
    """Whether ``proof`` shows that the tree of ``first`` leaves, root ``old``, begins that of
    ``second`` (2.1.4.2).
    """
    if first == second:
        return not proof and old == new
    if not 0 < first < second:
        return False
    path = list(proof)
    if first & (first - 1) == 0:
        path.insert(0, old)
    if not path:
        return False
    at, last = first - 1, second - 1
    while at % 2:
        at, last = at // 2, last // 2
    earlier = later = path[0]
    for each in path[1:]:
        if last == 0:
            return False
        if at % 2 or at == last:
            earlier, later = node(each, earlier), node(each, later)
            while at % 2 == 0 and at:
                at, last = at // 2, last // 2
        else:
            later = node(later, each)
        at, last = at // 2, last // 2
    return last == 0 and earlier == old and later == new
