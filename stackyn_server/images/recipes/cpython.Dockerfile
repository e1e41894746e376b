# What stackyn/python stands on where neither a registry nor a Debian has the line.
COPY --from=tool /tool/ /usr/local/
# The libraries that its modules are linked with.
RUN stackyn-settle packages libsqlite3-0 libreadline8 libncursesw6 libtinfo6 liblzma5 libbz2-1.0 libuuid1 zlib1g && \
    ldconfig && \
    python3 -m ensurepip --default-pip >/dev/null && \
    python3 -m compileall -q /usr/local/lib/python@VERSION@ && \
    python3 -c "import bz2, ctypes, curses, lzma, readline, sqlite3, ssl, uuid, zlib"
CMD ["python3"]
