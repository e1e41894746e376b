"""Idle apps: put to sleep, woken by a request, and the requests that wait for it."""
