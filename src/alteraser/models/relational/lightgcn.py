"""LightGCN with a loss over all cells: embeddings smoothed on the graph of who interacted with
what.

E is one table of users and items, Ã = D^{-1/2} A D^{-1/2} of their graph, and users and items score
with the rows of (I + Ã + … + Ã^K) E / (K + 1) (X. He et al., SIGIR 2020). There the loss is BPR's,
of sampled negatives, and two trainings agree little; here it is the weighted squared error over all
cells (Chen et al., TOIS 2020), sampled nowhere, with λ‖E‖², and has an optimum to return to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field

from alteraser.errors import InvalidInput
from alteraser.models.relational.kind import LinearKind
from alteraser.runtime.late import late

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from alteraser.data.interactions import Interactions
    from alteraser.models.relational.problem import LinearProblem, Point

    Float64 = npt.NDArray[np.float64]
else:
    np = late("numpy")

NODE = "node"
"""The one table: users, then items"""
MORE = 1.4
"""Share of ENMF's λ, which errs toward too little: on a validation cut of MovieLens-100K and -1M,
KuaiRec and Amazon Electronics more accurate than 1, at K = 2"""


class LinearLightGCN(LinearKind):
    """LightGCN with the full loss.

    >>> from alteraser import Interactions
    >>> data = Interactions.from_pairs([(u, v) for u in range(6) for v in range(u % 3, 6, 3)])
    >>> LinearLightGCN(factors=2).settled(data).problem(data).size
    24
    """

    name: ClassVar[str] = "linear-lightgcn"
    summary: ClassVar[str] = "embeddings smoothed on the graph, a loss over all cells"

    grid: ClassVar[Mapping[str, Sequence[Any]]] = {"layers": (1, 2, 3)}

    layers: int = Field(default=2, ge=0, le=16, description="K, how far the graph smooths")

    def settled(self, data: Interactions) -> Self:
        """With w₀ of the rule for ENMF, and ``MORE`` of its λ over (K + 1)²: that is what
        propagation shrinks what is not smooth by.
        """
        found = self.objective(data, share=MORE / (self.layers + 1) ** 2)
        return self.model_copy(
            update={
                "missing_weight": found.missing_weight,
                "regularization": found.regularization,
            }
        )

    def problem(self, data: Interactions) -> LinearProblem:
        """See ``LinearKind``; InvalidInput for a number that is out of range."""
        from scipy.sparse import block_array, csr_array

        from alteraser.models.factorization.magnitudes import check_magnitudes
        from alteraser.models.relational import (
            Cells,
            LinearProblem,
            MissingWeights,
            Part,
            Propagation,
            Relation,
            Table,
            normalized,
        )

        m, n = data.shape
        objective = self.objective(data)
        check_magnitudes(objective, data)
        likes = csr_array((np.ones(len(data)), data.indices, data.indptr), shape=(m, n))
        graph = csr_array(block_array([[None, likes], [likes.T, None]], format="csr"))
        walk = Propagation(normalized(graph), self.layers)
        relation = Relation(
            "interaction",
            NODE,
            NODE,
            Part(walk, 0, m),
            Part(walk, m, m + n),
            Cells.of(data),
            MissingWeights.of(objective, data),
        )
        ridge = np.concatenate(
            [objective.user_ridge(data.user_counts, n), objective.item_ridge(data.item_counts, m)]
        )
        # a row of nobody is zero whatever weighs it, but columns are looked at, and λ comes down,
        # only where every row has a penalty
        ridge[ridge == 0.0] = objective.regularization
        table = Table.numbered(NODE, m + n)
        return LinearProblem((table,), (relation,), {NODE: ridge}, self.factors)

    def fitted(
        self, tables: dict[str, Float64], before: tuple[int, int], data: Interactions
    ) -> dict[str, Float64]:
        """See ``LinearKind``."""
        E, (m, n) = tables[NODE], data.shape
        out = np.zeros((m + n, E.shape[1]))
        out[: before[0]] = E[: before[0]]
        out[m : m + before[1]] = E[before[0] :]
        return {NODE: out}

    def emptied(self, point: Point, data: Interactions) -> Point:
        """See ``LinearKind``."""
        from alteraser.models.relational import Point

        vector = point.vector.copy()
        E = vector.reshape(point.tables[NODE].shape)
        E[np.concatenate([data.user_counts, data.item_counts]) == 0] = 0.0
        return Point(vector, {NODE: E}, {})

    def compacted(
        self, tables: dict[str, Float64], shape: tuple[int, int], rows: tuple[Any, Any]
    ) -> dict[str, Float64]:
        """See ``LinearKind``: rows of zeros add nothing, but to the mean that weights are over and
        to the number of rows that κ multiplies.
        """
        if self.missing_weighting != "uniform":
            raise InvalidInput(
                f"missing weights by {self.missing_weighting} are over all rows: a {self.name} "
                "with such weights cannot be compacted"
            )
        if self.regularization_scaling != "none" and self.scaling_offset > 0:
            raise InvalidInput(
                f"a scaling offset of {self.scaling_offset:g} counts all rows: a {self.name} with "
                "such a regularization cannot be compacted"
            )
        return {NODE: tables[NODE][np.concatenate([rows[0], shape[0] + rows[1]])]}

    def composed(self, problem: LinearProblem, point: Point) -> tuple[Float64, Float64]:
        """The smoothed rows of users and of items."""
        relation = problem.relations[0]
        E = point.tables[NODE]
        return relation.left.apply(E).copy(), relation.right.apply(E).copy()
