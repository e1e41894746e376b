"""Ruby: gems by Bundler; Rails, Sinatra and other Rack apps, or a script."""

from __future__ import annotations

import re
from collections.abc import Iterable

from stackyn_server.buildplan.build_plan import BuildPlan
from stackyn_server.buildplan.generated.instructions import COPY_ALL, run
from stackyn_server.buildplan.generated.stages import COPY_APP, plan_of, two_stages
from stackyn_server.buildplan.languages import has_other_app
from stackyn_server.buildplan.project import PlanOptions, Project, Runtime, undetected
from stackyn_server.buildplan.runtimes.node.manifest import MANIFEST as NODE_MANIFEST
from stackyn_server.buildplan.settings.start_command import PROCFILE, configured_command
from stackyn_server.buildplan.versions.requirement import Dialect, VersionRequest
from stackyn_server.buildplan.versions.version_files import TOOL_FILES, version_in_file, version_in_tool_files

GEMFILE, LOCK, RACK = "Gemfile", "Gemfile.lock", "config.ru"
VERSION_FILE = ".ruby-version"
RAILS = "config/application.rb"
SCRIPTS = ("app.rb", "main.rb", "server.rb", "web.rb", "index.rb")
IGNORED = ("vendor/bundle", "vendor/gems", ".bundle", "log/*.log", "tmp/cache")
_GEM = re.compile(r"^[ \t]*gem[ \t]*+\(?\s*['\"]([\w.-]+)['\"]", re.MULTILINE)
_LOCKED = re.compile(r"^ {4}([\w.-]+) \(", re.MULTILINE)
_RUBY = re.compile(r"^[ \t]*ruby[ \t]*+\(?\s*((?:['\"][^'\"\n]{1,40}['\"](?:\s*,\s*)?)+)", re.MULTILINE)
_PIPELINES = (
    "sprockets", "sprockets-rails", "propshaft", "webpacker", "shakapacker", "vite_rails", "importmap-rails",
)  # fmt: skip
_NEEDS_NODE = (
    "execjs", "mini_racer", "uglifier", "autoprefixer-rails", "coffee-rails", "webpacker", "react-rails",
)  # fmt: skip
# The Debian packages that gems need to be compiled and to run, by names that all suites have.
_LIBRARIES = {
    "pg": ("libpq-dev", "libpq5"), "mysql2": ("default-libmysqlclient-dev", "libmariadb3"),
    "sqlite3": ("libsqlite3-dev", "libsqlite3-0"), "ruby-vips": ("libvips-dev", "libvips42"),
    "rmagick": ("libmagickwand-dev", "libmagickwand-dev"), "curb": ("libcurl4-openssl-dev", "libcurl4"),
    "typhoeus": ("libcurl4-openssl-dev", "libcurl4"), "charlock_holmes": ("libicu-dev", "libicu-dev"),
    "tiny_tds": ("freetds-dev", "freetds-bin"), "rugged": ("cmake", "ca-certificates"),
}  # fmt: skip
_PROGRAMS = frozenset(("ruby", "bundle", "rails", "rackup", "rake", "puma", "falcon", "unicorn", "thin"))
# In order of preference.
_RACK_SERVERS = {
    "puma": "puma --bind tcp://0.0.0.0:$PORT",
    "falcon": "falcon serve --bind http://0.0.0.0:$PORT",
    "unicorn": "unicorn --host 0.0.0.0 --port $PORT",
    "thin": "thin start --address 0.0.0.0 --port $PORT",
}
_SINATRA = re.compile(r"^[ \t]*require[ \t]*+\(?\s*['\"]sinatra(?:/base)?['\"]", re.MULTILINE)


def _needs(files: frozenset[str], options: PlanOptions) -> Iterable[str]:
    if not _is_ruby(files):
        return ()
    return (GEMFILE, LOCK, RACK, VERSION_FILE, *TOOL_FILES, PROCFILE, *SCRIPTS, NODE_MANIFEST)


def _is_ruby(files: frozenset[str]) -> bool:
    return not files.isdisjoint((GEMFILE, RACK, *SCRIPTS))


