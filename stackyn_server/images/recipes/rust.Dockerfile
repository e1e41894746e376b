# A line that Ubuntu has beside its usual one is in packages, and programs, of that name.
RUN command -v cargo >/dev/null || { \
      apt-get -qq update && \
      if apt-cache show rustc-@VERSION@ cargo-@VERSION@ >/dev/null 2>&1; then beside=-@VERSION@; else beside=; fi && \
      stackyn-settle packages rustc$beside cargo$beside && \
      for tool in rustc rustdoc cargo; do command -v $tool || ln -s $tool$beside /usr/bin/$tool; done && \
      rustc --version && cargo --version; \
    }
# What crates compile and link with most often.
RUN stackyn-settle packages gcc g++ libc6-dev make cmake pkg-config git libssl-dev protobuf-compiler
CMD ["cargo"]
