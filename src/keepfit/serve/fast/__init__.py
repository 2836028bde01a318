"""Predictors that are equal to the bit to scikit-learn's methods, without its checks.

For one row, most of what `predict` takes is spent on finding out what X is. Here that is done once by one guard: an
array of the right width, of finite floats, in C order. What passes it goes through the arithmetic of the method, in the
same order, by the same compiled functions; everything else goes to the method itself, whose answer or error it gets.
There is no second meaning: before a predictor is used, it is held against the method, bit for bit.
"""

from keepfit.serve.fast.preparing import formula_of, prepare

__all__ = ["formula_of", "prepare"]
