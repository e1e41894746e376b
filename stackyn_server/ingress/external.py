"""`managed = false`: writes our route file into the directory that an operator's Traefik watches.

That Traefik needs `providers.file.directory` (or `filename`) with `watch`, a low `providersThrottleDuration`, and host
networking or a network shared with the apps' bridges. We neither read nor change its other routers.
"""

from __future__ import annotations

from stackyn_server.ingress.driver import Ingress

FILE = "stackyn.yml"  # read by a proxy that watches a directory; JSON is YAML


class ExternalIngress(Ingress):
    """Publishes and confirms, and does nothing else."""
