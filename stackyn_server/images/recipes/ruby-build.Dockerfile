# What gems compile with; Debian keeps Ruby's own headers apart.
RUN headers=; [ -x /usr/local/bin/ruby ] || headers=ruby-dev; \
    stackyn-settle packages $headers gcc g++ libc6-dev make pkg-config git libyaml-dev libffi-dev zlib1g-dev libssl-dev libgmp-dev
CMD ["irb"]
