RUN stackyn-settle packages gcc g++ libc6-dev make cmake meson ninja-build pkg-config git libssl-dev zlib1g-dev
CMD ["sh"]
