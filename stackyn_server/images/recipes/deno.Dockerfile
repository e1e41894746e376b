# Empty when the image below already is Deno's own.
COPY --from=tool /tool/ /usr/local/
ENTRYPOINT []
CMD ["deno"]
