"""Failures of a build step's tools: scripts, bundlers, frameworks, downloads, missing files."""

from __future__ import annotations

from stackyn_server.diagnosis.failure_kind import FailedStep, FailureKind

KINDS: tuple[FailureKind, ...] = (
    FailureKind(
        "missing script",
        (
            r"npm (?:error|ERR!) [Mm]issing script: \"?(?P<script>[\w:.-]+)",
            r"ERR_PNPM_NO_SCRIPT\s+Missing script: (?P<script>\S+)",
            r"error: Script not found \"(?P<script>[^\"]+)\"",
            r"^error Command \"(?P<script>[^\"]+)\" not found",
            r"Couldn't find a script named \"(?P<script>[^\"]+)\"",
        ),
        "package.json has no script {script}.",
        "Add it to scripts in package.json, or change the command that runs it.",
        also=r"npm error Did you mean|^npm error\s+npm run \w",
    ),
    FailureKind(
        "browser or Prisma engine not downloaded",
        (
            r"(?:request to |Failed to fetch .{0,60}at )https?://binaries\.prisma\.sh|"
            r"Failed to fetch the engine file|Failed to fetch sha256 checksum",
            r"The (?P<tool>Cypress) App could not be downloaded",
            r"ERROR: Failed to set up (?P<tool>\w+)|Error: Failed to download (?P<browser>\w+)|"
            r"Failed to download (?P<b2>Chrom\w+|Firefox|Webkit)",
        ),
        "A package downloads a program while it is installed (a browser, or Prisma's engine), and "
        "its host did not answer.",
        "Deploy again if it was a moment's trouble. A server needs no test browser: set "
        "CYPRESS_INSTALL_BINARY=0, PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 or PUPPETEER_SKIP_DOWNLOAD=1; "
        "Prisma's host can be set in PRISMA_ENGINES_MIRROR.",
        before=2,
        after=2,
        also=r"ENOTFOUND|ETIMEDOUT|ECONNRE|EAI_AGAIN",
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "Next.js: font not downloaded",
        (r"Failed to fetch `(?P<font>[^`]+)` from Google Fonts", r"Failed to fetch font `(?P<font>[^`]+)`"),
        "Next.js fetches the font {font} from Google while it builds, and the host did not answer.",
        "Deploy again if it was a moment's trouble. With next/font/local, and the font's file committed, no build "
        "depends on it.",
        before=1,
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "Prisma client not generated",
        r"@prisma/client did not initialize yet|Cannot find module '\.prisma/client",
        "Prisma's client was not generated for this installation.",
        "Run `prisma generate` in the build, for example as the script postinstall.",
        after=1,
    ),
    FailureKind(
        "Next.js: prerendering failed",
        r"Error occurred prerendering page \"(?P<page>[^\"]+)\"",
        "Next.js could not prerender a page in the build ({page}).",
        "See the error below: often a variable or a service that is not there while building. Set "
        "the variable, or have the page rendered when it is asked for.",
        after=2,
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "Next.js: no pages",
        r"Couldn't find any `pages` or `app` directory",
        "Next.js finds neither a folder `app` nor `pages`.",
        "Set the root directory to the folder of the Next.js project, and check that its pages are committed.",
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "Next.js: not built",
        r"Could not find a production build in the '(?P<folder>[^']+)' directory",
        "Next.js was started without a build: {folder} is not there.",
        "Run `next build` in the build (script build), and don't leave {folder} out of the image.",
        after=1,
        step=FailedStep.START,
    ),
    FailureKind(
        "import not found by the bundler",
        (
            r"Rollup failed to resolve import \"(?P<module>[^\"]+)\" from \"(?P<file>[^\"]+)\"",
            r"Module not found: (?:Error: )?Can't resolve '(?P<module>[^']+)'",
            r"Could not resolve [\"'](?P<module>[^\"']+)[\"']",
            r"Could not load (?P<module>/\S+)",
            r"Failed to resolve entry for package \"(?P<module>[^\"]+)\"",
        ),
        "The bundler does not find what is imported as {module}.",
        "Install the package (and commit package.json with the lock), or correct the path: upper and "
        "lower case count on this server.",
        before=1,
        after=2,
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "missing Node module",
        (r"Cannot find (?:module|package) '(?P<module>[^']+)'(?: imported from (?P<file>\S+))?",),
        "Node does not find the module {module}.",
        "Add the package to dependencies (not only devDependencies) in package.json. A file must be committed, and "
        "upper and lower case count on this server.",
        after=1,
        also=r"^Require stack:|^- /|requireStack",
    ),
    FailureKind(
        "system library missing",
        r"(?P<library>lib[\w.+-]+\.so[\w.]*): cannot open shared object file",
        "The system library {library} is not in the image.",
        "Use a variant that needs none (opencv-python-headless, psycopg2-binary), or install its "
        "package in a Dockerfile of your own, in the stage that runs.",
        before=1,
    ),
    FailureKind(
        "native module for another version",
        (
            r"was compiled against a different Node\.js version using|NODE_MODULE_VERSION (?P<version>\d+)",
            r"\.(?:node|so)\b\S{0,20}: (?:invalid ELF header|wrong ELF class)",
            r"has been compiled by a more recent version of the Java Runtime",
            r"version `(?P<needs>GLIBC(?:XX)?_[\w.]+)' not found",
        ),
        "A compiled part of the app was made for another system or version than the one that runs it.",
        "Have it installed in the build instead of committing or copying it (node_modules, .venv, compiled classes), "
        "with the same version that runs.",
        before=1,
        after=1,
    ),
    FailureKind(
        "collectstatic without STATIC_ROOT",
        r"staticfiles app without having set the STATIC_ROOT setting",
        "Django's collectstatic has nowhere to put the files: STATIC_ROOT is not set.",
        'Set STATIC_ROOT = BASE_DIR / "staticfiles" in the settings, or leave collectstatic out.',
    ),
    FailureKind(
        "PHP extension missing",
        (
            r"requires? (?:PHP extension )?ext-(?P<extension>[\w-]+)",
            r"Call to undefined function (?P<function>\w+)\(\)|undefined function (?P<f2>mysqli_\w+|"
            r"imagecreate\w*|curl_\w+|mb_\w+)",
            r"could not find driver|Class \"(?P<class>PDO|Redis|Imagick|ZipArchive|IntlDateFormatter|"
            r"mysqli)\" not found",
        ),
        "An extension of PHP that the app needs is not in its image.",
        'Name it in require of composer.json (for example "ext-pdo_pgsql": "*"), or install it in a Dockerfile of '
        "your own.",
        after=1,
    ),
    FailureKind(
        "Composer's packages missing",
        r"Failed opening required '(?P<file>[^']*vendor/autoload\.php)'|"
        r"require\((?P<f2>[^)]*vendor/autoload\.php)\)",
        "PHP does not find vendor/autoload.php: Composer's packages are not installed.",
        "Commit composer.json and composer.lock in the root directory, so that the build installs them.",
    ),
    FailureKind(
        "missing file in COPY",
        r"failed to (?:calculate checksum of ref|"
        r"compute cache key)[^\n]{0,200}\"(?P<file>[^\"]+)\": not found",
        "COPY or ADD does not find {file} in the files of the build.",
        "Check its name and case, that it is committed, that .dockerignore does not leave it out, "
        "and that the path is from the app's root directory.",
        before=3,
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "missing Makefile target or task",
        r"make: \*\*\* No rule to make target '(?P<target>[^']+)'|"
        r"make: \*\*\* No targets specified and no makefile found|"
        r"Don't know how to build task '(?P<task>[^']+)'",
        "The build command asks for a target that is not there.",
        "Correct the build command, or commit the file that has the target.",
        step=FailedStep.BUILD,
    ),
)
