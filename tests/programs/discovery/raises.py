def explode() -> None:
    raise RuntimeError("no such thing")


print("before")
explode()
