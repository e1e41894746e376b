"""Repositories of other people, deployed through the real product, and a table of what became of them.

Nothing of them is kept here: they are read from a folder or a bare repository that whoever runs it has at hand.
"""