def _plan(project: Project) -> BuildPlan | None:
    if not _is_ruby(project.files):
        return None
    if _is_tool(project) and not project.is_set_to(RUNTIME.name):
        return None
    gems = _gems(project)
    start = _start(project, gems)
    if start is None:
        raise undetected(
            f"This is a Ruby project ({GEMFILE}), but nothing says how to start it.",
            f"Add a {RACK}, set the app's start command, or add a {PROCFILE} with a line such as "
            "`web: bundle exec puma -p $PORT`.",
        )
    command, *start_reasons = start
    evidence = GEMFILE if project.has(GEMFILE) else project.first((RACK, *SCRIPTS))
    choice = project.options.toolchains.choose("ruby", _requested_version(project))
    reasons = [f"`{evidence}` makes it a Ruby project.", choice.reason]
    node = _node(project, gems, reasons)
    steps = ["ENV " + " ".join(_ENVIRONMENT[:3]), *node, COPY_ALL]
    steps += _other_patch(project, choice.image.version, reasons)
    steps += _install(project, reasons)
    steps += _build(project, gems, reasons)
    text = two_stages(
        project,
        choice,
        steps,
        command,
        copies=(*node, COPY_APP),
        environment=_ENVIRONMENT,
        build_packages=(build for gem, (build, _) in _LIBRARIES.items() if gem in gems),
        run_packages=(library for gem, (_, library) in _LIBRARIES.items() if gem in gems),
    )
    return plan_of(project, RUNTIME.name, (*reasons, *start_reasons), text, ignore=IGNORED)


def _is_tool(project: Project) -> bool:
    """True for Ruby that is only a tool of a page or of an app in another language, such as fastlane's Gemfile."""
    if not project.has(GEMFILE):
        is_web = project.has(RACK) or any(_SINATRA.search(project.text(script) or "") for script in SCRIPTS)
        return project.has(NODE_MANIFEST) or (project.has("index.html") and not is_web)
    configured = configured_command(project)
    is_started = configured is not None and not _PROGRAMS.isdisjoint(re.split(r"[\s/;&|]+", configured[0]))
    return has_other_app(project.files) and not is_started and project.first((RAILS, RACK, *SCRIPTS)) is None


_ENVIRONMENT = (
    "GEM_HOME=/app/vendor/gems PATH=/app/vendor/gems/bin:$PATH",
    "BUNDLE_WITHOUT=development:test",
    "RAILS_ENV=production",
    "RACK_ENV=production",
    "APP_ENV=production",
    "RAILS_LOG_TO_STDOUT=1",
    "RAILS_SERVE_STATIC_FILES=1",
    # With Ruby's many threads, the C library's own allocator fragments the memory.
    "LD_PRELOAD=libjemalloc.so.2",
)


def _gems(project: Project) -> frozenset[str]:
    """Return the names of the gems that the Gemfile or its lock names."""
    return frozenset((*_GEM.findall(project.text(GEMFILE) or ""), *_LOCKED.findall(project.text(LOCK) or "")))


def _other_patch(project: Project, version: str, reasons: list[str]) -> list[str]:
    """Return the step that makes Bundler accept the available patch of Ruby, if the Gemfile names another one."""
    requested = _gemfile_version(project)
    requirement = requested.requirement if requested else None
    patch = (requirement.narrowest if requirement else None) or ""
    if requirement is None or patch.count(".") != 2 or patch == version or requirement.allows_all_of(version):
        return []
    has_all_patches = project.options.toolchains.tools["ruby"].has_all_patches
    if has_all_patches and requirement.allows_newest_of(version):
        return []
    reasons.append(
        f"This server has one patch of Ruby {version}: the Gemfile is read without its `ruby` line."
    )
    return [run(f"sed -i -E '/^[[:blank:]]*ruby[[:blank:](]/d' {GEMFILE}")]


def _install(project: Project, reasons: list[str]) -> list[str]:
    if project.options.install_command:
        return [run(project.options.install_command)]
    if not project.has(GEMFILE):
        gems = _gems_without_gemfile(project)
        if not gems:
            return []
        reasons.append(f"There is no {GEMFILE}: the newest {', '.join(gems)} are installed.")
        return [run(f"gem install --no-document {' '.join(gems)}")]
    is_local = any(path.startswith("vendor/cache/") for path in project.files)
    if is_local:
        reasons.append("Its gems are in `vendor/cache`, and are installed from there.")
    if project.has(LOCK):
        reasons.append(f"`{LOCK}` pins the gems; Bundler installs them.")
    else:
        reasons.append(
            f"There is no {LOCK}: Bundler installs the newest gems that fit. Commit it to pin them."
        )
    # A lock made on a Mac or on Windows lacks this machine's platform, and Bundler would refuse it.
    platform = "bundle lock --add-platform x86_64-linux --local 2>/dev/null; " if project.has(LOCK) else ""
    return [run(f"{platform}bundle install --jobs 4 --retry 2{' --local' if is_local else ''}")]


