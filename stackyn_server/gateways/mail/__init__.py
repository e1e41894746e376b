"""Mail out: what is said, and the ways to hand it over."""
