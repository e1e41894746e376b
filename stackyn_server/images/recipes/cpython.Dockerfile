# Python of a line that no Debian has, from an Ubuntu, where it may be beside the usual one.
RUN stackyn-settle packages python@VERSION@ python@VERSION@-venv python3-pip && rm -f /usr/lib/python3*/EXTERNALLY-MANAGED
COPY --from=tool /tool/ /pip/
RUN python@VERSION@ -m pip install --quiet --no-compile --no-index /pip/*.whl && rm -r /pip && \
    ln -s /usr/bin/python@VERSION@ /usr/local/bin/python3
CMD ["python3"]
