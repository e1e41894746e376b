"""Failures of apps that end and of release commands: programs, modules, settings, services, ports."""

from __future__ import annotations

from stackyn_server.diagnosis.failure_kind import FailedStep, FailureKind

NOT_EXECUTABLE, NOT_FOUND = 126, 127  # exit codes of a shell, and of the init program of our containers

_NAME = r"(?P<name>[^\s:'\"`\u2018\u2019]+)"
_PORT = "Listen on the port that the environment variable PORT names, on 0.0.0.0."
_VARIABLE = "Set {name} among the app's environment variables, then deploy again."
_SERVICE = (
    "Set the address of the database or service among the app's environment variables: localhost is the app's own "
    "container, where nothing else runs. Check that it is up and lets this server in."
)

_SETTINGS = (
    FailureKind(
        "environment variable missing",
        (
            r"^KeyError: '(?P<name>[A-Z][A-Z0-9_]{2,})'$",
            r"UndefinedValueError: (?P<name>\w+) not found\. Declare it as envvar",
            r"Environment variable not found: (?P<name>[A-Z][A-Z0-9_]+)",
            r"ImproperlyConfigured: Set the (?P<name>\w+) environment variable",
            r"key not found: \"(?P<name>[A-Z][A-Z0-9_]+)\" \(KeyError\)",
            r"[Mm]issing (?:required )?env(?:ironment)?(?: variables?|"
            r"s)?:? [\"'`]?(?P<name>[A-Z][A-Z0-9_]{2,})",
            r"\b(?P<name>[A-Z][A-Z0-9]*_[A-Z0-9_]+)\b [\"'`]?(?:environment variable )?(?:is not set|"
            r"is not defined|is required|"
            r"must be set|is missing|not set|env(?:ironment)? var(?:iable)? is)",
            r"environment variable [\"'`]?(?P<name>[A-Z][A-Z0-9_]+)[\"'`]? (?:is missing|is not set|"
            r"not found|must be set)",
            r"could not find system environment variable (?P<name>\w+)",
        ),
        "The environment variable {name} is not set.",
        _VARIABLE,
        before=2,
        after=1,
    ),
    FailureKind(
        "settings incomplete",
        r"ValidationError: \d+ validation errors? for (?P<name>\w*(?:Settings|Config)\w*)",
        "The app's settings ({name}) lack values, which come from environment variables.",
        "Set the variables that are named below among the app's environment variables, then deploy again.",
        after=8,
    ),
    FailureKind(
        "SECRET_KEY missing",
        (
            r"The SECRET_KEY setting must not be empty",
            r"Missing `?secret_key_base`? for|No application encryption key has been specified",
            r"(?:RuntimeError|ValueError): .{0,40}(?:secret.?key|SECRET_KEY).{0,40}",
            r"environment variable SECRET_KEY_BASE is missing",
        ),
        "The app has no secret key (SECRET_KEY, SECRET_KEY_BASE or APP_KEY).",
        "Set one among the app's environment variables, and have the settings read it.",
        before=1,
        after=2,
    ),
    FailureKind(
        "ALLOWED_HOSTS empty",
        r"CommandError: You must set settings\.ALLOWED_HOSTS if DEBUG is False",
        "Django allows no host name: ALLOWED_HOSTS is empty while DEBUG is off.",
        'Set ALLOWED_HOSTS in the settings, for example to the app\'s host name, or to ["*"] behind this server.',
    ),
    FailureKind(
        "host name not allowed",
        (
            r"Invalid HTTP_HOST header: '(?P<host>[^']{1,100})'\. You may need to add",
            r"Blocked hosts?: (?P<host>\S+)",
            r"Blocked request\. This host \(\"?(?P<host>[^\")]+)\"?\) is not allowed",
        ),
        "The app refuses requests for its own host name ({host}): it is not among the hosts that it allows.",
        "Add the app's host name to ALLOWED_HOSTS (Django), config.hosts (Rails) or preview.allowedHosts (Vite); "
        "a dot before a domain allows all below it.",
        step=FailedStep.START,
    ),
)

