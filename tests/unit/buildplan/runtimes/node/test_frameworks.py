"""What the frameworks of Node make: which folder is served, or which command serves."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stackyn_server.buildplan.versions.toolchains import ToolBaseImages, Toolchains
from stackyn_server.domain.failures import FailureCode
from tests.unit.buildplan.trees import Tree, command, planned, refused


def package(**content: Any) -> str:
    return json.dumps(content)


def app(dependencies: str, build: str = "make", start: str = "", **files: str) -> Tree:
    """A project with these dependencies; files by name, with `_` for the dot before `config` and the suffix."""
    scripts = {"build": build, **({"start": start} if start else {})}
    manifest = package(scripts=scripts, dependencies=dict.fromkeys(dependencies.split(), "*"))
    return {"package.json": manifest, **{name.replace("_", "."): text for name, text in files.items()}}


def folders(tree: Tree, **options: Any) -> list[str]:
    """The folders in which the build's pages are looked for, the likeliest first."""
    lines = (planned(tree, **options).generated or "").splitlines()
    gathered = next(line for line in lines if "for folder in " in line)
    return gathered.partition("for folder in ")[2].partition(";")[0].split()


@pytest.mark.parametrize(
    ("tree", "folder"),
    [
        (app("vite", vite_config_js="export default { build: { outDir: 'build' } }"), "build"),
        (app("vite", vite_config_ts="  // outDir: 'old'\n  outDir: './public/x/',"), "public/x"),
        (app("vite", "vite build --outDir=site"), "site"),
        (app("vite", vite_config_js="root: 'web', build: { outDir: '../out' }"), "out"),
        (app("vite", start="cross-env A=1 vite --host"), "dist"),
        ({"package.json": package(scripts={"build": "vite build", "start": "npm run dev", "dev": "A=1 vite --open"},
                                  devDependencies={"vite": "5"})}, "dist"),
        (app("next", next_config_mjs="export default { output: 'export' }", start="next start"), "out"),
        (app("next", next_config_js="output: \"export\", distDir: 'build'"), "build"),
        (app("nuxt", "nuxt generate"), ".output/public"),
        (app("@sveltejs/kit @sveltejs/adapter-static vite"), "build"),
        (app("@sveltejs/kit @sveltejs/adapter-static", svelte_config_js="adapter({ pages: 'www' })"), "www"),
        (app("@sveltejs/kit @sveltejs/adapter-static @sveltejs/adapter-auto", vite_config_ts="adapter({ pages: 'www' })"
             "\nimport adapter from '@sveltejs/adapter-static';"), "www"),
        (app("nuxt", "nuxt build", nuxt_config_ts="nitro: { preset: 'static' }"), ".output/public"),
        ({"package.json": package(
            scripts={"build": "qwik build", "build.server": "vite build -c adapters/static/vite.config.ts"},
            devDependencies={"@builder.io/qwik-city": "1", "vite": "5"})}, "dist"),
        (app("astro vite", start="astro dev"), "dist"),
        (app("astro", astro_config_mjs="outDir: './public'"), "public"),
        (app("@react-router/dev @react-router/serve", start="react-router-serve ./build/server/index.js",
             **{"react-router_config_ts": "export default { ssr: false }"}), "build/client"),
        (app("@remix-run/dev", vite_config_ts="remix({ ssr: false })"), "build/client"),
        (app("gatsby", start="gatsby develop"), "public"),
        (app("vitepress", "vitepress build docs"), "docs/.vitepress/dist"),
        ({"package.json": package(scripts={"docs:build": "vitepress build docs"},
                                  devDependencies={"vitepress": "1"})}, "docs/.vitepress/dist"),
        (app("vite", "", index_html=""), "dist"),
        (app("@docusaurus/core", start="docusaurus start"), "build"),
        (app("@11ty/eleventy", start="eleventy --serve"), "_site"),
        (app("@quasar/app-vite vite"), "dist/spa"),
        (app("rspress", rspress_config_ts="outDir: 'site'"), "site"),
        (app("@rspress/core", start="rspress dev"), "doc_build"),
        (app("@stencil/core", start="stencil build --dev --watch --serve"), "www"),
        (app("preact-cli"), "build"),
        (app("@analogjs/platform @angular/cli vite", vite_config_ts="analog({ ssr: false })"), "dist/analog/public"),
        (app("@11ty/eleventy", "eleventy --output=public"), "public"),
        (app("react-scripts", start="react-scripts start"), "build"),
        (app("@vue/cli-service", vue_config_js="outputDir: 'out'"), "out"),
        (app("expo", "expo export -p web", start="expo start"), "dist"),
        (app("parcel", "parcel build a.html --dist-dir www", start="parcel a.html"), "www"),
        (app("serve react-scripts", start="serve -s build"), "build"),
        (app("@angular/cli", angular_json=json.dumps({"projects": {"shop": {"architect": {"build": {"options": {
            "outputPath": "out/shop"}}}}}})), "out/shop/browser"),
    ],
)  # fmt: skip
def test_a_site_is_served_from_where_the_project_builds_it(tree: Tree, folder: str) -> None:
    assert folders({**tree, "package-lock.json": ""})[0] == folder


