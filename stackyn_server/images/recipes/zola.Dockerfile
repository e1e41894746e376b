COPY --from=tool /bin/zola /usr/local/bin/
CMD ["zola"]
