"""`_redirects` and `_headers` of a site become nginx's configuration, and nothing of them that means more to nginx."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from stackyn_server.images.recipes import FILES

PROGRAM = FILES / "site/usr/local/lib/stackyn/site-rules.awk"


def rules(tmp_path: Path, part: str, text: str) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "_rules"
    file.write_text(text)
    return subprocess.run(
        ["awk", "-v", f"part={part}", "-f", str(PROGRAM), str(file)],
        capture_output=True,
        text=True,
        check=True,
    )


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("/old /new", 'if ($uri ~ "^/old/?$") { return 301 "/new$is_args$args"; }'),
        ("/old /new 302", 'if ($uri ~ "^/old/?$") { return 302 "/new$is_args$args"; }'),
        (
            "/a/* /b/:splat",
            'if ($uri ~ "^/a(?:/(?<p_splat>.*))?$") { return 301 "/b/${p_splat}$is_args$args"; }',
        ),
        (
            "/u/:id https://x.test/?u=:id",
            'if ($uri ~ "^/u/(?<p_id>[^/]+)/?$") { return 301 "https://x.test/?u=${p_id}"; }',
        ),
        ("/* /index.html 200", 'rewrite "^(?:/(?<p_splat>.*))?$" "/index.html" last;'),
        ("/gone /404.html 410", 'if ($uri ~ "^/gone/?$") { return 410; }'),
        ("/a.b+c /x", r'if ($uri ~ "^/a\.b\+c/?$") { return 301 "/x$is_args$args"; }'),
        ("# a comment", ""),
        ("/old /new 301!", ""),
    ],
)
def test_a_redirect_becomes_one_line(tmp_path: Path, line: str, rule: str) -> None:
    assert rules(tmp_path, "fallback", f"{line}\r\n\n").stdout.strip() == rule


def test_a_forced_redirect_comes_before_the_files(tmp_path: Path) -> None:
    assert rules(tmp_path, "forced", "/old /new 301!\n/other /x\n").stdout.count("return") == 1


@pytest.mark.parametrize(
    "line",
    [
        '/x "/y;}',
        "/x /y;}evil",
        "/x /$host",
        '/x"{ /y',
        "/x /y 999",
        "/x /y 302 Country=de",
        "/api/* https://api.test/:splat 200",
        "/*/x /y",
        "/x",
    ],
)
def test_what_would_mean_more_is_left_out_and_said(tmp_path: Path, line: str) -> None:
    done = rules(tmp_path, "forced", f"{line}\n")
    assert done.stdout == "" and "line 1" in done.stderr
    assert rules(tmp_path, "fallback", f"{line}\n").stdout == ""


def test_headers_are_maps_of_paths_and_the_later_rule_wins(tmp_path: Path) -> None:
    text = "/*\n  Cache-Control: no-cache\n/assets/*\n  cache-control: max-age=9\n"
    assert rules(tmp_path, "headers", text).stdout.splitlines() == [
        "map $site_path $site_header_1 {",
        '  default "";',
        '  "~^/assets(?:/(?:.*))?$" "max-age=9";',
        '  "~^(?:/(?:.*))?$" "no-cache";',
        "}",
        "add_header Cache-Control $site_header_1 always;",
    ]


@pytest.mark.parametrize("header", ["X: $host", "X: a\\", "A B: c", "no colon", "Content-Length: 0"])
def test_headers_that_would_mean_more_are_left_out(tmp_path: Path, header: str) -> None:
    done = rules(tmp_path, "headers", f"/*\n  {header}\n")
    assert done.stdout == "" and "line 2" in done.stderr


def test_quotes_in_a_header_stay_inside_it(tmp_path: Path) -> None:
    done = rules(tmp_path, "headers", '/*\n  X: "a"; b\n')
    assert r'"\"a\"; b";' in done.stdout