def _gems_without_gemfile(project: Project) -> list[str]:
    """Return the gems that serve a Rack or Sinatra app without a Gemfile: Ruby comes with none of them."""
    sources = "\n".join(project.text(path) or "" for path in (RACK, *SCRIPTS))
    is_sinatra = _SINATRA.search(sources) is not None
    return ["rack", "rackup", "puma", *["sinatra"] * is_sinatra] if is_sinatra or project.has(RACK) else []


def _build(project: Project, gems: frozenset[str], reasons: list[str]) -> list[str]:
    if project.options.build_command:
        return [run(project.options.build_command)]
    if not project.has(RAILS):
        return []
    lines = []
    if project.has(NODE_MANIFEST):
        lines.append(run("if [ -f yarn.lock ]; then npx --yes yarn@1 install; else npm install; fi"))
    if gems.intersection(_PIPELINES) or project.has("app/assets/config/manifest.js"):
        reasons.append("Rails makes its assets (`assets:precompile`).")
        lines.append(run("SECRET_KEY_BASE_DUMMY=1 SECRET_KEY_BASE=build bundle exec rails assets:precompile"))
    if "bootsnap" in gems:
        lines.append(run("bundle exec bootsnap precompile --gemfile app/ lib/ || true"))
    return lines


def _node(project: Project, gems: frozenset[str], reasons: list[str]) -> list[str]:
    """Return the instruction that adds Node, for assets and for gems that run JavaScript."""
    if not project.has(NODE_MANIFEST) and gems.isdisjoint(_NEEDS_NODE):
        return []
    choice = project.options.toolchains.choose("node")
    reasons.append("Node is there too, because its packages run JavaScript.")
    return [f"COPY --from={choice.image.name} /usr/local/ /usr/local/"]


def _start(project: Project, gems: frozenset[str]) -> tuple[str, ...] | None:
    """Return the command and the sentences that say why; None when nothing says how to start."""
    secret, *secret_sentences = _secret(project)
    if configured := configured_command(project):
        return (f"{secret}{configured[0]}", configured[1], *secret_sentences)
    bundled = "bundle exec " if project.has(GEMFILE) else ""
    if project.has(RAILS):
        return (
            f"{secret}{bundled}rails server --binding 0.0.0.0 --port $PORT --environment production",
            f"`{RAILS}` makes it a Rails app; `rails server` serves it.",
            *secret_sentences,
        )
    if project.has(RACK):
        server = next((name for name in _RACK_SERVERS if name in gems), "rackup")
        command = _RACK_SERVERS.get(server, "rackup --host 0.0.0.0 --port $PORT")
        return f"{bundled}{command}", f"`{RACK}` makes it a Rack app; {server} serves it."
    if script := project.first(SCRIPTS):
        is_sinatra = ("sinatra" in gems or not bundled) and _SINATRA.search(project.text(script) or "")
        options = " -o 0.0.0.0 -p $PORT" if is_sinatra else ""
        return f"{bundled}ruby {script}{options}", f"`{script}` is run."
    return None


def _secret(project: Project) -> tuple[str, ...]:
    """Return the beginning of the command, and a sentence, for Rails, which does not start without a secret."""
    if not project.has(RAILS):
        return ("",)
    return (
        'export SECRET_KEY_BASE="${SECRET_KEY_BASE:-$(od -An -tx1 -N64 /dev/urandom | tr -dc 0-9a-f)}"; ',
        "Set the variable SECRET_KEY_BASE: without it each start makes one of its own, which ends all sessions.",
    )


def _requested_version(project: Project) -> VersionRequest | None:
    return (
        _gemfile_version(project)
        or version_in_tool_files(project.text, "ruby", Dialect.RUBY)
        or version_in_file(project.text(VERSION_FILE), VERSION_FILE, Dialect.RUBY)
    )


def _gemfile_version(project: Project) -> VersionRequest | None:
    if match := _RUBY.search(project.text(GEMFILE) or ""):
        texts = re.findall(r"['\"]([^'\"]+)['\"]", match[1])
        return VersionRequest.read(",".join(texts), GEMFILE, Dialect.RUBY)
    return None


RUNTIME = Runtime(name="ruby", looked_for=f"Ruby ({GEMFILE}, {RACK}, app.rb)", needs=_needs, plan=_plan)
