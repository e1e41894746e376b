RUN command -v mix >/dev/null || stackyn-settle packages elixir erlang-dev erlang-xmerl erlang-tools erlang-parsetools \
      erlang-os-mon erlang-runtime-tools erlang-inets erlang-ssl erlang-mnesia erlang-eunit
RUN stackyn-settle packages gcc g++ make git
CMD ["iex"]