_MIGRATIONS = (
    FailureKind(
        "migrations damaged",
        (
            r"NodeNotFoundError|InconsistentMigrationHistory|Conflicting migrations detected|"
            r"CommandError: Can't locate revision",
            r"down_revision = map_\[downrev\]|Multiple head revisions are present|"
            r"Revision \S+ referenced from",
            r"Error: P30\d\d\b|migrate found failed migrations|"
            r"StandardError: An error has occurred, (?:this and )?all later migrations",
        ),
        "The database's migrations don't fit together, or one failed before.",
        "Try them on a copy of the database; merge or repair the ones that are named below, then deploy again.",
        before=1,
        after=3,
    ),
    FailureKind(
        "table missing",
        (
            r"no such table: (?P<table>[\w.]+)",
            r"relation \"(?P<table>[^\"]+)\" does not exist",
            r"Table '(?P<table>[^']+)' doesn't exist",
            r"The table `(?P<table>[^`]+)` does not exist in the current database",
        ),
        "The database has no table {table}: its migrations have not run, or one failed.",
        "Run them in the start command before the server (for example `python manage.py migrate && "
        "…`), and see the lines below.",
        before=1,
        after=1,
        also=r"Running migrations|Applying \S+\.\.\.",
    ),
)

_SERVICES = (
    FailureKind(
        "database refused the password",
        r"password authentication failed for user \"(?P<user>[^\"]+)\"",
        "The database refused the user {user}: the password is wrong.",
        "Correct user and password in the app's environment variables, then deploy again.",
    ),
    FailureKind(
        "database missing",
        (
            r"FATAL: +database \"(?P<database>[^\"]+)\" does not exist",
            r"Unknown database '(?P<database>[^']+)'",
        ),
        "The database server has no database {database}.",
        "Create it, or correct its name in the app's environment variables, then deploy again.",
    ),
    FailureKind(
        "database not reached",
        (
            r"connection to server at \"(?P<where>[^\"]+)\"",
            r"could not translate host name \"(?P<where>[^\"]+)\" to address",
            r"Error: P1001: Can't reach database server at `(?P<where>[^`]+)`",
            r"Can't reach database server at `(?P<where>[^`]+)`",
            r"Can't connect to (?:MySQL )?server on '(?P<where>[^']+)'",
            r"Connection to (?P<where>\S+:\d+) refused\. Check that the hostname",
            r"MongoServerSelectionError: (?P<where>.{1,80})",
            r"redis\.exceptions\.ConnectionError: Error \S+ connecting to (?P<where>\S+?)\.? ",
            r"dial tcp (?P<where>\S+:\d+): connect: connection refused",
            r"dial tcp: lookup (?P<where>\S+)(?: on \S+)?: no such host",
            r"connect ECONNREFUSED (?P<where>\S+)",
            r"getaddrinfo (?:ENOTFOUND|EAI_AGAIN) (?P<where>\S+)",
            r"SQLSTATE\[HY000\] \[200[25]\] (?P<where>.{1,80})",
            r"PG::ConnectionBad: (?P<where>.{1,80})",
        ),
        "The app could not reach a database or another service ({where}).",
        _SERVICE,
        before=1,
        after=1,
    ),
    FailureKind(
        "address in use",
        r"(?i)EADDRINUSE|address already in use|Port \d+ is in use|Connection in use: ",
        "The app tried to listen on a port that is in use already, by another process of its own container.",
        f"Start one server only. {_PORT}",
        before=1,
        after=1,
        step=FailedStep.START,
    ),
    FailureKind(
        "low port refused",
        r"(?i)bind[^\n]{0,60}(?:permission denied|EACCES)|EACCES[^\n]{0,60}(?:0\.0\.0\.0|::|listen)|"
        r"listen[^\n]{0,60}permission denied",
        "The app may not listen on that port or address.",
        _PORT,
        before=1,
        step=FailedStep.START,
    ),
)

