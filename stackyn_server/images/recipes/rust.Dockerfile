RUN command -v cargo >/dev/null || stackyn-settle packages rustc cargo
# What crates compile and link with most often.
RUN stackyn-settle packages gcc g++ libc6-dev make cmake pkg-config git libssl-dev protobuf-compiler
CMD ["cargo"]
