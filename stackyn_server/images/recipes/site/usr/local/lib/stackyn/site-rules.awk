# Reads a site's `_redirects` and `_headers` (of Netlify and Cloudflare Pages) and writes them as nginx's configuration:
#   awk -v part=forced|fallback -f site-rules.awk _redirects     rules before, or instead of, a missing file
#   awk -v part=headers -f site-rules.awk _headers               maps and add_header, for the level of the server
# The files are a stranger's: a line that has a character with a meaning for nginx is left out, and said.

# Once: `_redirects` is read twice.
function skip(why) { if (part != "fallback") print "Not used, " FILENAME " line " FNR ": " why > "/dev/stderr" }

# A path with `:name` and a `*` at its end as a regular expression; captures are named p_<name>, and p_splat.
function pattern(path,    parts, count, i, part, made) {
  count = split(path, parts, "/")
  made = "^"
  for (i = 2; i <= count; i++) {
    part = parts[i]
    if (part == "*" && i == count) { made = made "(?:/(?<p_splat>.*))?"; return made "$" }
    if (part ~ /^:[A-Za-z_][A-Za-z0-9_]*$/) part = "(?<p_" substr(part, 2) ">[^/]+)"
    else { gsub(/[.+]/, "\\\\&", part); gsub(/\*/, ".*", part) }
    if (part != "" || i < count) made = made "/" part
  }
  return made "/?$"
}

# `:name` in a target becomes the capture's variable, when the path has one.
function target(text, path,    parts, count, i, made) {
  gsub(/:splat/, "${p_splat}", text)
  count = split(path, parts, "/")
  for (i = 2; i <= count; i++)
    if (parts[i] ~ /^:[A-Za-z_][A-Za-z0-9_]*$/) gsub(":" substr(parts[i], 2), "${p_" substr(parts[i], 2) "}", text)
  return text
}

function redirect(    from, to, status, forced, where) {
  from = $1; to = $2; status = NF > 2 ? $3 : "301"
  if (NF < 2) { skip("a rule is a path, a target and a status"); return }
  if (NF > 3) { skip("conditions are not known here"); return }
  forced = sub(/!$/, "", status)
  if (status !~ /^(200|301|302|303|307|308|404|410)$/) { skip("the status " status " is not known here"); return }
  if (from !~ /^\/[A-Za-z0-9\/_.~:*%+@,-]*$/ || from ~ /\*./) { skip("the path has unusual characters"); return }
  if (to !~ /^(\/|https?:\/\/)[A-Za-z0-9\/_.~:%+@,=?#&-]*$/) { skip("the target has unusual characters"); return }
  if (status == 200 && to !~ /^\//) { skip("other servers' pages are not passed on"); return }
  if (forced != (part == "forced")) return
  where = "if ($uri ~ \"" pattern(from) "\") "
  if (status == 200) print "rewrite \"" pattern(from) "\" \"" target(to, from) "\"" (part == "forced" ? ";" : " last;")
  else if (status ~ /^4/) print where "{ return " status "; }"
  else print where "{ return " status " \"" target(to, from) (to ~ /[?#]/ ? "" : "$is_args$args") "\"; }"
}

function header(    name, value, where) {
  name = $0; sub(/^[ \t]+/, "", name); value = name
  sub(/[ \t]*:.*$/, "", name)
  if (!sub(/^[^:]*:[ \t]*/, "", value)) { skip("a header is a name, a colon and a value"); return }
  if (name !~ /^[A-Za-z0-9-]+$/ || tolower(name) ~ /^(content-length|content-encoding|transfer-encoding|connection)$/) {
    skip("the header " name " can't be set"); return
  }
  if (value !~ /^[ -~]*$/ || value ~ /[$\\]/) { skip("the value has unusual characters"); return }
  gsub(/"/, "\\\"", value)
  if (!(tolower(name) in number)) { number[tolower(name)] = ++names; called[names] = name }
  where = pattern(path)
  gsub(/\?<[A-Za-z0-9_]+>/, "?:", where)
  # A later rule for the same header wins: nginx takes the first that fits.
  rules[number[tolower(name)]] = "  \"~" where "\" \"" value "\";\n" rules[number[tolower(name)]]
}

{ sub(/\r$/, "") }
/^[ \t]*(#|$)/ { next }
part == "headers" && /^[^ \t]/ {
  path = $1
  if (path !~ /^\/[A-Za-z0-9\/_.~:*%+@,-]*$/) { skip("the path has unusual characters"); path = "" }
  next
}
part == "headers" { if (path != "") header(); next }
{ redirect() }

END {
  for (i = 1; i <= names; i++) print "map $site_path $site_header_" i " {\n  default \"\";\n" rules[i] "}"
  for (i = 1; i <= names; i++) print "add_header " called[i] " $site_header_" i " always;"
}