_MODULES = (
    FailureKind(
        "gunicorn: no such application",
        r"Failed to find attribute '(?P<attribute>[^']+)' in '(?P<module>[^']+)'",
        "gunicorn finds the module {module}, but no {attribute} in it.",
        'Name the application in the start command: `gunicorn <module>:<variable>`, or `"<module>:<factory>()"`.',
        step=FailedStep.START,
    ),
    FailureKind(
        "uvicorn: no such application",
        r"Error loading ASGI app\. (?P<said>.{1,120})",
        "uvicorn can't load the application: {said}.",
        "Name it in the start command as `uvicorn <module>:<variable>`, from the folder where the module is.",
        step=FailedStep.START,
    ),
    FailureKind(
        "Flask: no application",
        r"Error: (?:Could not locate a Flask application|Failed to find Flask application or factory)",
        "Flask does not find the application.",
        "Name it: `flask --app <module> run`, or set FLASK_APP. For production start it with gunicorn.",
        step=FailedStep.START,
    ),
    FailureKind(
        "missing Python module",
        r"ModuleNotFoundError: No module named '(?P<module>[^']+)'",
        "Python does not find the module {module}.",
        "Add its package to the requirements, and commit them. For a module of your own, check its "
        "folder, its case and the root directory.",
        before=2,
        also=r"^\s*File \"/app/(?!\.venv)",
    ),
    FailureKind(
        "Python import failed",
        r"^ImportError: (?P<said>cannot import name .{1,100}|attempted relative import.{0,60})",
        "Python can't import something: {said}.",
        "Most often a package is of another version than the code was written for: pin the versions "
        "that work on your machine.",
        before=2,
        also=r"^\s*File \"/app/(?!\.venv)",
    ),
    FailureKind(
        "missing Ruby gem",
        (
            r"cannot load such file -- (?P<gem>\S+)",
            r"Could not find (?P<gem>\S+) in (?:any of the sources|locally installed gems|cached gems)",
        ),
        "Ruby does not find {gem}.",
        "Add its gem to the Gemfile, run `bundle install`, and commit Gemfile and Gemfile.lock.",
        after=2,
    ),
    FailureKind(
        "missing Java class or archive",
        (
            r"(?:ClassNotFoundException|NoClassDefFoundError): (?P<what>\S+)",
            r"Error: Unable to access jarfile (?P<what>\S+)",
            r"no main manifest attribute, in (?P<what>\S+)",
            r"Error: Could not find or load main class (?P<what>\S+)",
        ),
        "Java does not find what it is to run ({what}).",
        "Check the name of the archive in the start command, and that the build makes one with its "
        "dependencies and a main class.",
        after=2,
        step=FailedStep.START,
    ),
    FailureKind(
        "PHP error",
        r"PHP (?:Parse|Fatal) error:\s+(?P<said>.{1,160})",
        "PHP stopped: {said}.",
        "Repair it where the lines below say, then deploy again.",
        after=2,
        step=FailedStep.START,
    ),
    FailureKind(
        "import and require mixed",
        r"(?P<said>Cannot use import statement outside a module|(?:require|module|exports|"
        r"__dirname) is not defined in ES module scope|"
        r"\[ERR_REQUIRE_ESM\].{1,80})",
        "The code uses the other module system than its file stands for: {said}.",
        '`import` needs "type": "module" in package.json or a file named .mjs; `require` needs it absent, or .cjs.',
        before=4,
    ),
    FailureKind(
        "JavaScript syntax error",
        r"^SyntaxError: (?P<said>(?:Unexpected|Invalid or unexpected|missing \)|Identifier|"
        r"await is only|The requested module).{1,120})",
        "Node can't read the code: {said}.",
        "Repair it where the lines below say, then deploy again.",
        before=4,
    ),
    FailureKind(
        "Python syntax error",
        r"^(?P<said>(?:SyntaxError|IndentationError|TabError): .{1,120})",
        "Python can't read the code: {said}.",
        "Repair it where the lines below say. Code for a newer Python needs that version in .python-version.",
        before=3,
    ),
    FailureKind(
        "Ruby syntax error",
        r"^(?P<said>\S{1,200}\.rb:\d+: syntax error.{0,120})",
        "Ruby can't read the code: {said}.",
        "Repair it where the lines below say, then deploy again.",
        after=3,
    ),
)

