# Debian marks its Python as not for pip; in an image there is nobody else to disturb.
RUN { python3 -c "import ensurepip" && command -v pip; } >/dev/null 2>&1 || stackyn-settle packages python3 python3-venv python3-pip; \
    rm -f /usr/lib/python3*/EXTERNALLY-MANAGED; \
    command -v python >/dev/null || ln -s /usr/bin/python3 /usr/local/bin/python
# Progress bars are noise in a build log.
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_NO_INPUT=1 PIP_PROGRESS_BAR=off PYTHONUNBUFFERED=1
CMD ["python3"]
