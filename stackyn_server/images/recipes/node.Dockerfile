# Empty when the image below already is Node's own.
COPY --from=tool /tool/ /usr/local/
RUN for tool in npm npx; do \
      command -v $tool >/dev/null || ln -s ../lib/node_modules/npm/bin/$tool-cli.js /usr/local/bin/$tool; \
    done
# From 25 on it needs a library that Debian does not have from the start.
RUN ! command -v node >/dev/null || node --version >/dev/null 2>&1 || { stackyn-settle packages libatomic1 && node --version; }
ENV NPM_CONFIG_UPDATE_NOTIFIER=false NPM_CONFIG_FUND=false
CMD ["node"]
