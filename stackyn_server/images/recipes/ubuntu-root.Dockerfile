# An Ubuntu, unpacked and configured here from its packages: between two Debians it has versions that neither has.
# Its keys are a package of Debian 13. That Debian's own check, though, refuses the one of 2012, which 18.04 is signed by.
FROM stackyn/base:13 AS keys
RUN stackyn-settle packages ubuntu-keyring
FROM stackyn/base:12 AS tool
RUN stackyn-settle packages mmdebstrap
COPY --from=keys /usr/share/keyrings/ubuntu-archive-keyring.gpg /usr/share/keyrings/
COPY make-root /usr/local/sbin/
RUN case $(dpkg --print-architecture) in \
      amd64) mirror=http://archive.ubuntu.com/ubuntu ;; \
      *) mirror=http://ports.ubuntu.com/ubuntu-ports ;; \
    esac && \
    options="[signed-by=/usr/share/keyrings/ubuntu-archive-keyring.gpg]" && \
    make-root @SUITE@ "deb $options $mirror @SUITE@ main universe" "deb $options $mirror @SUITE@-updates main universe" \
      "deb $options $mirror @SUITE@-security main universe"

FROM scratch
COPY --from=tool /tree/ /
CMD ["/bin/sh"]
