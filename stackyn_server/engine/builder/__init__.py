"""One sealed build: rootless BuildKit in a container of its own, which holds nothing of other tenants.

The container runs `/usr/local/bin/build` of the builder image (`[images] builder`) as a user of the tenant's own
(`builder_user.py`). The interface between the server and that program:

- Standard input: a line with the size of the first tar in bytes, the first tar, the second tar. The first has
  these members below `control/`:
    `control/arguments`         the arguments of `buildctl`, each ended by NUL; paths in them are below /var/lib/build
    `control/buildkitd.toml`    the daemon's configuration
    `control/docker/config.json` credentials of registries (DOCKER_CONFIG names its folder)
    `control/secrets/<id>`      secrets of the build
  The second has the build context below `context/`.
- /var/lib/build: the cache volume of a tenant and place. `buildkit/` is the daemon's, `work/` receives both tars, and
  `out/` the OCI image layout of the result (a folder, layers uncompressed). The server removes it when the engine has
  the image.
  The program empties `work/` and `out/` first and puts links into `out/blobs/sha256` to the blobs of /oci, so that
  layers of base images are not copied.
- /oci: the base images (`[images] directory`), an OCI image layout, read-only.
- Standard error: what `buildctl --progress=rawjson` writes, a JSON object in each line; other lines are error
  messages.
- Standard output: after a failure `oom_kill <count>`, the number of processes that the kernel killed for memory, and
  the last lines of a daemon that has ended; for the operator only.
- The exit code: that of `buildctl`, `NO_DAEMON` when the daemon did not start, `NO_INPUT` when a tar was cut off or
  could not be unpacked.
"""

NO_DAEMON = 90
NO_INPUT = 91
