# What Python links to; it is in /usr/local.
RUN stackyn-settle packages libssl3 libffi8 libsqlite3-0 zlib1g libbz2-1.0 liblzma5 libreadline8 libncursesw6 libuuid1 libexpat1
COPY --from=tool /tool/ /
CMD ["python3"]
