COPY --from=tool /tool/ /usr/local/
# Its modules are fetched by Git, and by Go.
RUN stackyn-settle packages git
CMD ["hugo"]
