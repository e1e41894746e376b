"""The proxy's configuration directory: routes, certificates, the bundle of certificate authorities, our plugin."""

from __future__ import annotations

import hashlib
import os
import shutil
import ssl
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import structlog

from stackyn_server.errors import StackynError
from stackyn_server.ingress import fallback

log = structlog.get_logger(__name__)

ROUTE_FILE = "routes.yml"  # the proxy refuses the ending .json; JSON is YAML
ROUTES, ACME, CERTIFICATES = "routes", "acme", "certificates"  # directories below it
CA_BUNDLE = "ca.pem"
_USUAL_BUNDLES = (Path("/etc/ssl/certs/ca-certificates.crt"), Path("/etc/pki/tls/certs/ca-bundle.crt"))
_OWNER_ONLY, _GROUP_FILE, _GROUP_FOLDER = 0o600, 0o640, 0o750
_CERTIFICATES_KEPT = 2  # the running proxy may still use the previous one


class CertificateUnusable(StackynError):
    code = "CONFIG_INVALID"


@dataclass(frozen=True, slots=True)
class ConfigurationDirectory:
    """`host` is its path on this machine, `seen` its path in the container. `uid` is the user and group of the proxy:
    nobody but it and root reads what is here; None is root. Blocking: call it in a thread."""

    host: Path
    seen: PurePosixPath
    uid: int | None = None

    @property
    def routes(self) -> Path:
        return self.host / ROUTES / ROUTE_FILE

    @property
    def staging(self) -> Path:
        return self.host / "staging"

    def make(self) -> None:
        """Create the directory with our plugin and this machine's bundle of certificate authorities (for ACME)."""
        for part in (self.routes.parent, self.staging, self.host / ACME, self.host / CERTIFICATES):
            part.mkdir(parents=True, exist_ok=True)
        fallback.install(self.host)
        for private in (ACME, CERTIFICATES):
            (self.host / private).chmod(0o700)
        bundle = next((path for path in _bundles() if path.is_file()), None)
        if bundle is None:
            log.warning("ca_bundle.missing", searched=[str(path) for path in _bundles()])
        else:
            shutil.copyfile(bundle, self.host / CA_BUNDLE)
        if self.uid is not None:
            self._give_away(self.uid)

    def _give_away(self, uid: int) -> None:
        """Let the proxy's user read everything, and write its own certificates.

        Root stays the owner of the rest, for the proxy of an earlier release, which is root without capabilities.
        """
        (self.host / ACME).chmod(0o700)
        for path in (self.host / ACME, *(self.host / ACME).iterdir()):
            os.chown(path, uid, uid, follow_symlinks=False)
        for folder in (self.host, self.routes.parent, self.host / CERTIFICATES):
            os.chown(folder, -1, uid)
            folder.chmod(_GROUP_FOLDER)
        for file in (*self.routes.parent.iterdir(), *(self.host / CERTIFICATES).iterdir()):
            os.chown(file, -1, uid)
            file.chmod(_GROUP_FILE)

    def install_certificate(self, chain: str, key: str) -> tuple[str, str]:
        """Copy an operator's certificate under names made of its digest; return both paths as the proxy sees them.

        A renewed certificate gets new names: the proxy loads it because the paths changed. Raises
        `CertificateUnusable`.
        """
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(chain, key, password=_no_password)
            contents = Path(chain).read_bytes(), Path(key).read_bytes()
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise CertificateUnusable(
                "[ingress] certificate_file and certificate_key_file can't be used together.",
                hint="Both must be readable PEM files, the key without a password and belonging to the certificate.",
            ) from error
        name = hashlib.sha256(b"\0".join(contents)).hexdigest()[:16]
        names = f"{name}.crt", f"{name}.key"
        directory = self.host / CERTIFICATES
        for file, content in zip(names, contents, strict=True):
            if not (directory / file).exists():
                _write_private(directory / file, content, self.uid)
        self._remove_old_certificates(current=name)
        chain_seen, key_seen = (str(self.seen / CERTIFICATES / file) for file in names)
        return chain_seen, key_seen

    def _remove_old_certificates(self, *, current: str) -> None:
        by_age = sorted(
            (self.host / CERTIFICATES).glob("*.crt"),
            key=lambda path: path.stat().st_mtime,
        )
        for old in by_age[:-_CERTIFICATES_KEPT]:
            if old.stem != current:
                old.unlink()
                old.with_suffix(".key").unlink(missing_ok=True)


def _bundles() -> list[Path]:
    """Return where a bundle may be: OpenSSL's configured or built-in path, Debian's, Red Hat's."""
    configured = ssl.get_default_verify_paths().cafile
    return [*([Path(configured)] if configured else []), *_USUAL_BUNDLES]


def _no_password() -> str:
    """Without this callback OpenSSL asks the terminal for a password."""
    raise ValueError("the key has a password")


def _write_private(path: Path, content: bytes, group: int | None) -> None:
    temporary = path.with_suffix(path.suffix + ".tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _OWNER_ONLY)
    with os.fdopen(descriptor, "wb") as file:
        if group is not None:
            os.fchown(descriptor, -1, group)
            os.fchmod(descriptor, _GROUP_FILE)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
