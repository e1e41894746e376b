# With what a site's own gems compile with.
RUN stackyn-settle packages jekyll ruby-bundler ruby-dev gcc g++ make git zlib1g-dev libffi-dev
CMD ["jekyll"]
