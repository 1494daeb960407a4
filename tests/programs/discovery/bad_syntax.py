import truss_chains as chains


def broken(:
    pass
