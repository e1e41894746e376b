"""Compares what should run with what runs, and enqueues jobs for the differences."""
