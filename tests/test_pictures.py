"""Charts: what must be seen is there."""

import numpy as np

from erasure.pictures import Marked, draw_side_by_side, draw_spectrum


def test_a_dollar_sign_is_a_letter_in_charts():
    picture = draw_spectrum({"a $x^$ b": 1.0, "cat": 0.5}, [Marked("$_$", 2.0, "erased")], "erasing $^$")
    assert picture.width > 500


def blue_pixels(picture):
    red, _, blue = np.asarray(picture.convert("RGB"), int).transpose(2, 0, 1)
    return blue > red + 60


def test_methods_side_by_side_point_out_the_best_where_its_mean_lies():
    measured = {"harm": {"one": [9.0, 10.0, 11.0], "two": [0.0, 1.0, 2.0]}, "cost": {"one": [1.0], "two": [1.0]}}
    assert not blue_pixels(draw_side_by_side(measured, "nobody is best")).any()
    rightmost, leftmost = (np.flatnonzero(blue_pixels(draw_side_by_side({"harm": measured["harm"]}, "t", best)).any(0)).mean() for best in ("one", "two"))
    assert leftmost + 100 < rightmost
    assert draw_side_by_side(measured, "t").width > draw_side_by_side({"harm": measured["harm"]}, "t").width + 200
