"""Compiled loops over the few rows that a request touches. Rows may shrink and grow: ``start`` and
``stop`` say where they are, not the next row's beginning. ``of`` is a ``SideArrays``.
"""

from __future__ import annotations

import numpy as np

from alteraser.linalg.kernels.vector import fetch
from alteraser.runtime.jit import kernel
from alteraser.solvers.kernels.joint import AHEAD, row_product, solve_at


@kernel
def find(start, stop, indices, row, column):  # type: ignore[no-untyped-def]
    """Place of ``column`` in the sorted ``row``, or where it would be inserted, as −1 − place."""
    lo, hi = start[row], stop[row]
    while lo < hi:
        middle = (lo + hi) // 2
        if indices[middle] < column:
            lo = middle + 1
        else:
            hi = middle
    if lo < stop[row] and indices[lo] == column:
        return lo
    return -1 - lo


@kernel
def take_out(start, stop, indices, confidence, target, stamp, rows, columns, taken):  # type: ignore[no-untyped-def]
    """Delete (rows[i], columns[i]); ``taken[i]`` = (found, c, y). What is left behind a row is
    overwritten by zeros.
    """
    for n in range(rows.size):
        row = rows[n]
        place = find(start, stop, indices, row, columns[n])
        if place < 0:
            taken[n, 0] = 0.0
            continue
        last = stop[row] - 1
        taken[n, 0] = 1.0
        taken[n, 1] = confidence[place] if confidence.size else 1.0
        taken[n, 2] = target[place] if target.size else 1.0
        for k in range(place, last):
            indices[k] = indices[k + 1]
        indices[last] = 0
        if confidence.size:
            for k in range(place, last):
                confidence[k] = confidence[k + 1]
            confidence[last] = 0
        if target.size:
            for k in range(place, last):
                target[k] = target[k + 1]
            target[last] = 0
        if stamp.size:
            for k in range(place, last):
                stamp[k] = stamp[k + 1]
            stamp[last] = 0
        stop[row] = last


@kernel
def put_in(start, stop, limit, indices, confidence, target, stamp, rows, columns, c, y, t):  # type: ignore[no-untyped-def]
    """Insert (rows[i], columns[i]) in order; returns how many went in before a row was full."""
    for n in range(rows.size):
        row = rows[n]
        place = -1 - find(start, stop, indices, row, columns[n])
        if stop[row] == limit[row]:
            return n
        for k in range(stop[row], place, -1):
            indices[k] = indices[k - 1]
        indices[place] = columns[n]
        if confidence.size:
            for k in range(stop[row], place, -1):
                confidence[k] = confidence[k - 1]
            confidence[place] = c[n]
        if target.size:
            for k in range(stop[row], place, -1):
                target[k] = target[k - 1]
            target[place] = y[n]
        if stamp.size:
            for k in range(stop[row], place, -1):
                stamp[k] = stamp[k - 1]
            stamp[place] = t[n]
        stop[row] += 1
    return rows.size