_PROGRAMS = (
    FailureKind(
        "program file missing",
        (r"can't open file '(?P<name>[^']+)': \[Errno 2\]", r"^Could not open input file: (?P<name>\S+)"),
        "The file {name}, which is to be run, is not there.",
        "Correct the command, and check that the file is committed and not left out by .dockerignore.",
    ),
    FailureKind(
        "program not found",
        (
            rf"^(?:/bin/)?(?:ba|da|a)?sh: (?:line )?\d+: (?:exec: )?{_NAME}: (?:command )?not found\s*$",
            rf"(?:^|: ){_NAME}: (?:command )?not found\s*$",
            rf"^(?:/\S*/)?env: (?:can't execute )?[\u2018'\"]?{_NAME}[\u2019'\"]?: No such file or "
            rf"directory",
            rf"exec {_NAME} failed: No such file or directory",
            rf"exec: \"{_NAME}\": (?:executable file not found|stat \S+: no such file)",
            rf"(?:^|: ){_NAME}: No such file or directory\s*$",
        ),
        "The program {name} was not found in its image.",
        "Check the command, and that the build installs {name}: a package's program needs the package in the "
        "dependencies. A file that is there needs line ends of Unix, an interpreter that exists, and this server's "
        "kind of processor.",
        before=2,
        exit_code=NOT_FOUND,
    ),
    FailureKind(
        "program not executable",
        (
            rf"exec {_NAME} failed: Permission denied",
            rf"(?i)(?:^|: ){_NAME}: (?:Permission denied|cannot execute\b.*|Is a directory)\s*$",
            rf"exec: \"{_NAME}\": permission denied",
        ),
        "{name} can't be executed in its image.",
        "Make it executable (git update-index --chmod=+x {name}), and have it name its interpreter "
        "in the first line.",
        before=2,
        exit_code=NOT_EXECUTABLE,
    ),
    FailureKind(
        "sudo",
        r"(?i)sudo: .{0,80}no new privileges",
        "The app uses sudo, which can't work here: no program of an app gains rights.",
        "Start it without sudo, as the user that USER names in the Dockerfile, or as root.",
        step=FailedStep.START,
    ),
    FailureKind(
        "right missing",
        r"(?i)operation not permitted|\bEPERM\b|\bset(?:re|res|e)?[ug]id\b[^\n]{0,60}failed|"
        r"must be (?:run as )?root|\bCAP_[A-Z_]{3,}",
        "The app tried something that apps have no right to.",
        "An app may change its user and the owner of its files, but not mount, trace, or change the network or the "
        "kernel's settings.",
        before=1,
        step=FailedStep.START,
    ),
    FailureKind(
        "file missing",
        (
            r"ENOENT: no such file or directory, \w+ '(?P<path>[^']+)'",
            r"FileNotFoundError: \[Errno 2\] No such file or directory: '(?P<path>[^']+)'",
        ),
        "The app does not find the file {path}.",
        "Commit it, or have the build or the app make it; a path is from the folder that the app is started in.",
        before=2,
        also=r"^\s*File \"/app/(?!\.venv)",
        step=FailedStep.START,
    ),
    FailureKind(
        "file permission denied",
        (
            r"Permission ?[Dd]enied(?:Error)?: ?(?:\[Errno 13\] Permission denied: )?'(?P<path>/[^']+)'",
            r"EACCES: permission denied, \w+ '(?P<path>/[^']+)'",
            r"(?:cannot create|can't create|cannot create directory|"
            r"open) [\u2018'\"]?(?P<path>/[^\s:\u2019'\"]+)[\u2019'\"]?: [Pp]ermission denied",
        ),
        "{path} may not be written or read by the user that the program runs as.",
        "Write below the app's own folder or /tmp, or give that path to the user in the Dockerfile "
        "(COPY --chown, chown).",
        before=1,
    ),
)

KINDS: tuple[FailureKind, ...] = (*_SETTINGS, *_MIGRATIONS, *_SERVICES, *_MODULES, *_PROGRAMS)
