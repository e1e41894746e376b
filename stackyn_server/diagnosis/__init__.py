"""What the output of a build or a start that failed says of the cause: tables of known kinds. Pure.

A kind is one row of a table here, and one recording of the real tool in the tests.
"""
