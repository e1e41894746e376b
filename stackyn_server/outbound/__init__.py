"""Requests of this server to addresses that a tenant named: each host is vetted, and connections are pinned."""