@kernel
def solve_touched(rows, of, Z, G, U, X, steps, accuracy, decrement):  # type: ignore[no-untyped-def]
    """Put every X[i] at its minimum given Z: conjugate gradients with the row's last factor U[i] as
    preconditioner.

    A changed by few interactions since, so a few steps do; a row stops at ‖r‖²_{U⁻¹} ≤ accuracy ·
    bᵀx. Writes ``decrement[n]`` = gᵀU⁻¹g before, and returns how many products were taken.
    """
    padded = X.shape[1]
    dtype = X.dtype
    r = np.empty(padded, dtype)
    p = np.empty(padded, dtype)
    q = np.empty(padded, dtype)
    z = np.empty(padded, dtype)
    one = dtype.type(1)
    none = dtype.type(0)
    flat, mine = U.reshape(-1), X.reshape(-1)
    products = 0
    for n in range(rows.size):
        i = rows[n]
        x = X[i]
        decrement[n] = 0.0
        if of.start[i] == of.stop[i]:
            for c in range(padded):
                x[c] = 0
            continue
        scale = row_product(i, of, Z, G, mine, i * padded, one, q)
        products += 1
        for c in range(padded):
            r[c] = -q[c]
            z[c] = r[c]
        solve_at(flat, i * U.shape[1], z, 0, padded)
        rz = 0.0
        for c in range(padded):
            rz += np.float64(r[c]) * np.float64(z[c])
            p[c] = z[c]
        decrement[n] = rz
        for _ in range(steps):
            if not rz > accuracy * max(abs(scale), rz):
                break
            row_product(i, of, Z, G, p, 0, none, q)
            products += 1
            bent = 0.0
            for c in range(padded):
                bent += np.float64(p[c]) * np.float64(q[c])
            if not bent > 0.0:
                break
            gain = rz / bent
            scale = max(scale, gain * rz)  # what xᵀA x grows by, for rows that start at zero
            alpha = dtype.type(gain)
            for c in range(padded):
                x[c] += alpha * p[c]
                r[c] -= alpha * q[c]
                z[c] = r[c]
            solve_at(flat, i * U.shape[1], z, 0, padded)
            before = rz
            rz = 0.0
            for c in range(padded):
                rz += np.float64(r[c]) * np.float64(z[c])
            beta = dtype.type(rz / before)
            for c in range(padded):
                p[c] = z[c] + beta * p[c]
    return products


@kernel
def spread(rows, of, before, after, norms, bound):  # type: ignore[no-untyped-def]
    """Add to ``bound`` by how much the changes ``before`` → ``after`` of ``rows`` can move the
    other side's gradients.

    For an interaction with row k: |Δg_k| ≤ (|ω| (‖x‖ + ‖x'‖) ‖z_k‖ + c |y|) ‖x' − x‖. Returns the
    part that all rows share, to be multiplied by b_k ‖z_k‖: w₀ a (‖x‖ + ‖x'‖) ‖x' − x‖.
    """
    shared = 0.0
    for n in range(rows.size):
        i = rows[n]
        moved, size, size_after = 0.0, 0.0, 0.0
        for c in range(before.shape[1]):
            delta = np.float64(after[n, c]) - np.float64(before[n, c])
            moved += delta * delta
            size += np.float64(before[n, c]) ** 2
            size_after += np.float64(after[n, c]) ** 2
        moved = np.sqrt(moved)
        both = np.sqrt(size) + np.sqrt(size_after)
        missing = np.float64(before.dtype.type(of.missing_weight)) * np.float64(of.own[i])
        shared += missing * both * moved
        stop = of.stop[i]
        for j in range(of.start[i], stop):
            k = of.indices[j]
            if j + 2 * AHEAD < stop:
                fetch(bound, of.indices[j + 2 * AHEAD], 1)
                fetch(norms, of.indices[j + 2 * AHEAD], 1)
            c_j = np.float64(of.confidence[j]) if of.confidence.size else 1.0
            y_j = np.float64(of.target[j]) if of.target.size else 1.0
            weight = c_j - missing * (np.float64(of.other[k]) if of.other.size else 1.0)
            bound[k] += (abs(weight) * both * norms[k] + c_j * abs(y_j)) * moved
    return shared


@kernel
def block_norms(rows, U, right, work):  # type: ignore[no-untyped-def]
    """Σ rᵀA⁻¹r of ``right[n]`` with the factor U[rows[n]]; ``work`` is one row of scratch."""
    total = 0.0
    flat = U.reshape(-1)
    for n in range(rows.size):
        for c in range(work.size):
            work[c] = right[n, c]
        solve_at(flat, rows[n] * U.shape[1], work, 0, work.size)
        for c in range(work.size):
            total += np.float64(work[c]) * np.float64(right[n, c])
    return total


@kernel
def cell_errors(rows, columns, X, Z, confidence, target, missing, error):  # type: ignore[no-untyped-def]
    """``error[n]`` = ω s − c y of (rows[n], columns[n]) with s = x·z and ω = c − ``missing[n]``."""
    for n in range(rows.size):
        x, z = X[rows[n]], Z[columns[n]]
        s = 0.0
        for c in range(x.size):
            s += np.float64(x[c]) * np.float64(z[c])
        error[n] = (confidence[n] - missing[n]) * s - confidence[n] * target[n]
