"""Failures of Node tools that don't fit the system, the version of Node or each other."""

from __future__ import annotations

from stackyn_server.diagnosis.failure_kind import FailedStep, FailureKind

KINDS: tuple[FailureKind, ...] = (
    FailureKind(
        "native package of another system",
        (
            r"Cannot find module '?(?P<name>@rollup/rollup-linux-[\w-]+|@tailwindcss/oxide-linux-[\w-]+|"
            r"@swc/core-linux-[\w-]+|(?:\.\./)?lightningcss[.-]linux-[\w.-]+|@img/sharp-linux[\w-]+|"
            r"@parcel/watcher-linux-[\w-]+|@oxc-[\w-]+/[\w-]+linux[\w-]+|@rspack/binding-linux-[\w-]+)",
            r"The package \"(?P<name>@esbuild/linux-\w+)\" could not be found, and is needed by esbuild",
            r"You installed (?P<name>esbuild) for another platform than the one you're currently using",
            r"Could not load the \"(?P<name>sharp)\" module using the linux",
        ),
        "The part for Linux of a package with native code ({name}) was not installed.",
        "The lock was made on another system, or optional packages are left out. Remove node_modules and the lock, "
        "install anew, and commit the new lock, which names the parts for all systems.",
        after=2,
    ),
    FailureKind(
        "OpenSSL of a newer Node",
        r"error:0308010C:digital envelope routines::unsupported|ERR_OSSL_EVP_UNSUPPORTED",
        "The project's webpack is older than this Node: it asks OpenSSL for a hash (MD4) that is no longer there.",
        "Update webpack to 5 (react-scripts to 5, @vue/cli-service to 5). Or set NODE_OPTIONS to "
        "--openssl-legacy-provider among the app's environment variables.",
    ),
    FailureKind(
        "node-sass too old for Node",
        r"Node Sass does not yet support your current environment: (?P<what>.{1,80})",
        "node-sass does not know this version of Node, and nobody maintains it any more ({what}).",
        "Replace node-sass by sass in package.json; nothing else has to change in most projects.",
    ),
    FailureKind(
        "Vite without a page",
        r"Could not resolve entry module \"(?P<name>[\w./-]*index\.html)\"",
        "Vite finds no page to build from: {name} is not where it looks.",
        "Put index.html into the folder that Vite has as its root (the one of vite.config, if that sets none), or set "
        "the app's root directory to that folder.",
        before=1,
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "Tailwind 4 as a plugin of PostCSS",
        r"trying to use `tailwindcss` directly as a PostCSS plugin",
        "The project's PostCSS settings are for Tailwind 3, and Tailwind 4 is installed.",
        "Install @tailwindcss/postcss and name that in the PostCSS settings instead of tailwindcss, or pin "
        "tailwindcss to ^3 in package.json.",
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "TypeScript not understood by Node",
        r"ERR_UNKNOWN_FILE_EXTENSION\]?: Unknown file extension \"(?P<what>\.(?:m|c)?tsx?)\" for (?P<name>\S+)",
        "This Node does not run TypeScript: {name} is a {what} file.",
        "Ask for Node 22.18 or newer (`engines` in package.json), run it with tsx, or start the JavaScript that your "
        "build makes of it.",
    ),
)
