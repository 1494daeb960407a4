import truss_chains as chains


class Doubler(chains.ModelBase):
    def predict(self, x: int) -> int:
        return 2 * x
