"""Deliveries leave room for other work, and take it while there is none."""

from app.core.slices import _LONGEST, _SHORTEST, Slices


def test_slices_grow_while_nothing_else_has_work_and_are_short_beside_it():
    slices, now, lengths = Slices(), 1.0, []
    for others in (0.01, 0.00002, 0.00002, 0.00002, 0.00002, 0.00002, 0.001, 0.00002):
        now += others
        until = slices.begin(now)
        lengths.append(round(until - now, 6))
        slices.end(now := until)
    assert lengths == [_SHORTEST, 0.0004, 0.0008, 0.0016, _LONGEST, _LONGEST, _SHORTEST, 0.0004]
