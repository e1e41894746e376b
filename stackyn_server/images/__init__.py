"""The base images that apps are built on, and the image that builds run in: made on this machine, kept on this machine.

Base images live in an OCI image layout (`[images] directory`), which every build gets read-only; they are no images of
the engine. Only the builder image (`[images] builder`) is one.
"""
