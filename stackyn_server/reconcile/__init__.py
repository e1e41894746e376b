"""Compares what should run with what runs, and enqueues jobs for the differences.

A container that dies is first seen in `engine_events`; `crashes` counts it, and `reconciler` looks at the whole.
"""
