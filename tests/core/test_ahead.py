"""How far conjugate gradients still has to go, and what it keeps for the next solve: against dense
matrices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alteraser.linalg.ahead import Ahead
from alteraser.solvers.recycled import Lanczos, Recycled

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class System:
    """S x = b with a diagonal preconditioner B."""

    S: Float64
    B: Float64
    b: Float64

    @classmethod
    def random(cls, seed: int, size: int, least: float) -> System:
        """Eigenvalues of B⁻¹S between ``least`` and 1, the smaller the rarer, as those of a
        factorization are."""
        rng = np.random.default_rng(seed)
        V, _ = np.linalg.qr(rng.standard_normal((size, size)))
        values = least ** (rng.random(size) ** 3)
        values[0] = least
        B = rng.uniform(0.5, 2.0, size)
        S = np.sqrt(B)[:, None] * ((V * values) @ V.T) * np.sqrt(B)
        return cls(S, B, rng.standard_normal(size))

    def run(
        self,
        ahead: Ahead,
        *,
        products: int,
        start: Float64 | None = None,
        recycled: Recycled | None = None,
        lanczos: Lanczos | None = None,
    ) -> list[tuple[Float64, float, float]]:
        """(x, energy ahead, length ahead) after every iteration."""
        x = np.zeros(self.b.size) if start is None else start
        r = self.b - self.S @ x

        def solved(r: Float64) -> Float64:
            z = r / self.B
            return z if recycled is None else z + recycled.correction(r[:, None])[:, 0]

        z = solved(r)
        p, rho = z, r @ z
        found, led = [], None
        for _ in range(products):
            Sp = self.S @ p
            step = rho / (p @ Sp)
            if lanczos is not None:
                lanczos.add(z[:, None], rho, step, led)
            x, r = x + step * p, r - step * Sp
            ratio = (p @ (self.B * p)) / (p @ p)
            z = solved(r)
            rho, last = r @ z, rho
            if not rho > 1e-26 * (self.b @ self.b):
                break
            led = step, rho / last
            ahead.met(step, rho / last, rho, ratio)
            found.append((x, ahead.energy, ahead.length))
            p = z + rho / last * p
        return found

    @classmethod
    def slow(cls, seed: int, size: int, few: int) -> System:
        """A ``few`` small eigenvalues of B⁻¹S, far from the others."""
        system = cls.random(seed, size, 0.5)
        V, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((size, size)))
        values = np.concatenate([np.geomspace(1e-4, 1e-2, few), np.linspace(0.2, 1.0, size - few)])
        return cls(
            np.sqrt(system.B)[:, None] * ((V * values) @ V.T) * np.sqrt(system.B),
            system.B,
            system.b,
        )

    @property
    def solution(self) -> Float64:
        return np.linalg.solve(self.S, self.b)

    @property
    def least(self) -> float:
        half = 1.0 / np.sqrt(self.B)
        return float(np.linalg.eigvalsh(half[:, None] * self.S * half)[0])


@given(st.integers(0, 10_000), st.floats(-4.0, -0.5), st.integers(30, 90))
@settings(max_examples=40, deadline=None)
def test_below_the_spectrum_it_is_a_bound(seed: int, exponent: float, size: int) -> None:
    system = System.random(seed, size, 10.0**exponent)
    whole = system.solution @ system.S @ system.solution
    for x, energy, _ in system.run(Ahead(least=system.least), products=size // 2):
        error = system.solution - x
        assert energy >= (1 - 1e-6) * (error @ system.S @ error) - 1e-12 * whole


def test_where_little_is_said_to_be_ahead_little_is() -> None:
    """Without knowing anything of the spectrum: to a factor of two, wherever it would end a
    solve."""
    rng, claims = np.random.default_rng(5), 0
    for seed in range(60):
        system = System.random(seed, int(rng.integers(30, 90)), 10.0 ** rng.uniform(-4.0, -0.5))
        for x, _, length in system.run(Ahead(), products=system.b.size):
            if length <= 0.05 * np.linalg.norm(x):
                claims += 1
                assert np.linalg.norm(system.solution - x) <= 0.1 * np.linalg.norm(x), seed
    assert claims > 500


def test_what_the_last_iterations_added_does_not_tell() -> None:
    """Where there are many small eigenvalues, steps become short long before they come to the least
    of them."""
    values = np.geomspace(1e-5, 1.0, 300)
    b = np.sqrt(values) * np.random.default_rng(3).standard_normal(300)
    system = System(np.diag(values), np.ones(300), b)
    found = system.run(Ahead(), products=300)
    taken_in = 0
    for k in range(16, len(found)):
        x, _, length = found[k]
        size, lacks = np.linalg.norm(x), np.linalg.norm(system.solution - x)
        added = np.linalg.norm(x - found[k - k // 4][0])
        if added <= 0.3 * size and lacks > size:
            taken_in += 1
            assert length > 0.3 * size
    assert taken_in > 3


def test_it_says_nothing_at_first_and_all_at_the_end() -> None:
    ahead = Ahead()
    assert ahead.length == 0.0  # nothing to do
    system = System.random(0, 40, 1e-2)
    found = system.run(ahead, products=3)
    assert not np.isfinite(found[-1][2])
    found = system.run(Ahead(), products=200)
    assert found[-1][2] < 1e-6 * np.linalg.norm(system.solution)


@pytest.mark.parametrize("room", [200, 30])
def test_what_is_kept_are_ritz_vectors(room: int) -> None:
    """Also where the others had to give way on the way: then about the same ones."""
    system = System.slow(5, 150, 6)
    lanczos = Lanczos((150, 1), np.float64, room=room, keep=6)
    system.run(Ahead(), products=50, lanczos=lanczos)
    kept = lanczos.least(system.least)
    assert kept is not None
    W = kept.vectors[:, :, 0]
    np.testing.assert_allclose(W @ (system.B[:, None] * W.T), np.eye(6), atol=1e-5)
    np.testing.assert_allclose(W @ system.S @ W.T, np.diag(kept.values), atol=1e-5)
    np.testing.assert_allclose(kept.values, np.geomspace(1e-4, 1e-2, 6), rtol=0.01)
    assert kept.next > 0.19


def test_the_next_solve_is_shorter_and_ends_at_the_same() -> None:
    system = System.slow(7, 150, 10)
    lanczos = Lanczos((150, 1), np.float64, room=40, keep=10)
    system.run(Ahead(), products=60, lanczos=lanczos)
    kept = lanczos.least(system.least)
    assert kept is not None
    other = System(system.S, system.B, np.random.default_rng(1).standard_normal(150))

    def needed(recycled: Recycled | None) -> int:
        for count, (x, _, _) in enumerate(
            other.run(Ahead(), products=150, recycled=recycled), start=1
        ):
            if np.linalg.norm(x - other.solution) < 1e-3 * np.linalg.norm(other.solution):
                return count
        raise AssertionError("it did not get there")

    assert needed(kept) < 0.6 * needed(None)
    assert kept.at_least(1e-7).least == 1e-7
    assert kept.at_least(np.inf) == kept


def test_room_is_more_than_what_is_kept() -> None:
    with pytest.raises(ValueError, match="room=4 is more than twice keep=2"):
        Lanczos((3, 1), np.float64, room=4, keep=2)
    assert Lanczos((3, 1), np.float64, room=5, keep=2).least(1.0) is None
