# A Debian of another suite, unpacked and configured here from its packages; its mirror is that of the Debian below.
FROM stackyn/base:12 AS tool
RUN stackyn-settle packages mmdebstrap debian-archive-keyring
COPY make-root /usr/local/sbin/
# A mirror may be some weeks behind: the lists of an unreleased suite end after one, and its packages stay signed.
RUN options=$([ @SUITE@ != forky ] || echo '[check-valid-until=no]') && \
    mirror=$(awk '/ bookworm main/ { print $2; exit }' /etc/apt/sources.list) && \
    security=$(awk '/ bookworm-security main/ { print $2; exit }' /etc/apt/sources.list) && \
    make-root @SUITE@ "deb $options $mirror @SUITE@ main" "deb $options $mirror @SUITE@-updates main" \
      "deb $options $security @SUITE@-security main"

FROM scratch
COPY --from=tool /tree/ /
CMD ["/bin/sh"]
