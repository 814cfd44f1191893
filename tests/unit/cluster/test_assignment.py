"""Sequences out to ranks and rows, results back in order."""

from lmm_r1_mega.cluster.trainers import Assignment


def test_rows_and_back():
    assignment = Assignment([[[3, 0], []], [[2], [1, 4]]])
    assert assignment.rows(list("abcde")) == [[["d", "a"], []], [["c"], ["b", "e"]]]
    assert assignment.restore([[[30, 0], []], [[20], [10, 40]]]) == [0, 10, 20, 30, 40]
