"""The geometric median over time: the spectrum with the least sum of distances to all that were observed (pure numpy)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]

_COLUMNS = 8192  # at a time, so that a few dozen dates stay in a processor's caches
_MOST_STEPS = 200
_WORTH_LEAVING_OUT = 0.7  # the others are copied together when fewer than this share of the columns still move
_ON_ONE = np.float32(0.7)  # what an observation weighs that is no farther away than `nearest`, in units of 1 / nearest
_RELAXATION = np.float32(
    1.2
)  # each step goes so much farther: Weiszfeld's are too short (Ostresh 1978: up to 2 converges)
_MOST_STRETCH = np.float32(10)  # of an accelerated step


def geometric_median(values: NDArray[Any], valid: NDArray[np.bool_], *, tolerance: float) -> Float32:
    """(bands, columns), NaN where nothing is valid.

    `values`: (times, bands, columns) of any real type; `valid`: (times, columns). `tolerance`: in the unit of the
    values; the search ends where the next step would be shorter.

    Weiszfeld's algorithm, which takes the mean of the observations weighted by the inverse of their distance, again
    and again, from their mean on; Anderson's acceleration (1965, depth 1) guesses from two such steps where they lead
    to; a median that lies on an observation is found as Vardi and Zhang (2000) have it. Where it is not unique (two
    observations) it is the one next to the mean.
    """
    result = np.full(values.shape[1:], np.nan, dtype=np.float32)
    for start in range(0, values.shape[2], _COLUMNS):
        part = slice(start, start + _COLUMNS)
        seen = np.flatnonzero(valid[:, part].any(axis=0))
        dates = np.flatnonzero(valid[:, part].any(axis=1))  # a cloudy date costs nothing
        if not seen.size:
            continue
        weights = valid[dates, part].take(seen, axis=1)
        chosen = np.where(weights[:, np.newaxis], values[dates, :, part].take(seen, axis=2), 0).astype(np.float32)
        result[:, start + seen] = _Search(chosen, weights.astype(np.float32), tolerance).run()
    return result


class _Search:
    """The medians of some columns; a column that has arrived rests."""

    def __init__(self, values: Float32, weights: Float32, tolerance: float) -> None:
        self._values = values  # (times, bands, columns), finite also where the weight is 0
        self._weights = weights  # (times, columns), 0 or 1
        self._tolerance = np.float32(tolerance)
        self._nearest = np.float32(tolerance / 10)  # closer to an observation than this is on it
        self._columns = np.arange(values.shape[2])  # those that are looked at
        self._moving = np.ones(values.shape[2], dtype=np.bool_)  # which of them have not arrived
        self._place = _mean(values, weights)
        self._before: tuple[Float32, Float32, Float32] | None = None  # place, step and its square, of the turn before

    def run(self) -> Float32:
        """(bands, columns)."""
        result = np.empty_like(self._place)
        for _ in range(_MOST_STEPS):
            step = self._step()
            length = _dot(step, step)
            place, self._place = self._place, self._place + _RELAXATION * step
            if self._before is not None:
                self._place -= _overshoot(place, step, length, self._before)
            self._before = place, step, length
            arrived = self._moving & (length <= self._tolerance**2)
            result[:, self._columns[arrived]] = self._place[:, arrived]
            self._moving &= ~arrived
            if np.count_nonzero(self._moving) <= _WORTH_LEAVING_OUT * arrived.size:
                self._keep(np.flatnonzero(self._moving))
            if not self._columns.size:
                return result
        result[:, self._columns[self._moving]] = self._place[:, self._moving]
        return result

    def _step(self) -> Float32:
        """From where each column is to where Weiszfeld's algorithm would go next."""
        pull = np.zeros_like(self._place)
        total = np.zeros_like(self._place[0])
        nearest = self._nearest**2
        apart, squares, inverse = np.empty_like(pull), np.empty_like(pull), np.empty_like(total)
        for values, weights in zip(self._values, self._weights, strict=True):
            np.subtract(values, self._place, out=apart)
            np.multiply(apart, apart, out=squares)
            np.add(squares[0], nearest, out=inverse)  # so that no distance is zero
            for square in squares[1:]:
                np.add(inverse, square, out=inverse)
            np.sqrt(inverse, out=inverse)
            np.divide(weights, inverse, out=inverse)
            np.add(total, inverse, out=total)
            np.multiply(apart, inverse, out=apart)
            np.add(pull, apart, out=pull)
        on_one = np.flatnonzero(total * self._nearest >= _ON_ONE)
        if on_one.size:
            pull[:, on_one], total[on_one] = self._leave_observations(on_one)
        pull /= total
        return pull

    def _leave_observations(self, columns: NDArray[np.intp]) -> tuple[Float32, Float32]:
        """Pull and weight of the others for columns that are on an observation, which would hold them there: by Vardi
        and Zhang it does so only where the others pull with less than its share."""
        apart = self._values[:, :, columns] - self._place[:, columns]
        distance = np.sqrt(np.stack([_dot(numbers, numbers) for numbers in apart]))
        near = distance < self._nearest
        weights = self._weights[:, columns]
        inverse = np.where(near, 0, weights / np.maximum(distance, self._nearest))
        pull = _sum_over(apart * inverse[:, np.newaxis])
        strength = np.sqrt(_dot(pull, pull))
        held = _sum_over(near * weights)
        pull *= 1 - np.divide(held, strength, out=np.ones_like(strength), where=strength > held)
        total = _sum_over(inverse)
        total[total == 0] = 1
        return pull, total

    def _keep(self, columns: NDArray[np.intp]) -> None:
        self._values = self._values.take(columns, axis=2)
        self._weights = self._weights.take(columns, axis=1)
        self._columns, self._moving = self._columns[columns], self._moving[columns]
        self._place = self._place.take(columns, axis=1)
        if self._before is not None:
            place, step, length = self._before
            self._before = place.take(columns, axis=1), step.take(columns, axis=1), length[columns]


def _overshoot(place: Float32, step: Float32, length: Float32, before: tuple[Float32, Float32, Float32]) -> Float32:
    """What to take off the place that a step leads to, by Anderson; 0 where the step is no shorter than the one before."""
    earlier_place, earlier_step, earlier_length = before
    turned = step - earlier_step
    share = _dot(turned, step)
    share /= np.maximum(_dot(turned, turned), np.float32(1e-30))
    np.clip(share, -_MOST_STRETCH, 1, out=share)
    share[length >= earlier_length] = 0
    turned *= _RELAXATION
    turned += place
    turned -= earlier_place
    turned *= share
    return turned


def _mean(values: Float32, weights: Float32) -> Float32:
    total: Float32 = np.zeros_like(values[0])
    for numbers, weight in zip(values, weights, strict=True):
        total += numbers * weight
    total /= _sum_over(weights)
    return total


def _dot(a: Float32, b: Float32) -> Float32:
    return _sum_over(a * b)


def _sum_over(rows: Float32) -> Float32:
    """The sum over the first axis, one after the other: numpy's own adds a single column in another order."""
    total: Float32 = rows[0].copy()
    for row in rows[1:]:
        np.add(total, row, out=total)
    return total