@pytest.mark.parametrize(
    ("tree", "run"),
    [
        (app("next"), "exec npx next start --hostname 0.0.0.0 --port $PORT"),
        (app("next", start="next dev"), "exec npx next start --hostname 0.0.0.0 --port $PORT"),
        (app("next", start="next start"), "exec npm run start"),
        (app("next", start="next start", next_config_js="output: 'standalone'"),
         "exec env HOSTNAME=0.0.0.0 node .next/standalone/server.js"),
        (app("nuxt", start="nuxt start"), "exec node .output/server/index.mjs"),
        (app("@sveltejs/kit @sveltejs/adapter-node vite", start="vite preview"), "exec node build"),
        (app("@sveltejs/kit @sveltejs/adapter-node", svelte_config_js="adapter({ out: 'srv' })"), "exec node srv"),
        (app("@sveltejs/kit @sveltejs/adapter-auto vite"), "exec node build"),
        (app("astro @astrojs/node"), "exec node dist/server/entry.mjs"),
        (app("@react-router/dev @react-router/serve vite"), "exec npx react-router-serve ./build/server/index.js"),
        (app("@remix-run/dev @remix-run/serve"), "exec npx remix-serve ./build/index.js"),
        (app("@nestjs/core", start="nest start"), "exec node dist/main"),
        ({**app("@adonisjs/core", "node ace build", "node bin/server.js"), "bin/server.ts": ""},
         "exec node build/bin/server.js"),
        (app("@analogjs/platform @angular/cli vite", start="ng serve"), "exec node dist/analog/server/index.mjs"),
        (app("@solidjs/start vinxi"), "exec node .output/server/index.mjs"),
        (app("express vite", start="cross-env NODE_ENV=production node a.js"), "exec npm run start"),
        (app("koa", start="nodemon --watch src server.js"), "exec node server.js"),
        (app("koa", start="cd web && npm start"), "exec npm run start"),
    ],
)  # fmt: skip
def test_a_framework_serves_on_the_given_port_and_all_addresses(tree: Tree, run: str) -> None:
    plan = planned({**tree, "package-lock.json": ""})
    assert command(plan) == run
    assert "ENV NODE_ENV=production HOST=0.0.0.0" in (plan.generated or "").splitlines()


def test_what_the_build_leaves_decides_for_tan_stack_start() -> None:
    plan = planned(app("@tanstack/react-start vite"))
    assert "exec srvx --prod --host 0.0.0.0 --port $PORT" in command(plan)
    assert any("npm install --global --force srvx " in line for line in (plan.generated or "").splitlines())


