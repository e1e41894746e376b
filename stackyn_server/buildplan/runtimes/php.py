"""PHP: packages by Composer; Laravel and other frameworks with a public folder, or plain files. Apache serves them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from stackyn_server.buildplan.build_plan import BuildPlan
from stackyn_server.buildplan.formats.structured_files import Table, json_with_comments, table
from stackyn_server.buildplan.generated.instructions import COPY_ALL, run
from stackyn_server.buildplan.generated.stages import one_stage, plan_of
from stackyn_server.buildplan.languages import has_other_app
from stackyn_server.buildplan.project import PlanOptions, Project, Runtime, undetected
from stackyn_server.buildplan.runtimes.node.manifest import MANIFEST as NODE_MANIFEST
from stackyn_server.buildplan.runtimes.node.manifest import node_version, read_manifest
from stackyn_server.buildplan.runtimes.node.packages import global_install, plan_installation
from stackyn_server.buildplan.settings.start_command import PROCFILE, configured_command
from stackyn_server.buildplan.versions.requirement import Dialect, VersionRequest
from stackyn_server.buildplan.versions.version_files import TOOL_FILES, version_in_tool_files

MANIFEST, LOCK = "composer.json", "composer.lock"
LARAVEL, SYMFONY = "artisan", "bin/console"
VENDORED = "vendor/autoload.php"
VERSION_FILE = ".php-version"
# Folders that frameworks serve from: Laravel and Symfony, Drupal and Yii, CakePHP.
FOLDERS = ("public", "web", "webroot", "public_html", "htdocs", "www")
IGNORED = ("vendor", "node_modules")
# Heroku's server commands: the image's own server serves the folder that they name.
_HEROKU = re.compile(
    r"(?:exec +)?(?:[\w./-]+/)?heroku-php-(?:apache2|nginx)(?: +-[CcFilpt] +\S+| +-v)*(?: +([\w./-]+))?"
)
# The PHP image's extensions; the scripts of the image and this list must agree.
EXTENSIONS = frozenset(
    (
        "apcu", "bcmath", "bz2", "calendar", "ctype", "curl", "date", "dom", "exif", "fileinfo", "filter", "ftp", "gd",
        "gettext", "gmp", "hash", "iconv", "intl", "json", "libxml", "mbstring", "mysqli", "mysqlnd", "opcache",
        "openssl", "pcntl", "pcre", "pdo", "pdo_mysql", "pdo_pgsql", "pdo_sqlite", "pgsql", "phar", "posix", "readline",
        "redis", "reflection", "session", "simplexml", "soap", "sockets", "sodium", "spl", "sqlite3", "standard",
        "tidy", "tokenizer", "xml", "xmlreader", "xmlwriter", "xsl", "zend-opcache", "zip", "zlib",
    )
)  # fmt: skip


def _needs(files: frozenset[str], options: PlanOptions) -> Iterable[str]:
    if not _is_php(files):
        return ()
    return (MANIFEST, LOCK, VERSION_FILE, PROCFILE, NODE_MANIFEST, *TOOL_FILES)


def _is_php(files: frozenset[str]) -> bool:
    has_index = "index.php" in files or any(f"{folder}/index.php" in files for folder in FOLDERS)
    return MANIFEST in files or has_index or _is_page_with_scripts(files)


def _is_page_with_scripts(files: frozenset[str]) -> bool:
    """True for a page with PHP scripts beside it, such as forms/contact.php: a web server of plain files would publish
    their source."""
    return (
        "index.html" in files
        and not has_other_app(files)
        and any(
            path.endswith(".php") and path.count("/") <= 1 and not path.startswith(("tests/", "docs/"))
            for path in files
        )
    )


def _plan(project: Project) -> BuildPlan | None:
    if not _is_php(project.files):
        return None
    manifest = json_with_comments(project, MANIFEST)
    folder = _document_root(project)
    configured = configured_command(project)
    if configured and (heroku := _HEROKU.fullmatch(configured[0])):
        folder, configured = (heroku[1] or "").strip("/").removeprefix("./"), None
    if folder is None and not configured:
        if project.has(NODE_MANIFEST):
            return None
        raise undetected(
            f"This is a PHP project ({MANIFEST}), but it has no index.php to serve.",
            f"Add an index.php in the root or in {', '.join(FOLDERS[:3])}, or set the app's start command.",
        )
    scripts = sorted(path for path in project.files if path.endswith(".php"))
    evidence = project.first((MANIFEST, "index.php", f"{folder}/index.php", *scripts))
    choice = project.options.toolchains.choose("php", _requested_version(project, manifest))
    reasons = [f"`{evidence}` makes it a PHP project.", choice.reason]
    _refuse_missing_extensions(manifest)
    if project.has(LARAVEL):
        reasons.append("`artisan` makes it a Laravel app.")
    if configured:
        command, reason = configured
    else:
        command, reason = "serve-php", f"Apache serves the folder {folder or '.'}, with its .htaccess files."
    reasons.append(reason)
    assets = _assets(project, reasons)
    lines = [*_install(project, manifest, reasons), *_build(project, bool(assets))]
    is_symfony = project.has(SYMFONY) and not project.has(LARAVEL)
    environment = [
        f"DOCUMENT_ROOT=/app/{folder or ''}".rstrip("/"),
        f"APP_ENV={'prod' if is_symfony else 'production'}",
        "COMPOSER_CACHE_DIR=/cache/composer",
        # Without it, Laravel logs into a file of the container.
        *(["LOG_CHANNEL=stderr"] if project.has(LARAVEL) else []),
    ]
    text = one_stage(project, choice.image.name, lines, command, environment, before=assets)
    ignored = [name for name in IGNORED if name != "vendor" or not project.has(VENDORED)]
    return plan_of(project, RUNTIME.name, reasons, text, ignore=ignored)


def _document_root(project: Project) -> str | None:
    """Return the folder to serve, empty for the root; a front controller in a public folder wins."""
    for folder in FOLDERS:
        if project.has(f"{folder}/index.php"):
            return folder
    return "" if project.has("index.php") or _is_page_with_scripts(project.files) else None


def _install(project: Project, manifest: Table, reasons: list[str]) -> list[str]:
    if project.options.install_command:
        return [COPY_ALL, run(project.options.install_command, "composer")]
    if not project.has(MANIFEST):
        return [COPY_ALL]
    if project.has(VENDORED):
        reasons.append("Its packages are in `vendor`, and are used as they are.")
        return [COPY_ALL]
    has_packages = any("/" in name for name in table(manifest, "require"))
    if not has_packages and not project.has(LOCK):
        reasons.append("It needs no packages; Composer makes its class loader.")
        return [COPY_ALL, run("composer dump-autoload --optimize --no-dev --no-interaction", "composer")]
    if project.has(LOCK):
        reasons.append(f"`{LOCK}` pins the packages; Composer installs them.")
    else:
        reasons.append(
            f"There is no {LOCK}: Composer installs the newest packages that fit. Commit it to pin them."
        )
    install = "composer install --no-dev --no-interaction --no-progress --prefer-dist --optimize-autoloader"
    return [COPY_ALL, run(install, "composer")]


def _build(project: Project, has_assets: bool) -> list[str]:
    lines = []
    if has_assets:
        lines.append("COPY --from=assets --chown=app:app /app/public/ /app/public/")
    if project.options.build_command:
        lines.append(run(project.options.build_command))
    if project.has(LARAVEL):
        lines.append(
            "RUN mkdir -p storage/logs storage/framework/cache storage/framework/sessions storage/framework/views "
            "bootstrap/cache"
        )
    return lines


def _assets(project: Project, reasons: list[str]) -> list[str]:
    """Return the stage that builds a frontend beside the PHP (Vite of Laravel); empty when there is none."""
    manifest = read_manifest(project)
    has_script = manifest is not None and "build" in manifest.scripts and project.has("public/index.php")
    if manifest is None or not has_script or project.options.build_command:
        return []
    installation = plan_installation(project, manifest)
    image = project.options.toolchains.choose("node", node_version(project, manifest)).image.name
    reasons.append(f"The `build` script of {NODE_MANIFEST} makes its frontend, with Node.")
    lines = [f"FROM {image} AS assets", "WORKDIR /app"]
    lines += [f"RUN {global_install(installation.tools)}"] if installation.tools else []
    lines += [f"ENV {setting}" for setting in installation.environment]
    return [*lines, "USER app", COPY_ALL, run(installation.install), run(f"{installation.run} build"), ""]


def _refuse_missing_extensions(manifest: Table) -> None:
    requested = sorted(
        name.removeprefix("ext-").lower() for name in table(manifest, "require") if name.startswith("ext-")
    )
    missing = [name for name in requested if name not in EXTENSIONS]
    if missing:
        raise undetected(
            f"{MANIFEST} needs the PHP extension {missing[0]}, which the server's PHP image does not have.",
            "Remove it, or add a Dockerfile that begins with php:8-apache and installs it.",
            f"{MANIFEST}: " + ", ".join(f"ext-{name}" for name in missing[:10]),
        )


def _requested_version(project: Project, manifest: Table) -> VersionRequest | None:
    constraint = table(manifest, "require").get("php")
    named = (
        VersionRequest.read(constraint, MANIFEST, Dialect.COMPOSER) if isinstance(constraint, str) else None
    )
    if request := named or version_in_tool_files(project.text, "php", Dialect.COMPOSER):
        return request
    match = re.match(r"\s*(\d+(?:\.\d+){0,2})", project.text(VERSION_FILE) or "")
    return VersionRequest.read(match[1], VERSION_FILE) if match else None


RUNTIME = Runtime(name="php", looked_for=f"PHP ({MANIFEST}, index.php)", needs=_needs, plan=_plan)
