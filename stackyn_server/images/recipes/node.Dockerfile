# Empty when the image below already is Node's own.
COPY --from=tool /tool/ /usr/local/
RUN for tool in npm npx; do \
      command -v $tool >/dev/null || ln -s ../lib/node_modules/npm/bin/$tool-cli.js /usr/local/bin/$tool; \
    done
ENV NPM_CONFIG_UPDATE_NOTIFIER=false NPM_CONFIG_FUND=false
CMD ["node"]
