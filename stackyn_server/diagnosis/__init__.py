"""Find the cause in the output of a failed build or start, by tables of known kinds. Pure.

A kind is one row of a table here, and one recording of the real tool in the tests.
"""
