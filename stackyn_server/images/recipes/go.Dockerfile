# Empty when the image below already is Go's own.
COPY --from=tool /tool/ /usr/local/
RUN command -v g++ >/dev/null && command -v git >/dev/null || stackyn-settle packages gcc g++ libc6-dev make pkg-config git
# A project that asks for a newer Go gets that by Go itself.
ENV PATH=/usr/local/go/bin:$PATH GOTOOLCHAIN=auto
CMD ["go"]
