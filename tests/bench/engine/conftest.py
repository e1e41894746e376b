from tests.engine.conftest import base_image, base_images, build_request, build_settings, builder, engine
from tests.engine.hostile_builds.test_fetches import hostile, target
from tests.engine.hostile_builds.test_limits import bombs

__all__ = [
    "base_image",
    "base_images",
    "bombs",
    "build_request",
    "build_settings",
    "builder",
    "engine",
    "hostile",
    "target",
]
