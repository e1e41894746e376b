"""Desired against actual. It looks, and where something is amiss it enqueues the job that looks again under
its lock."""
