"""One commit becomes an image: fetch, plan, build."""