def test_standalone_next_gets_its_static_files() -> None:
    generated = planned(app("next", next_config_js="output: 'standalone'")).generated or ""
    assert "cp -r .next/static .next/standalone/.next/" in generated and "cp -r public" in generated


def test_adapter_auto_is_told_to_make_a_server() -> None:
    assert "RUN GCP_BUILDPACKS=true npm run build" in (
        planned(app("@sveltejs/kit @sveltejs/adapter-auto")).generated or ""
    )


@pytest.mark.parametrize(
    "tree",
    [
        app("@sveltejs/kit @sveltejs/adapter-vercel"),
        app("astro @astrojs/netlify", astro_config_mjs="output: 'server'"),
        app("nuxt", nuxt_config_ts="nitro: { preset: 'vercel-edge' }"),
    ],
)
def test_an_adapter_for_another_host_is_refused(tree: Tree) -> None:
    failure = refused(tree)
    assert failure.code is FailureCode.NOTHING_DETECTED
    assert "another host" in failure.message and "node" in failure.hint


@pytest.mark.parametrize(
    ("scripts", "reason"),
    [
        ({}, "has no adapter"),
        (
            {"build.server": "vite build -c adapters/cloudflare-pages/vite.config.ts"},
            "adapters/cloudflare-pages",
        ),
    ],
)
def test_qwik_needs_an_adapter(scripts: dict[str, str], reason: str) -> None:
    scripts = {"build": "qwik build", "start": "vite --open --mode ssr", **scripts}
    manifest = {"scripts": scripts, "devDependencies": {"@builder.io/qwik-city": "1", "vite": "5"}}
    failure = refused({"package.json": package(**manifest)})
    assert reason in failure.message and "qwik add" in failure.hint


def test_the_server_of_qwiks_adapter_is_started() -> None:
    scripts = {
        "build": "qwik build",
        "build.server": "vite build -c adapters/express/vite.config.ts",
        "serve": "node server/entry.express",
        "start": "vite --open --mode ssr",
    }
    packages = {"@builder.io/qwik-city": "1", "vite": "5", "express": "4"}
    tree = {"package.json": package(scripts=scripts, devDependencies=packages)}
    assert command(planned(tree)) == "exec node server/entry.express"


def test_a_main_file_of_another_project_below_is_not_started() -> None:
    """Its packages are named by its own manifest, and would not be there."""
    tree = {
        "package.json": package(scripts={"dev": "concurrently a b"}),
        "server/package.json": package(scripts={"start": "node index.js"}),
        "server/index.js": "",
    }
    assert "Set the root directory to server" in refused(tree).hint


def test_a_package_of_a_folder_needs_no_git() -> None:
    manifest = package(scripts={"start": "node a.js"}, dependencies={"shared": "file:./shared"})
    assert "git" not in (planned({"package.json": manifest, "shared/package.json": "{}"}).generated or "")


def test_the_build_script_of_heroku_wins() -> None:
    manifest = package(scripts={"build": "a", "heroku-postbuild": "b", "start": "node a.js"})
    generated = planned({"package.json": manifest}).generated or ""
    assert "RUN npm run heroku-postbuild" in generated and "npm run build" not in generated


def test_a_page_with_a_build_script_is_built_before_it_is_served() -> None:
    tree = {
        "package.json": package(scripts={"build": "node make-css.js"}),
        "index.html": "",
        "make-css.js": "",
    }
    plan = planned(tree)
    step = next(line for line in (plan.generated or "").splitlines() if "for folder in" in line)
    assert plan.runtime == "node" and "RUN npm run build" in (plan.generated or "")
    assert "rm -rf" in step and {"node_modules", "package.json", "make-css.js"} <= set(step.split())


def test_prisma_is_generated_with_the_files_of_the_project() -> None:
    manifest = package(
        scripts={"start": "node a.js"}, dependencies={"@prisma/client": "6"}, devDependencies={"prisma": "6"}
    )
    lines = (planned({"package.json": manifest, "prisma/schema.prisma": ""}).generated or "").splitlines()
    generate = next(number for number, line in enumerate(lines) if "npx prisma generate" in line)
    assert generate > lines.index("COPY --chown=app:app . .")
    assert "RUN stackyn-settle packages openssl" in lines


