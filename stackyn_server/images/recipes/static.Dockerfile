RUN command -v nginx >/dev/null || stackyn-settle packages nginx
COPY site/ /
RUN mkdir -p /srv/site && chown app:app /srv/site
WORKDIR /srv/site
ENV PORT=8080
EXPOSE 8080
STOPSIGNAL SIGQUIT
USER app
ENTRYPOINT []
CMD ["serve-site"]
