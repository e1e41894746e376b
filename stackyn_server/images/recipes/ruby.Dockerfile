RUN command -v ruby >/dev/null || stackyn-settle packages ruby ruby-bundler
RUN stackyn-settle packages libjemalloc2
CMD ["irb"]
