# A Debian of another suite, unpacked and configured here from its packages; its mirror is that of the Debian below.
FROM stackyn/base:12 AS tool
RUN stackyn-settle packages mmdebstrap debian-archive-keyring
# Without rights over devices and mounts, which steps of a build do not have, and packages do not need.
# A mirror may be some weeks behind: the lists of an unreleased suite end after one, and its packages stay signed.
RUN options=$([ @SUITE@ != forky ] || echo '[check-valid-until=no]') && \
    mirror=$(awk '/ bookworm main/ { print $2; exit }' /etc/apt/sources.list) && \
    security=$(awk '/ bookworm-security main/ { print $2; exit }' /etc/apt/sources.list) && \
    mmdebstrap --quiet --mode=root --variant=minbase --include=ca-certificates --format=directory \
      --skip=check/canmount,chroot/mount,output/mknod,output/dev \
      --aptopt='Acquire::Retries "5"' --aptopt='Acquire::http::Pipeline-Depth "0"' \
      @SUITE@ /tree "deb $options $mirror @SUITE@ main" "deb $options $mirror @SUITE@-updates main" \
      "deb $options $security @SUITE@-security main"
RUN [ ! -f /etc/apt/apt.conf.d/90host ] || cp /etc/apt/apt.conf.d/90host /tree/etc/apt/apt.conf.d/; \
    cp /etc/dpkg/dpkg.cfg.d/stackyn /tree/etc/dpkg/dpkg.cfg.d/ && \
    cp /usr/sbin/policy-rc.d /tree/usr/sbin/ && \
    find /tree/usr/share/doc /tree/usr/share/man /tree/usr/share/info /tree/usr/share/locale ! -type d ! -name copyright -delete && \
    rm -rf /tree/var/lib/apt/lists/* /tree/var/cache/apt/* /tree/var/log/*.log

FROM scratch
COPY --from=tool /tree/ /
CMD ["/bin/sh"]
