"""Stochastic gradient steps on ratings, one after the other."""

from __future__ import annotations

from alteraser.runtime.jit import kernel


@kernel
def rating_steps(rows, indices, ratings, P, Q, b, c, rates, ridges, epochs):  # type: ignore[no-untyped-def]
    """``epochs`` times over all ratings r (about their mean) of u = ``rows`` and i = ``indices``,
    in place: with e = r − b_u − c_i − p·q, ``rates`` η and ``ridges`` λ of p, q, b and c,

        p += η_p (e q − λ_p p),   q += η_q (e p − λ_q q),   b_u += η_b (e − λ_b b_u),   c_i alike

    with p from before in both.
    """
    for _ in range(epochs):
        for k in range(rows.size):
            u, i = rows[k], indices[k]
            e = ratings[k] - b[u] - c[i]
            for f in range(P.shape[1]):
                e -= P[u, f] * Q[i, f]
            b[u] += rates[2] * (e - ridges[2] * b[u])
            c[i] += rates[3] * (e - ridges[3] * c[i])
            for f in range(P.shape[1]):
                mine = P[u, f]
                P[u, f] += rates[0] * (e * Q[i, f] - ridges[0] * mine)
                Q[i, f] += rates[1] * (e * mine - ridges[1] * Q[i, f])
