class FakeSay:
    async def run_remote(self, name, loud=False):
        return "mock " + name


class NoMethod:
    pass


class OtherArguments:
    async def run_remote(self, title):
        return title


class NeedsArguments(FakeSay):
    def __init__(self, model):
        self.model = model


class Streams:
    async def run_remote(self, name, loud=False):
        yield name
