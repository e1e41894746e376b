"""Outgoing mail: its templates, and the carriers that send it."""