@pytest.mark.parametrize(
    ("files", "dependencies"),
    [
        ({}, {"better-sqlite3": "12"}),
        ({"package-lock.json": '{"packages": {"node_modules/bcrypt": {}}}'}, {}),
        ({"pnpm-lock.yaml": "packages:\n\n  bcrypt@5.0.0:\n"}, {}),
        ({"yarn.lock": '"bcrypt@^5.0.0":\n'}, {}),
    ],
)
def test_compilers_are_there_only_while_packages_are_installed(
    files: Tree, dependencies: dict[str, str]
) -> None:
    manifest = package(scripts={"start": "node a.js"}, dependencies=dependencies)
    lines = (planned({"package.json": manifest, **files}).generated or "").splitlines()
    assert [line for line in lines if line.startswith("FROM")] == [
        "FROM stackyn/node:22 AS build",
        "FROM stackyn/node:22",
    ]
    assert lines.count("RUN stackyn-settle packages build-essential python3") == 1
    assert "COPY --from=build --chown=app:app /app /app" in lines


def test_headers_come_from_npm_only_where_the_image_has_none() -> None:
    tree = {"package.json": package(scripts={"start": "node a.js"}, dependencies={"bcrypt": "5"})}
    official = Toolchains({"node": ToolBaseImages("stackyn/node", ("22",), "22")}, "registry")
    assert "npm pack" in (planned(tree).generated or "")
    assert "npm pack" not in (planned(tree, toolchains=official).generated or "")


@pytest.mark.parametrize(
    ("files", "version"),
    [
        ({".nvmrc": "v20.11.1\n"}, "20.11.1"),
        ({".nvmrc": "lts/iron"}, "20"),
        ({".node-version": "24"}, "24"),
        ({".tool-versions": "nodejs 20.1.0"}, "20.1.0"),
        (
            {
                "mise.toml": "[tools]\nnode = '20'",
                "package.json": package(engines={"node": ">=18"}, main="a.js"),
            },
            "20",
        ),
        ({"package.json": package(volta={"node": "20.3.0"}, engines={"node": "24"}, main="a.js")}, "20.3.0"),
        ({"package.json": package(engines={"node": "^20 || >=24"}, main="a.js")}, "24"),
        ({"package.json": package(engines={"node": ">=18"}, main="a.js")}, "22"),
        (
            {
                "package.json": package(
                    devEngines={"runtime": {"name": "node", "version": "^24"}}, main="a.js"
                )
            },
            "24",
        ),
        ({"package.json": package(engines={"node": "what you like"}, main="a.js")}, "22"),
        ({}, "22"),
    ],
)
def test_the_node_that_the_project_asks_for_is_taken(files: Tree, version: str) -> None:
    catalogue = Toolchains(
        {"node": ToolBaseImages("stackyn/node", ("20", "22", "24"), "22", has_all_patches=True)}
    )
    plan = planned({"package.json": package(main="a.js"), "a.js": "", **files}, toolchains=catalogue)
    assert plan.base_images == (f"stackyn/node:{version}",)


def test_a_node_that_is_not_here_is_refused_with_both_numbers() -> None:
    failure = refused({"package.json": package(engines={"node": "^16"}, main="a.js"), "a.js": ""})
    assert failure.code is FailureCode.VERSION_UNAVAILABLE
    assert "^16" in failure.message and "22" in failure.message


def test_unknown_paths_show_the_home_page_for_single_page_apps() -> None:
    assert "ENV SINGLE_PAGE=1" in (planned(app("vite")).generated or "")
    assert "SINGLE_PAGE" not in (planned(app("astro vite")).generated or "")


