"""Make the base images that apps are built on, and the image that builds run in, on this machine.

Base images are in an OCI image layout (`[images] directory`), which every build gets read-only; the engine does not
have them. Only the builder image (`[images] builder`) is an image of the engine.
"""