def test_a_publish_directory_of_another_host_is_a_hint() -> None:
    netlify = {"netlify.toml": '[build]\npublish = "web"\n'}
    site = planned({**app("vite"), **netlify}).generated or ""
    assert folders({**app("vite"), **netlify})[0] == "web" and "ENV SINGLE_PAGE=1" in site
    server = planned({**app("next"), "netlify.toml": '[build]\npublish = ".next"\n'}).generated or ""
    assert "next start" in server and "/srv/site" not in server


def test_a_site_stays_one_of_a_single_page_in_another_folder() -> None:
    assert "ENV SINGLE_PAGE=1" in (planned(app("vite"), publish_directory="web").generated or "")


def test_the_owners_commands_replace_the_scripts() -> None:
    tree = app("vite", start="node a.js", **{"package-lock_json": ""})
    plan = planned(
        tree, install_command="npm i --legacy-peer-deps", build_command="make site", publish_directory="web"
    )
    lines = (plan.generated or "").splitlines()
    assert lines.index("COPY --chown=app:app . .") < lines.index("RUN npm i --legacy-peer-deps")
    assert any(line.startswith("RUN make site && rm -rf") for line in lines)
    assert any("[ -d web ] || " in line and line.endswith("mv web /tmp/site") for line in lines)
    assert not any("npm ci" in line or "npm run" in line for line in lines)


@pytest.mark.parametrize(
    ("scripts", "tool", "run"),
    [
        ({"dev": "vite"}, "vite", "npx vite build"),
        ({"docs:dev": "vitepress dev site", "docs:build": "vitepress build site"}, "vitepress",
         "npx vitepress build site"),
        ({"build:prod": "vite build --mode live"}, "vite", "npx vite build --mode live"),
        ({"dev": "next dev"}, "next", "npx next build"),
        ({"start": "gatsby develop"}, "gatsby", "npx gatsby build"),
    ],
)  # fmt: skip
def test_a_project_without_a_build_script_is_built_by_its_tool(
    scripts: dict[str, str], tool: str, run: str
) -> None:
    tree = {
        "package.json": package(scripts=scripts, dependencies={tool: "*"}),
        "index.html": "",
        "src/main.ts": "",
    }
    plan = planned(tree)
    assert any(line.startswith(f"RUN {run} ") for line in (plan.generated or "").splitlines())
    assert any("It has no `build` script" in reason for reason in plan.reasons)


def test_a_tool_that_only_tests_use_builds_nothing() -> None:
    manifest = package(
        scripts={"start": "node a.js", "test": "vitest"}, devDependencies={"vite": "*", "vitest": "*"}
    )
    assert "vite build" not in (planned({"package.json": manifest, "a.js": ""}).generated or "")


def test_the_adapter_in_the_configuration_is_the_one_that_counts() -> None:
    both = "@sveltejs/kit @sveltejs/adapter-static @sveltejs/adapter-node @sveltejs/adapter-vercel"
    imports = "import adapter from '@sveltejs/adapter-{}'"
    assert command(planned(app(both, svelte_config_js=imports.format("node")))) == "exec node build"
    assert folders(app(both, svelte_config_js=imports.format("static")))[0] == "build"
    assert "adapter-vercel" in refused(app(both, svelte_config_js=imports.format("vercel"))).message


def test_a_script_of_the_home_page_is_no_server() -> None:
    page = {"index.html": "<script src='app.js'></script>", "app.js": "document.title"}
    plan = planned({"package.json": package(scripts={"lint": "eslint ."}), **page})
    assert plan.runtime == "static"
    served = package(dependencies={"express": "4"})
    assert command(planned({"package.json": served, **page})) == "exec node app.js"


def test_the_main_file_that_the_build_makes_is_run() -> None:
    tree = {"package.json": package(main="dist/index.js", scripts={"build": "tsc"}), "src/index.ts": ""}
    assert command(planned(tree)) == "exec node dist/index.js"
    assert command(planned({**tree, "dist/other.js": ""})) == "exec node src/index.ts"
